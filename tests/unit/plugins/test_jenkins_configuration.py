"""Jenkins' configuration as code says what the role's variables say, with secrets by name and texts as they are."""

from importlib import import_module


def module():
    return import_module("ansible_collections.stackyard.aws.plugins.module_utils.jenkins_configuration")


def configured(**settings):
    return module().configuration({"url": "https://jenkins.example.org/", "users": ["admin"]} | settings)


def test_least_configuration_is_closed() -> None:
    assert configured() == {
        "jenkins": {
            "numExecutors": 0,
            "slaveAgentPort": -1,
            "securityRealm": {
                "local": {"allowsSignup": False, "users": [{"id": "admin", "password": "${password-admin}"}]}
            },
            "authorizationStrategy": {"loggedInUsersCanDoAnything": {"allowAnonymousRead": False}},
            "crumbIssuer": {"standard": {"excludeClientIPFromCrumb": True}},
        },
        "unclassified": {"location": {"url": "https://jenkins.example.org/"}},
    }


def test_texts_are_not_names_of_secrets() -> None:
    made = configured(
        system_message="costs ${HOME}", jobs=[{"name": "a", "script": "job('x') { steps { shell('${Y}') } }"}]
    )
    assert made["jenkins"]["systemMessage"] == "costs ^${HOME}"
    assert made["jobs"] == [{"script": "job('x') { steps { shell('^${Y}') } }"}]


def test_operator_s_own_words_stay_as_they_are() -> None:
    realm = {"ldap": {"configurations": [{"server": "ldaps://x", "managerPasswordSecret": "${ldap}"}]}}
    made = configured(
        security_realm=realm, tools={"git": {}}, configuration={"unclassified": {"mailer": {"host": "${h}"}}}
    )
    assert made["jenkins"]["securityRealm"] == realm
    assert made["unclassified"] == {"location": {"url": "https://jenkins.example.org/"}, "mailer": {"host": "${h}"}}


def test_credentials_name_their_secrets() -> None:
    made = configured(
        credentials=[
            {"id": "p", "kind": "password", "username": "ada"},
            {"id": "t", "kind": "text", "description": "for ${x}"},
            {"id": "f", "kind": "file", "filename": "k.json", "scope": "SYSTEM"},
            {"id": "s", "kind": "ssh", "username": "git"},
        ]
    )
    listed = made["credentials"]["system"]["domainCredentials"][0]["credentials"]
    assert [next(iter(entry)) for entry in listed] == ["usernamePassword", "string", "file", "basicSSHUserPrivateKey"]
    assert listed[0]["usernamePassword"]["password"] == "${credential-p}"
    assert listed[1]["string"]["description"] == "for ^${x}"
    assert listed[2]["file"]["secretBytes"] == "${readFileBase64:/etc/jenkins/secrets/credential-f}"
    assert listed[2]["file"]["scope"] == "SYSTEM"
    assert listed[3]["basicSSHUserPrivateKey"]["privateKeySource"] == {"directEntry": {"privateKey": "${credential-s}"}}


def test_permissions_and_agents() -> None:
    made = configured(
        permissions=[
            {"user": "ada", "permissions": ["Overall/Administer"]},
            {"group": "x", "permissions": ["Job/Read"]},
        ],
        agents=[
            {"name": "one", "labels": ["a", "b"], "exclusive": True},
            {"name": "two", "launcher": "ssh", "host": "h", "credentials": "k", "host_key": "ssh-ed25519 AAAA"},
        ],
    )
    entries = made["jenkins"]["authorizationStrategy"]["globalMatrix"]["entries"]
    assert entries[0] == {"user": {"name": "ada", "permissions": ["Overall/Administer"]}}
    assert entries[1] == {"group": {"name": "x", "permissions": ["Job/Read"]}}
    one, two = (node["permanent"] for node in made["jenkins"]["nodes"])
    assert (one["labelString"], one["mode"], one["launcher"]) == ("a b", "EXCLUSIVE", {"inbound": {"webSocket": True}})
    assert two["launcher"]["ssh"]["port"] == 22


def test_what_other_variables_set_is_told() -> None:
    overridden = module().overridden
    base = {"url": "https://x/", "users": ["admin"]}
    assert overridden(base | {"configuration": {"unclassified": {"mailer": {}}, "jenkins": {"quietPeriod": 5}}}) == []
    told = overridden(base | {"configuration": {"jenkins": {"numExecutors": 2, "securityRealm": "x", "views": []}}})
    assert told == ["jenkins.numExecutors", "jenkins.securityRealm", "jenkins.views"]
    assert overridden(base | {"configuration": {"jobs": []}}) == ["jobs"]
    assert overridden(base | {"configuration": {"tool": {"git": {}}}}) == []


def test_secrets_in_the_clear_are_told() -> None:
    told = module().secrets_in_the_clear({"a": {"bindPassword": "x", "password": "${p}", "list": [{"apiToken": "y"}]}})
    assert told == ["a.bindPassword", "a.list[0].apiToken"]
    # The descriptor of a realm, not a secret.
    assert module().secrets_in_the_clear({"managerPasswordSecret": "", "tokens": [1]}) == []


def test_environment_of_systemd() -> None:
    write = import_module("ansible_collections.stackyard.aws.plugins.filter.systemd_environment").systemd_environment
    assert write({"B": 'a "b" $c \\d `e`', "A": 1}) == 'A="1"\nB="a \\"b\\" \\$c \\\\d \\`e\\`"\n'


FLEET = {"group": "demo-agents", "region": "eu-central-1", "max": 4, "labels": ["linux", "java"], "executors": 2}


def test_agents_of_a_group_are_a_cloud_of_ec2_fleet() -> None:
    """The names are those of the plug-in's documentation, docs/CONFIGURATION-AS-CODE.md."""
    made = configured(fleet=FLEET | {"idle_minutes": 7}, credentials=[{"id": "t", "kind": "text"}])
    [cloud] = made["jenkins"]["clouds"]
    assert list(cloud) == ["eC2Fleet"]
    fleet = cloud["eC2Fleet"]
    assert (fleet["fleet"], fleet["region"], fleet["labelString"]) == ("demo-agents", "eu-central-1", "linux java")
    assert (fleet["minSize"], fleet["maxSize"], fleet["numExecutors"], fleet["idleMinutes"]) == (0, 4, 2, 7)
    # By the address within the network, and by nobody's credentials but the machine's own role.
    assert fleet["privateIpUsed"] is True
    assert "awsCredentialsId" not in fleet
    connector = fleet["computerConnector"]["sshConnector"]
    [listed] = [
        entry["basicSSHUserPrivateKey"]
        for entry in made["credentials"]["system"]["domainCredentials"][0]["credentials"]
        if "basicSSHUserPrivateKey" in entry
    ]
    assert connector["credentialsId"] == listed["id"]
    assert (listed["scope"], listed["username"]) == ("SYSTEM", "jenkins")
    assert listed["privateKeySource"] == {"directEntry": {"privateKey": "${fleet-key}"}}


def test_no_cloud_can_be_added_beside_that_of_a_group() -> None:
    clouds = {"jenkins": {"clouds": [{"docker": {}}]}}
    settings = {"url": "https://x/", "users": [], "configuration": clouds}
    assert module().overridden(settings) == []
    assert module().overridden(settings | {"fleet": FLEET | {"idle_minutes": 7}}) == ["jenkins.clouds"]
