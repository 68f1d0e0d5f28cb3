# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jenkins' configuration as code, made of the variables of the role jenkins.

Secrets are named in it and never part of it. Texts arrive in Jenkins as they were given, also where they look like the
name of a secret; what an operator gives in the words of Configuration as Code itself is left as it is. What an entry
lacks is empty: the role refuses it by then.
"""

from __future__ import annotations

SECRETS = "/etc/jenkins/secrets"
FLEET_CREDENTIAL = "fleet"
# As the role jenkins_agent has them.
AGENT_FOLDER = "/var/lib/jenkins-agent"
AGENT_JAVA = "/opt/java/current/bin/java"
# Names under which plug-ins keep what is secret.
SECRET_ENDINGS = ("password", "passphrase", "secret", "token", "privatekey", "secretbytes", "apikey", "accesskey")


def literal(value):
    """Return a value such that Configuration as Code takes every text as it is."""
    if isinstance(value, dict):
        return {key: literal(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [literal(entry) for entry in value]
    return value.replace("${", "^${") if isinstance(value, str) else value


def without_nothing(mapping: dict) -> dict:
    """Return a mapping without what is empty; numbers and no stay."""
    return {key: value for key, value in mapping.items() if value not in ("", None, [], {})}


def permission(entry: dict) -> dict:
    """Return an entry of the matrix."""
    kind = "user" if entry.get("user") else "group"
    return {kind: literal({"name": entry.get(kind, ""), "permissions": list(entry.get("permissions", []))})}


def agent(entry: dict) -> dict:
    """Return a permanent agent."""
    if entry.get("launcher", "inbound") == "ssh":
        launcher = {
            "ssh": {
                "host": entry.get("host", ""),
                "port": entry.get("port", 22),
                "credentialsId": entry.get("credentials", ""),
                "sshHostKeyVerificationStrategy": {
                    "manuallyProvidedKeyVerificationStrategy": {"key": entry.get("host_key", "")}
                },
            }
        }
    else:
        launcher = {"inbound": {"webSocket": True}}
    node = {
        "name": entry["name"],
        "labelString": " ".join(entry.get("labels") or []),
        "numExecutors": entry.get("executors", 1),
        "remoteFS": entry.get("folder", "/var/lib/jenkins-agent"),
        "mode": "EXCLUSIVE" if entry.get("exclusive") else "NORMAL",
        "retentionStrategy": "always",
        "launcher": launcher,
    }
    return {"permanent": literal(without_nothing(node))}


def credential(entry: dict) -> dict:
    """Return a credential, with the name of its secret."""
    name = f"credential-{entry['id']}"
    value = f"${{{name}}}"
    common = literal({
        "id": entry["id"],
        "description": entry.get("description", ""),
        "scope": entry.get("scope", "GLOBAL"),
    })  # fmt: skip
    kind = entry["kind"]
    if kind == "password":
        return {"usernamePassword": {**common, "username": literal(entry.get("username", "")), "password": value}}
    if kind == "text":
        return {"string": {**common, "secret": value}}
    if kind == "file":
        content = f"${{readFileBase64:{SECRETS}/{name}}}"
        return {"file": {**common, "fileName": literal(entry.get("filename", "")), "secretBytes": content}}
    key = {"directEntry": {"privateKey": value}}
    return {
        "basicSSHUserPrivateKey": {**common, "username": literal(entry.get("username", "")), "privateKeySource": key}
    }


def fleet(settings: dict) -> dict:
    """Return the cloud of an Auto Scaling group's agents, as the plug-in ec2-fleet has it."""
    cloud = literal({
        "name": settings["group"],
        "fleet": settings["group"],
        "region": settings["region"],
        "labelString": " ".join(settings["labels"]),
        "fsRoot": AGENT_FOLDER,
    })  # fmt: skip
    connector = {
        "credentialsId": FLEET_CREDENTIAL,
        "port": 22,
        "javaPath": AGENT_JAVA,
        # A machine answers before it has the key.
        "launchTimeoutSeconds": 60,
        "maxNumRetries": 10,
        "retryWaitTime": 15,
        # Every machine has a key of its own, that nobody can know before it has booted.
        "sshHostKeyVerificationStrategy": {
            "manuallyTrustedKeyVerificationStrategy": {"requireInitialManualTrust": False}
        },
    }
    numbers = {
        "minSize": 0,
        "maxSize": settings["max"],
        "numExecutors": settings["executors"],
        "idleMinutes": settings["idle_minutes"],
    }
    switches = {
        "privateIpUsed": True,
        "addNodeOnlyIfRunning": True,
        "alwaysReconnect": True,
        "noDelayProvision": True,
        "restrictUsage": True,
    }
    return {"eC2Fleet": {**cloud, **numbers, **switches, "computerConnector": {"sshConnector": connector}}}


def fleet_credential() -> dict:
    """Return the credential by which Jenkins itself, and no job, reaches the group's agents."""
    return {
        "basicSSHUserPrivateKey": {
            "id": FLEET_CREDENTIAL,
            "description": "Agents of the Auto Scaling group",
            "scope": "SYSTEM",
            "username": "jenkins",
            "privateKeySource": {"directEntry": {"privateKey": "${fleet-key}"}},
        }
    }


def realm(settings: dict) -> dict:
    """Return how users log in."""
    if settings.get("security_realm"):
        return settings["security_realm"]
    users = [{"id": user, "password": f"${{password-{user}}}"} for user in sorted(settings.get("users") or [])]
    return {"local": {"allowsSignup": False, "users": users}}


def own(settings: dict) -> dict:
    """Return what follows from the role's variables, without the operator's further configuration."""
    if settings.get("permissions"):
        authorization = {"globalMatrix": {"entries": [permission(entry) for entry in settings["permissions"]]}}
    else:
        authorization = {"loggedInUsersCanDoAnything": {"allowAnonymousRead": False}}
    jenkins = {
        "systemMessage": literal(settings.get("system_message", "")),
        "numExecutors": settings.get("executors", 0),
        "slaveAgentPort": settings.get("agent_port", -1),
        "securityRealm": realm(settings),
        "authorizationStrategy": authorization,
        # Behind a load balancer of several addresses a visitor's own is not the same for every request.
        "crumbIssuer": {"standard": {"excludeClientIPFromCrumb": True}},
        "nodes": [agent(entry) for entry in settings.get("agents") or []],
        "views": settings.get("views") or [],
        "clouds": [fleet(settings["fleet"])] if settings.get("fleet") else [],
    }
    location = {"url": settings["url"], "adminAddress": settings.get("admin_address", "")}
    credentials = [credential(entry) for entry in settings.get("credentials") or []]
    if settings.get("fleet"):
        credentials.append(fleet_credential())
    return without_nothing({
        "jenkins": without_nothing(jenkins),
        "unclassified": {"location": literal(without_nothing(location))},
        "credentials": {"system": {"domainCredentials": [{"credentials": credentials}]}} if credentials else {},
        "tool": settings.get("tools") or {},
        "jobs": [{"script": literal(entry["script"])} for entry in settings.get("jobs") or []],
    })  # fmt: skip


def merged(first: dict, second: dict) -> dict:
    """Return both; where both have a mapping it is that of both, else the second's value."""
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def configuration(settings: dict) -> dict:
    """Return the configuration."""
    return merged(own(settings), settings.get("configuration") or {})


def conflicts(first, second, path: str = "") -> list[str]:
    """Return where the second one says what the first one says."""
    found = []
    for key, value in second.items():
        where = f"{path}.{key}" if path else str(key)
        if key in first:
            both = isinstance(value, dict) and isinstance(first[key], dict)
            found += conflicts(first[key], value, where) if both else [where]
    return found


def secrets_in_the_clear(value, path: str = "") -> list[str]:
    """Return where a text stands under a name for secrets and is not the name of one."""
    found = []
    if isinstance(value, dict):
        for key, entry in value.items():
            where = f"{path}.{key}" if path else str(key)
            named = str(key).lower().endswith(SECRET_ENDINGS)
            if named and isinstance(entry, str) and entry and not entry.startswith("${"):
                found.append(where)
            found += secrets_in_the_clear(entry, where)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            found += secrets_in_the_clear(entry, f"{path}[{number}]")
    return found


def overridden(settings: dict) -> list[str]:
    """Return where the operator's further configuration sets what the role's variables set."""
    always = {"jenkins": {"systemMessage": "", "nodes": [], "views": []}, "unclassified": {}, "tool": {}, "jobs": []}
    always["credentials"] = []
    always["unclassified"] = {"location": {"url": "", "adminAddress": ""}}
    return sorted(set(conflicts(merged(always, own(settings)), settings.get("configuration") or {})))
