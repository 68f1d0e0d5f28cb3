"""An application load balancer's listeners and rules as haproxy's configuration.

Modelled: HTTP and HTTPS listeners with several certificates, the rule conditions path, host, header, method, query
string and source address, the actions forward (weighted), redirect and fixed response, stickiness by the balancer's
cookie, the X-Forwarded headers, idle time-out, HTTP/2, the algorithms round robin, least outstanding requests and
random, and AWS's own error pages.

Left out: authentication actions (answered with 503), stickiness of target groups among each other, stickiness by an
application's cookie, slow start, mutual TLS, access logs, WAF, cross-zone settings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

# Where the balancer's folder is in its container.
MOUNT = "/run/balancer"
# AWS waits 10 seconds; a machine on the same host answers at once or not at all.
CONNECT_TIMEOUT = "1s"
ERRORS = {
    400: "Bad Request", 408: "Request Time-out", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Temporarily Unavailable", 504: "Gateway Time-out",
}  # fmt: skip
ALGORITHMS = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn", "weighted_random": "random"}
LOOPBACK_NAMES = "localhost 127.0.0.1"


@dataclass(frozen=True)
class Rule:
    """A listener's rule: conditions and actions as the API has them."""

    conditions: list[dict[str, Any]]
    actions: list[dict[str, Any]]


@dataclass(frozen=True)
class Listener:
    """A listener.

    Attributes:
        port: Its port.
        protocol: ``HTTP`` or ``HTTPS``.
        rules: In order of priority, the default rule last.
        certificates: PEM texts with key and chain, the default one first.
        policy: Name of the TLS policy.
    """

    port: int
    protocol: str
    rules: list[Rule]
    certificates: list[str] = field(default_factory=list)
    policy: str = ""


@dataclass(frozen=True)
class TargetGroup:
    """What haproxy must know of a target group.

    Attributes:
        arn: Its ARN.
        protocol: ``HTTP`` or ``HTTPS``.
        version: Version of the protocol, such as ``HTTP1``.
        attributes: As the API has them.
    """

    arn: str
    protocol: str
    version: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Balancer:
    """A balancer with all that its configuration depends on.

    Attributes:
        name: Its name.
        attributes: As the API has them.
        listeners: Its listeners.
        groups: The target groups that its rules forward to.
        published: Ports of 127.0.0.1 on the host, by listener port.
    """

    name: str
    attributes: Mapping[str, Any]
    listeners: list[Listener]
    groups: list[TargetGroup]
    published: Mapping[int, int] = field(default_factory=dict)


@dataclass
class Files:
    """The files of a balancer's folder, by their path in it."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, folder: str, suffix: str, text: str) -> str:
        """Add a file named by its contents; returns its path in the container."""
        path = f"{folder}/{hashlib.sha256(text.encode()).hexdigest()[:16]}.{suffix}"
        self.texts[path] = text
        return f"{MOUNT}/{path}"

    @property
    def digest(self) -> str:
        """Digest of all files."""
        parts = [f"{path}\0{text}" for path, text in sorted(self.texts.items())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def backend_name(arn: str) -> str:
    """The name of a target group in haproxy."""
    return f"tg_{arn.rpartition('/')[2]}"


def server_options(group: TargetGroup) -> str:
    """Options of the group's servers."""
    options = []
    if group.protocol == "HTTPS":
        # A balancer does not verify its targets' certificates.
        options.append("ssl verify none")
    if group.version in {"HTTP2", "GRPC"}:
        options.append("proto h2" if group.protocol == "HTTP" else "alpn h2")
    return " ".join(options)


def render(balancer: Balancer) -> Files:
    """All files of a balancer; ``haproxy.cfg`` leaves the servers of each backend open (``#servers NAME``)."""
    files = Files()
    attributes = balancer.attributes
    environment = jinja2.Environment(  # noqa: S701 (not HTML)
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("data")),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    port = attributes.get("routing.http.xff_client_port.enabled") == "true"
    files.texts["haproxy.cfg"] = environment.get_template("haproxy.cfg.j2").render(
        name=balancer.name,
        connect_timeout=CONNECT_TIMEOUT,
        idle_timeout=int(attributes.get("idle_timeout.timeout_seconds", 60)),
        errors=ERRORS,
        xff_mode=attributes.get("routing.http.xff_header_processing.mode", "append"),
        client="%[src]:%[src_port]" if port else "%[src]",
        listeners=[
            {
                "port": listener.port,
                "scheme": listener.protocol.lower(),
                "bind_options": _bind_options(listener, attributes, files),
                "lines": list(_rule_lines(listener, balancer, files)),
            }
            for listener in sorted(balancer.listeners, key=lambda entry: entry.port)
        ],
        backends=[_backend(group) for group in sorted(balancer.groups, key=lambda entry: entry.arn)],
    )
    return files


def _backend(group: TargetGroup) -> dict[str, Any]:
    attributes = group.attributes
    sticky = attributes.get("stickiness.enabled") == "true" and attributes.get("stickiness.type") == "lb_cookie"
    return {
        "name": backend_name(group.arn),
        "balance": ALGORITHMS.get(str(attributes.get("load_balancing.algorithm.type")), "roundrobin"),
        "sticky_seconds": int(attributes.get("stickiness.lb_cookie.duration_seconds", 86400)) if sticky else 0,
    }


def _bind_options(listener: Listener, attributes: Mapping[str, Any], files: Files) -> str:
    if listener.protocol != "HTTPS":
        return ""
    paths = [files.add("certificates", "pem", pem) for pem in listener.certificates]
    crt_list = files.add("certificates", "list", "".join(f"{path}\n" for path in paths))
    protocols = "h2,http/1.1" if attributes.get("routing.http2.enabled", "true") == "true" else "http/1.1"
    return f" ssl crt-list {crt_list} alpn {protocols} ssl-min-ver {minimum_tls(listener.policy)}"


def minimum_tls(policy: str) -> str:
    """The oldest TLS version that a policy allows, in haproxy's words."""
    for marks, version in (
        (("TLS13-1-3",), "TLSv1.3"),
        (("TLS13-1-2", "TLS-1-2", "FS-1-2"), "TLSv1.2"),
        (("TLS13-1-1", "TLS-1-1", "FS-1-1"), "TLSv1.1"),
    ):
        if any(mark in policy for mark in marks):
            return version
    return "TLSv1.0"


# Rules
# -----


def _rule_lines(listener: Listener, balancer: Balancer, files: Files) -> Iterable[str]:
    """First which rule it is, in order of priority, and then what that rule does.

    haproxy would otherwise carry out every redirect before the first forward.
    """
    for number, rule in enumerate(listener.rules):
        conditions = " ".join(_condition(condition) for condition in rule.conditions)
        yield f"http-request set-var(txn.rule) int({number}) if !{{ var(txn.rule) -m found }} {conditions}".rstrip()
    lines: list[str] = []
    for number, rule in enumerate(listener.rules):
        chosen = f"{{ var(txn.rule) -m int eq {number} }}"
        lines += _Router(listener, balancer, files).lines(rule.actions, chosen)
    # haproxy looks at all http-request lines first, wherever they are, and warns of another order.
    yield from sorted(lines, key=lambda line: line.startswith("use_backend"))


@dataclass(frozen=True)
class _Router:
    """Turns the actions of a listener's rules into haproxy's lines."""

    listener: Listener
    balancer: Balancer
    files: Files

    def lines(self, actions: list[dict[str, Any]], chosen: str) -> list[str]:
        """The lines for a rule's actions.

        Args:
            actions: As the API has them; the routing action comes last, what may precede it is authentication.
            chosen: haproxy's condition that the rule applies.
        """
        action: Mapping[str, Any] = actions[0] if len(actions) == 1 else {"Type": "several"}
        if action["Type"] == "redirect":
            return self._redirect(action["RedirectConfig"], chosen)
        if action["Type"] == "fixed-response":
            return [self._fixed_response(action["FixedResponseConfig"], chosen)]
        if action["Type"] == "forward":
            return self._forward(action, chosen)
        return [f"http-request return status 503 hdr Server awselb/2.0 if {chosen}"]

    def _forward(self, action: Mapping[str, Any], chosen: str) -> list[str]:
        known = {group.arn for group in self.balancer.groups}
        weights = {arn: weight for arn, weight in forwards(action).items() if weight > 0 and arn in known}
        if not weights:
            return [f"http-request return status 503 hdr Server awselb/2.0 if {chosen}"]
        *weighted, last = weights
        lines = [f"http-request set-var(txn.dice) rand({sum(weights.values())}) if {chosen}"] if weighted else []
        below = 0
        for arn in weighted:
            below += weights[arn]
            lines.append(f"use_backend {backend_name(arn)} if {chosen} {{ var(txn.dice) -m int lt {below} }}")
        return [*lines, f"use_backend {backend_name(last)} if {chosen}"]

    def _fixed_response(self, config: Mapping[str, Any], chosen: str) -> str:
        content = ""
        if body := config.get("MessageBody"):
            page = self.files.add("pages", "body", body)
            content = f"content-type {_quote(config.get('ContentType') or 'text/plain')} file {page} "
        return f"http-request return status {int(config['StatusCode'])} {content}hdr Server awselb/2.0 if {chosen}"

    def _redirect(self, config: Mapping[str, Any], chosen: str) -> list[str]:
        port = (config.get("Port") or "#{port}").replace("#{port}", str(self.listener.port))
        host = config.get("Host") or "#{host}"
        published = self.balancer.published.get(int(port))
        lines = []
        if published is not None and host == "#{host}":
            # Through the publication on 127.0.0.1 the port that the browser needs is another one.
            local = f"{chosen} {{ req.hdr(host),field(1,:) -m str -i {LOOPBACK_NAMES} }}"
            lines += self._locations(config, f"{_fill(host)}:{published}", local)
        return lines + self._locations(config, f"{_fill(host)}:{port}", chosen)

    def _locations(self, config: Mapping[str, Any], authority: str, when: str) -> list[str]:
        scheme = (config.get("Protocol") or "#{protocol}").replace("#{protocol}", self.listener.protocol).lower()
        code = str(config.get("StatusCode", "HTTP_302")).removeprefix("HTTP_")
        query = "#{query}" if config.get("Query") is None else config["Query"]
        base = f"{scheme}://{authority}{_fill(config.get('Path') or '/#{path}')}"

        def redirect(location: str, condition: str) -> str:
            return f"http-request redirect location {_quote(location)} code {code} if {condition}"

        if query == "#{query}":
            return [redirect(f"{base}?%[query]", f"{when} {{ query -m len gt 0 }}"), redirect(base, when)]
        return [redirect(f"{base}?{_fill(query)}" if query else base, when)]


def forwards(action: Mapping[str, Any]) -> dict[str, int]:
    """The target groups of a forward action with their weights."""
    configured = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    if configured:
        return {
            entry["TargetGroupArn"]: int(1 if entry.get("Weight") is None else entry["Weight"]) for entry in configured
        }
    return {action["TargetGroupArn"]: 1} if action.get("TargetGroupArn") else {}


def _fill(text: str) -> str:
    """A redirect's text with its keywords as haproxy's expressions."""
    found = {
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "/#{path}": "%[path]",
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    parts = re.split(r"(/?#\{path\}|#\{host\}|#\{query\})", text)
    return "".join(found.get(part, part.replace("%", "%%")) for part in parts)


def _condition(condition: Mapping[str, Any]) -> str:
    kind = condition["Field"]
    configuration: Mapping[str, Any] = next(
        (value for key, value in condition.items() if key.endswith("Config") and value), {}
    )
    values = configuration.get("Values") or condition.get("Values") or []
    if kind == "path-pattern":
        return f"{{ path -m reg {_patterns(values)} }}"
    if kind == "host-header":
        return f"{{ req.hdr(host),field(1,:) -m reg -i {_patterns(values)} }}"
    if kind == "http-header":
        return f"{{ req.fhdr({configuration['HttpHeaderName']}) -m reg -i {_patterns(values)} }}"
    if kind == "http-request-method":
        return f"{{ method -m str {' '.join(_quote(value) for value in values)} }}"
    if kind == "source-ip":
        return f"{{ src {' '.join(values)} }}"
    if kind == "query-string":
        return f"{{ query -m reg -i {' '.join(_quote(_query_pattern(value)) for value in values)} }}"
    raise ValueError(f"unknown rule condition {kind}")


def _patterns(values: Iterable[str]) -> str:
    return " ".join(_quote(f"^{wildcard(value)}$") for value in values)


def wildcard(pattern: str, any_character: str = ".") -> str:
    """AWS's wildcards ``*`` and ``?`` as a regular expression."""
    return "".join(
        {"*": f"{any_character}*", "?": any_character}.get(part, re.escape(part))
        for part in re.split(r"([*?])", pattern)
    )


def _query_pattern(value: Mapping[str, str]) -> str:
    key = wildcard(value["Key"], "[^&=]") if value.get("Key") else "[^&=]*"
    wanted = wildcard(value["Value"], "[^&]")
    # Without a key the value is looked for among keys and values alike.
    either = f"{key}={wanted}" if value.get("Key") else f"(?:{key}={wanted}|{wanted})"
    return f"(?:^|&){either}(?:&|$)"


def _quote(text: str) -> str:
    """A text as one word of haproxy's configuration, taken as it is."""
    if "\n" in text or "\0" in text:
        raise ValueError("a line break in a rule")
    return "'" + text.replace("'", "'\\''") + "'"
