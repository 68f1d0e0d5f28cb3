"""recovery_point_info: what a vault holds, the newest first."""

import pytest

VAULT, ROLE = "demo-jenkins", "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def listed(ansible):
    """The names of the recovery points that a run lists."""

    def run(**arguments):
        task = {"name": "List", "stackyard.aws.recovery_point_info": {"vault": VAULT, **arguments}}
        return [point["name"] for point in ansible.run_tasks([task]).last["recovery_points"]]

    return run


def test_a_vault_that_does_not_exist_holds_none(listed):
    assert listed() == []


def test_the_newest_comes_first_and_tags_choose(listed, cloud):
    backup, efs = cloud.client("backup"), cloud.client("efs")
    backup.create_backup_vault(BackupVaultName=VAULT)
    first, second = (efs.create_file_system(CreationToken=name)["FileSystemArn"] for name in ("first", "second"))
    for name, system, tags in (("old", first, {"image": "a"}), ("other", second, {}), ("new", first, {"image": "b"})):
        backup.start_backup_job(
            BackupVaultName=VAULT,
            ResourceArn=system,
            IamRoleArn=ROLE,
            RecoveryPointTags={"stackyard:name": name, **tags},
        )
    assert set(listed()) == {"old", "other", "new"}
    assert listed()[0] == "new"
    assert listed(resource_arn=second) == ["other"]
    assert set(listed(tags={"image": None})) == {"old", "new"}
    assert listed(tags={"image": "a"}) == ["old"]
