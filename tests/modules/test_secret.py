"""The role secret: made once, never shown, restored from its deletion window."""

import json
import subprocess

NAME = "stackyard/demo/wordpress/database"
SECRETS = {
    "secret_tags": {"stackyard:environment": "demo", "stackyard:application": "wordpress"},
    "secret_secrets": [
        {
            "key": "database",
            "name": NAME,
            "description": "Account of the database",
            "fields": {"username": {"value": "wordpress"}, "password": {"random": 32}},
        }
    ],
}


def value(cloud):
    return json.loads(cloud.client("secretsmanager").get_secret_value(SecretId=NAME)["SecretString"])


def test_life_of_a_secret(ansible, cloud):
    assert ansible.run_role("secret", SECRETS, check=True).changed
    assert cloud.writes() == []
    made = ansible.run_role("secret", SECRETS, arguments=("-vvv",))
    first = value(cloud)
    assert first["username"] == "wordpress"
    assert len(first["password"]) == 32
    assert first["password"] not in made.stdout + made.stderr
    assert set(made.facts["secret_result"]["database"]) == {"name", "arn", "public_keys"}

    assert ansible.run_role("secret", SECRETS).changed == []
    more = json.loads(json.dumps(SECRETS))
    more["secret_secrets"][0]["fields"]["replication"] = {"random": 20}
    assert ansible.run_role("secret", more).changed
    second = value(cloud)
    assert second["password"] == first["password"]
    assert len(second["replication"]) == 20

    # In its deletion window, a second removal changes nothing, and the secret comes back as it was.
    absent = SECRETS | {"secret_state": "absent"}
    assert ansible.run_role("secret", absent).changed
    assert ansible.run_role("secret", absent).changed == []
    assert ansible.run_role("secret", more).changed
    assert value(cloud) == second

    ansible.run_role("secret", absent)
    for_good = absent | {"secret_recovery_days": 0}
    assert ansible.run_role("secret", for_good).changed
    assert ansible.run_role("secret", for_good).changed == []
    ansible.run_role("secret", SECRETS)
    assert value(cloud)["password"] != first["password"]


def test_a_window_that_aws_refuses_is_refused(ansible, cloud):
    refused = ansible.run_role("secret", SECRETS | {"secret_recovery_days": 3}, expect_failure=True)
    assert "secret_recovery_days is 3: 0, or a whole number of days from 7 to 30" in refused.messages[0]
    assert cloud.requests() == []


def test_an_ssh_key_is_made_once_and_only_its_public_half_is_told(ansible, cloud):
    keys = json.loads(json.dumps(SECRETS))
    keys["secret_secrets"][0]["fields"] = {"private_key": {"ssh_key": "ed25519"}}
    announced = ansible.run_role("secret", keys, check=True)
    assert announced.facts["secret_result"]["database"]["public_keys"] == {"private_key": ""}
    assert cloud.writes() == []
    made = ansible.run_role("secret", keys, arguments=("-vvv",))
    private = value(cloud)["private_key"]
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert private.splitlines()[1] not in made.stdout + made.stderr
    told = made.facts["secret_result"]["database"]["public_keys"]
    assert told == {"private_key": public_half(private)}
    again = ansible.run_role("secret", keys)
    assert again.changed == []
    assert again.facts["secret_result"]["database"]["public_keys"] == told
    assert value(cloud)["private_key"] == private

    keys["secret_secrets"][0]["fields"] = {"private_key": {"ssh_key": "rsa"}}
    refused = ansible.run_role("secret", keys, expect_failure=True)
    assert "fields.private_key.ssh_key is rsa: ed25519 is accepted." in refused.stdout


def public_half(private):
    """As ssh-keygen has it, and so sshd."""
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", "/dev/stdin"], input=private, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
