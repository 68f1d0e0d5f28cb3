"""Balancers without containers: rules as haproxy's lines, health by AWS's thresholds, the tag that publishes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcloud import balancer_agent as agent
from localcloud import balancer_config as config
from localcloud.balancer import published_ports

FIRST = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/first/aaaa"
SECOND = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/second/bbbb"
CHECK = agent.Check(
    protocol="HTTP", port=None, path="/healthz", matcher="200,301-302", interval=5, timeout=0.5, healthy=3, unhealthy=2
)


def group(arn: str, protocol: str = "HTTP", **attributes: Any) -> config.TargetGroup:
    return config.TargetGroup(arn, protocol, "HTTP1", attributes)


def render(rules: list[config.Rule], **options: Any) -> config.Files:
    listener = config.Listener(80, "HTTP", rules)
    return config.render(config.Balancer("web", {}, [listener], [group(FIRST), group(SECOND)], **options))


def lines(files: config.Files) -> list[str]:
    return [line.strip() for line in files.texts["haproxy.cfg"].splitlines()]


def forward(**config_: Any) -> dict[str, Any]:
    return {"Type": "forward", **config_}


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/img/*.p?g", "/img/a/b.png", "/img/a.jpeg"),
        ("/a.b", "/a.b", "/axb"),
        ("*", "", None),
        ("/x(y)+$", "/x(y)+$", "/xyy"),
    ],
)
def test_wildcards(pattern: str, matching: str, other: str | None) -> None:
    expression = re.compile(f"^{config.wildcard(pattern)}$")
    assert expression.match(matching)
    assert other is None or not expression.match(other)


def test_the_first_rule_in_order_decides_whatever_its_action_is() -> None:
    redirect = {"Type": "redirect", "RedirectConfig": {"Host": "example.com", "StatusCode": "HTTP_301"}}
    text = lines(
        render(
            [
                config.Rule([{"Field": "path-pattern", "Values": ["/a"]}], [forward(TargetGroupArn=FIRST)]),
                config.Rule([{"Field": "path-pattern", "Values": ["/*"]}], [redirect]),
                config.Rule([], [forward(TargetGroupArn=SECOND)]),
            ]
        )
    )
    chosen = [line for line in text if "set-var(txn.rule)" in line]
    assert [re.search(r"int\((\d)\)", line)[1] for line in chosen] == ["0", "1", "2"]  # type: ignore[index]
    assert all("!{ var(txn.rule) -m found }" in line for line in chosen)
    assert "use_backend tg_aaaa if { var(txn.rule) -m int eq 0 }" in text


def test_weights_add_up_and_zero_gets_nothing() -> None:
    weighted = forward(
        ForwardConfig={
            "TargetGroups": [{"TargetGroupArn": FIRST, "Weight": 9}, {"TargetGroupArn": SECOND, "Weight": 1}]
        }
    )
    text = lines(render([config.Rule([], [weighted])]))
    assert "http-request set-var(txn.dice) rand(10) if { var(txn.rule) -m int eq 0 }" in text
    assert "use_backend tg_aaaa if { var(txn.rule) -m int eq 0 } { var(txn.dice) -m int lt 9 }" in text
    weighted["ForwardConfig"]["TargetGroups"][0]["Weight"] = 0
    assert [line for line in lines(render([config.Rule([], [weighted])])) if "use_backend" in line] == [
        "use_backend tg_bbbb if { var(txn.rule) -m int eq 0 }"
    ]


def test_a_redirect_names_the_published_port_on_loopback_only() -> None:
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    text = [line for line in lines(render([config.Rule([], [redirect])], published={443: 8443})) if "redirect" in line]
    assert [line for line in text if ":8443" in line] == [line for line in text if "localhost 127.0.0.1" in line]
    assert len([line for line in text if ":443%[path]" in line]) == 2


@pytest.mark.parametrize("text", ["it's", "a'b''c"])
def test_quotes_cannot_leave_their_word(text: str) -> None:
    rule = config.Rule([{"Field": "path-pattern", "Values": [text]}], [forward(TargetGroupArn=FIRST)])
    (line,) = [line for line in lines(render([rule])) if "path -m reg" in line]
    assert line.count("'") % 2 == text.count("'") * 3 % 2
    with pytest.raises(ValueError, match="line break"):
        render([config.Rule([{"Field": "path-pattern", "Values": ["/a\nglobal"]}], [forward(TargetGroupArn=FIRST)])])


def test_actions_that_are_left_out_are_answered_with_503() -> None:
    rule = config.Rule([], [{"Type": "authenticate-oidc", "Order": 1}, forward(TargetGroupArn=FIRST, Order=2)])
    assert any(line.startswith("http-request return status 503") for line in lines(render([rule])))


@pytest.mark.parametrize(
    ("policy", "version"),
    [
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", "TLSv1.3"),
        ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "TLSv1.2"),
        ("ELBSecurityPolicy-FS-1-2-Res-2020-10", "TLSv1.2"),
        ("ELBSecurityPolicy-TLS-1-1-2017-01", "TLSv1.1"),
        ("ELBSecurityPolicy-2016-08", "TLSv1.0"),
    ],
)
def test_tls_policies(policy: str, version: str) -> None:
    assert config.minimum_tls(policy) == version


@pytest.mark.parametrize(("tag", "ports"), [("", {}), ("80:8080, 443:8443", {80: 8080, 443: 8443})])
def test_publish_tag(tag: str, ports: dict[int, int]) -> None:
    assert published_ports(tag) == ports


@pytest.mark.parametrize("tag", ["80", "80:", "http:8080", "80:99999"])
def test_wrong_publish_tags_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="localcloud:publish"):
        published_ports(tag)


# Health
# ------


def test_one_passed_check_makes_a_new_target_healthy_and_thresholds_count_afterwards() -> None:
    health = agent.Health()
    assert health.note(agent.PASSED, CHECK)
    assert health.state == "healthy"
    assert not health.note(agent.FAILED, CHECK)
    assert health.note(agent.TIMED_OUT, CHECK)
    assert (health.state, health.reason) == ("unhealthy", "Target.Timeout")
    assert [health.note(agent.PASSED, CHECK) for _ in range(3)] == [False, False, True]
    assert (health.state, health.reason) == ("healthy", None)


def test_a_new_target_that_fails_is_unhealthy_at_the_threshold() -> None:
    health = agent.Health()
    assert not health.note(agent.FAILED, CHECK)
    assert health.state == "initial"
    assert health.note(agent.FAILED, CHECK)
    assert health.state == "unhealthy"


def test_requests_go_to_healthy_targets_or_else_to_unhealthy_ones() -> None:
    targets = {key: agent.Target(key, "10.0.0.1", 80, "") for key in "abcd"}
    group_ = agent.Group("tg", CHECK, targets)
    assert group_.wanted() == set()
    targets["a"].health.state = targets["b"].health.state = "unhealthy"
    assert group_.wanted() == {"a", "b"}
    targets["c"].health.state = "healthy"
    assert group_.wanted() == {"c"}
    targets["c"].draining = True
    assert group_.wanted() == {"a", "b"}


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[int]:
    """A server that answers every connection with the same bytes, or never."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reply is None:
            await asyncio.sleep(5)
        writer.write(reply or b"")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", lambda found: found == agent.PASSED),
        (b"HTTP/1.0 302 Found\r\n\r\n", lambda found: found == agent.PASSED),
        (b"HTTP/1.1 503 No\r\n\r\n", lambda found: found.description == "Health checks failed with these codes: [503]"),
        (b"rubbish\r\n", lambda found: found == agent.FAILED),
        (b"", lambda found: found == agent.FAILED),
        (None, lambda found: found == agent.TIMED_OUT),
    ],
)
def test_what_a_check_finds(reply: bytes | None, expected: Callable[[agent.Outcome], bool]) -> None:
    async def look() -> agent.Outcome:
        async with answering(reply) as port:
            return await agent.probe("127.0.0.1", port, CHECK)

    assert expected(asyncio.run(look()))


def test_nobody_listening_is_a_failed_check() -> None:
    assert asyncio.run(agent.probe("127.0.0.1", 1, CHECK)) == agent.FAILED
