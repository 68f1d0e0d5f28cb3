"""backup_vault: its life, what is kept with it, and what is refused."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-jenkins"
TAGS = {"stackyard:environment": "demo", "stackyard:application": "jenkins"}
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.backup_vault", {"name": NAME})


def vaults(cloud):
    return [vault["BackupVaultName"] for vault in cloud.client("backup").list_backup_vaults()["BackupVaultList"]]


def test_a_vault_from_nothing_to_nothing(life, cloud):
    wanted = {"kms_key_arn": KEY, "tags": TAGS}
    created = life.live(wanted)
    assert created["changes"] == [{"action": "create", "type": "backup vault", "name": NAME}]
    vault = cloud.client("backup").describe_backup_vault(BackupVaultName=NAME)
    assert (vault["EncryptionKeyArn"], vault["BackupVaultArn"]) == (KEY, created["arn"])
    assert cloud.client("backup").list_tags(ResourceArn=created["arn"])["Tags"] == TAGS
    # One that is there is taken as it is where no key is asked for; another key is not.
    assert life.run({"tags": TAGS})["changed"] is False
    assert "AWS cannot alter it" in life.refused({"kms_key_arn": KEY[:-1] + "6"})
    altered = life.live(wanted | {"tags": TAGS | {"owner": "me"}})
    assert [change["type"] for change in altered["changes"]] == ["tags of backup vault"]
    assert life.live({"state": "absent"})["kept"] == []
    assert vaults(cloud) == []


def test_a_vault_that_holds_recovery_points_stays_until_they_are_purged(life, cloud):
    life.run({})
    system = cloud.client("efs").create_file_system(CreationToken="home")["FileSystemArn"]
    points = sorted(
        cloud.client("backup").start_backup_job(BackupVaultName=NAME, ResourceArn=system, IamRoleArn=ROLE)[
            "RecoveryPointArn"
        ]
        for _ in range(2)
    )
    kept = life.sequence([({"state": "absent"}, True), ({"state": "absent"}, False)])
    assert [(result["kept"], result["changed"]) for result in kept] == [(points, False)] * 2
    assert vaults(cloud) == [NAME]
    purged = life.live({"state": "absent", "purge": True})
    assert [(change["type"], change["name"]) for change in purged["changes"]] == [
        ("recovery point", points[0]),
        ("recovery point", points[1]),
        ("backup vault", NAME),
    ]
    assert vaults(cloud) == []
