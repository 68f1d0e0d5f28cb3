"""A home is begun once, whichever machine does it: the lease's item remembers."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from support.control_plane import Cloud
from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/begun"
TABLE = "demo-jenkins-leases"


@pytest.fixture(scope="module", autouse=True)
def table(dynamodb: Cloud) -> None:
    """The lease's table."""
    dynamodb.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "lease", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "lease", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def machine(dynamodb: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, on a machine of its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", dynamodb.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", dynamodb.secret_key)
    module = load(PROGRAM)
    module.MACHINE, module.LEASE, module.BEGUN = (tmp_path / name for name in ("machine.json", "lease.json", "begun"))
    module.MACHINE.write_text(json.dumps({"name": "demo/jenkins"}))
    module.LEASE.write_text(json.dumps({"table": TABLE, "lease": "jenkins", "region": dynamodb.region}))
    return module


def test_the_second_machine_knows_what_the_first_has_told(machine: ModuleType, dynamodb: Cloud, capsys) -> None:
    key = {"lease": {"S": "jenkins"}}
    # As the lease's daemon has it.
    dynamodb.client("dynamodb").put_item(TableName=TABLE, Item=key | {"token": {"N": "7"}})
    assert machine.main(["read"]) == 0
    assert not machine.BEGUN.exists()
    assert machine.main(["write"]) == 0
    assert machine.BEGUN.exists()
    machine.BEGUN.unlink()
    assert machine.main(["read"]) == 0
    assert machine.BEGUN.exists()
    assert machine.main(["write"]) == 0
    assert capsys.readouterr().out.split() == ["new", "told", "begun", "begun"]
    item = dynamodb.client("dynamodb").get_item(TableName=TABLE, Key=key)["Item"]
    assert (item["home"], item["token"]) == ({"S": "demo/jenkins"}, {"N": "7"})


def test_a_home_of_another_name_is_another(machine: ModuleType, capsys) -> None:
    machine.main(["write"])
    machine.MACHINE.write_text(json.dumps({"name": "demo/another"}))
    assert machine.main(["read"]) == 0
    assert capsys.readouterr().out.split()[-1] == "new"
    assert not machine.BEGUN.exists()


def test_other_words_are_refused(machine: ModuleType, capsys) -> None:
    assert machine.main([]) == 2
    assert "usage: begun read|write" in capsys.readouterr().err
