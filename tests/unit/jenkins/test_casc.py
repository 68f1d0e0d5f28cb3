"""A configuration that asks for what is not there is refused before Jenkins reads it."""

import json
from pathlib import Path

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/casc"
WHOLE = {
    "jenkins": {
        "securityRealm": {"local": {"users": [{"id": "admin", "password": "${password-admin}"}]}},
        "authorizationStrategy": {"loggedInUsersCanDoAnything": {}},
        "crumbIssuer": {"standard": {}},
    },
    "unclassified": {"location": {"url": "https://jenkins.example.org/"}},
}


@pytest.fixture
def check(tmp_path: Path):
    module = load(PROGRAM)
    module.SECRETS = tmp_path / "secrets"
    module.SECRETS.mkdir()
    (module.SECRETS / "password-admin").touch()

    def call(text: str) -> int:
        (tmp_path / "jenkins.yaml").write_text(text)
        return module.main(["check", str(tmp_path / "jenkins.yaml")])

    return call


def test_whole_configuration_is_taken(check) -> None:
    text = {"a": ["^${HOME} costs $5", "${decodeBase64:aGk=}"]}
    assert check(json.dumps(WHOLE | text)) == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"unclassified": {}}, "has no unclassified.location.url"),
        ({"jenkins": {"securityRealm": {"local": {}}}}, "has no jenkins.authorizationStrategy"),
        ({"tool": {"x": ["${token}"]}}, "asks for the secret token"),
        ({"tool": {"x": "a ${base64:${token}} b"}}, "asks for the secret token"),
    ],
)
def test_gap_is_named(check, more: dict, sentence: str, capsys) -> None:
    assert check(json.dumps(WHOLE | more)) == 1
    assert sentence in capsys.readouterr().err


def test_file_of_a_secret_must_be_there(check, tmp_path: Path, capsys) -> None:
    assert check(json.dumps(WHOLE | {"x": f"${{readFileBase64:{tmp_path}/secrets/password-admin}}"})) == 0
    assert check(json.dumps(WHOLE | {"x": f"${{readFileBase64:{tmp_path}/secrets/credential-key}}"})) == 1
    assert "asks for the secret credential-key" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "sentence"), [("{", "is not JSON"), ('{"jenkins": 1, "jenkins": 2}', "given twice")])
def test_what_its_writer_cannot_have_meant_is_refused(check, text: str, sentence: str, capsys) -> None:
    assert check(text) == 1
    assert sentence in capsys.readouterr().err
