"""boot_variables against the control plane: what a machine learns at boot, and the sentence when it cannot."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "s3cret-{{ 1 + 1 }}-value"
NAME = "stackyard/demo/wordpress/database"


@pytest.fixture
def boot(ansible, cloud, tmp_path: Path):
    """Runs the module with the environment that a machine's unit has."""

    def run(
        document: Any, *, image: Any = None, credentials: bool = True, endpoint: str = cloud.endpoint, **options: Any
    ) -> Any:
        path, record = tmp_path / "boot.json", tmp_path / "image.json"
        for file, content in ((path, document), (record, image)):
            if content is not None:
                file.write_text(content if isinstance(content, str) else json.dumps(content))
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
        }
        if credentials:
            environment |= {"AWS_ACCESS_KEY_ID": cloud.access_key, "AWS_SECRET_ACCESS_KEY": cloud.secret_key}
        else:
            environment |= {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
        task = {
            "name": "Read",
            "stackyard.aws.boot_variables": {"path": str(path), "image_path": str(record), "timeout": 0},
            "environment": environment,
            "vars": {"ansible_python_interpreter": sys.executable},
        }
        return ansible.run_tasks([task], **options)

    return run


def document(**parts: Any) -> dict[str, Any]:
    return {"application": "wordpress", "environment": "demo", "region": "us-east-1", **parts}


def secret(cloud, value: str, name: str = NAME) -> None:
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=value)


def test_variables_and_secrets_come_together(boot, cloud) -> None:
    secret(cloud, json.dumps({"username": "wordpress", "password": PASSWORD}))
    secret(cloud, json.dumps({"AUTH_KEY": "salt"}), "salts")
    secret(cloud, "12345678", "plain")
    cloud.forget_requests()
    result = boot(
        document(
            group="demo-wordpress",
            variables={"wordpress_title": "A {{ title }}"},
            secrets={
                "wordpress_database_password": {"secret": NAME, "key": "password"},
                "wordpress_database_user": {"secret": NAME, "key": "username"},
                "wordpress_salts": {"secret": "salts"},
                "wordpress_admin_password": {"secret": "plain"},
            },
        )
    ).last
    assert result["variables"] == {
        "wordpress_title": "A {{ title }}",
        "wordpress_database_password": PASSWORD,
        "wordpress_database_user": "wordpress",
        "wordpress_salts": {"AUTH_KEY": "salt"},
        "wordpress_admin_password": "12345678",
    }
    assert result["group"] == "demo-wordpress"
    assert result["changed"] is False
    assert len(cloud.requests()) == 3, "each secret is fetched once"
    assert cloud.writes() == []


def test_what_the_image_was_made_with_is_below_the_document(boot, cloud) -> None:
    secret(cloud, "value", "plain")
    image = {
        "application": "wordpress",
        "version": "6.8",
        "variables": {"wordpress_version": "6.8", "wordpress_title": "Baked", "a_password": "baked"},
    }
    given = document(variables={"wordpress_title": "Given"}, secrets={"a_password": {"secret": "plain"}})
    assert boot(given, image=image).last["variables"] == {
        "wordpress_version": "6.8",
        "wordpress_title": "Given",
        "a_password": "value",
    }


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("{", "is not JSON"),
        ([], "must hold a JSON object with the mapping 'variables'."),
        ({"variables": ["a"]}, "must hold a JSON object with the mapping 'variables'."),
        ({"variables": {"ansible_host": "a"}}, "holds what is no role variable: ansible_host."),
    ],
)
def test_a_broken_record_of_the_image_is_told(boot, image: Any, words: str) -> None:
    said = boot(document(), image=image, expect_failure=True).last["msg"]
    assert said.startswith("The image's record ")
    assert words in said


def test_check_mode_reads_the_same(boot, cloud) -> None:
    secret(cloud, "value", "plain")
    wanted = document(secrets={"a_password": {"secret": "plain"}})
    assert boot(wanted, check=True).last["variables"] == {"a_password": "value"}


@pytest.mark.parametrize(
    ("value", "reference", "words"),
    [
        (None, {"secret": NAME}, f"The secret '{NAME}' (for a_password) does not exist in us-east-1."),
        ('{"username": "u"}', {"secret": NAME, "key": "password"}, "has no key 'password'; it has username."),
        ("not JSON", {"secret": NAME, "key": "password"}, "is not a JSON object, so it has no key 'password'"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told(boot, cloud, value: str | None, reference: dict, words: str) -> None:
    if value:
        secret(cloud, value)
    result = boot(document(secrets={"a_password": reference}), expect_failure=True)
    assert words in result.last["msg"]
    assert "\n" not in result.last["msg"]


def test_a_secret_on_its_way_out_is_told(boot, cloud) -> None:
    secret(cloud, "value")
    cloud.client("secretsmanager").delete_secret(SecretId=NAME)
    result = boot(document(secrets={"a_password": {"secret": NAME}}), expect_failure=True)
    assert "scheduled for deletion" in result.last["msg"]


def test_missing_credentials_are_told(boot) -> None:
    result = boot(document(secrets={"a_password": {"secret": NAME}}), credentials=False, expect_failure=True)
    assert result.last["msg"] == (
        f"There are no AWS credentials to read the secret '{NAME}' (for a_password) with: "
        "the instance needs an instance profile."
    )


def test_an_unreachable_endpoint_is_told(boot) -> None:
    result = boot(
        document(secrets={"a_password": {"secret": NAME}}), endpoint="http://127.0.0.1:9", expect_failure=True
    )
    assert result.last["msg"].startswith(
        f"Secrets Manager in us-east-1 cannot be reached for '{NAME}' (for a_password)"
    )


def test_a_broken_document_is_told(boot) -> None:
    assert "is not JSON" in boot("{", expect_failure=True).last["msg"]
    assert (
        "needs 'region'" in boot({"application": "wordpress", "environment": "demo"}, expect_failure=True).last["msg"]
    )
