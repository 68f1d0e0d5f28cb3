"""A set of plug-ins that is not what was asked for is refused, and one that is gets locked."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/plugins"


class Bake:
    """A folder that plug-ins are fetched into."""

    def __init__(self, folder: Path) -> None:
        self.module = load(PROGRAM)
        self.folder = folder
        (folder / "plugins").mkdir()
        self.wanted: list[dict[str, str]] = []

    def fetched(self, name: str, version: str, needs: str = "", jenkins: str = "2.500.1") -> str:
        manifest = f"Short-Name: {name}\r\nPlugin-Version: {version}\r\nJenkins-Version: {jenkins}\r\n"
        if needs:
            line = f"Plugin-Dependencies: {needs}"
            manifest += line[:70] + "".join(f"\r\n {line[at : at + 69]}" for at in range(70, len(line), 69)) + "\r\n"
        path = self.folder / "plugins" / f"{name}.jpi"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("META-INF/MANIFEST.MF", manifest)
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()

    def want(self, name: str, version: str, checksum: str) -> None:
        self.wanted.append({"name": name, "version": version, "checksum": checksum})

    def lock(self, *, locked: bool = False) -> int:
        wanted = {"jenkins": "2.580.2", "locked": locked, "plugins": self.wanted}
        (self.folder / "wanted.json").write_text(json.dumps(wanted))
        return self.module.main(["lock", str(self.folder)])


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    return Bake(tmp_path)


def test_set_with_its_dependencies_is_locked_in_the_form_of_the_variable(bake: Bake) -> None:
    git = bake.fetched(
        "git", "5.7.0", "git-client:6.1,mailer:1.0;resolution:=optional," + ",".join(["scm-api:700"] * 9)
    )
    client = bake.fetched("git-client", "6.1.3")
    scm = bake.fetched("scm-api", "700.v1a_b")
    bake.want("git", "5.7.0", git)
    assert bake.lock() == 0
    assert json.loads((bake.folder / "lock.json").read_text()) == [
        {"name": "git", "version": "5.7.0", "checksum": git},
        {"name": "git-client", "version": "6.1.3", "checksum": client},
        {"name": "scm-api", "version": "700.v1a_b", "checksum": scm},
    ]


def test_lock_file_taken_as_the_list_is_complete(bake: Bake) -> None:
    bake.fetched("git", "5.7.0", "git-client:6.1")
    bake.fetched("git-client", "6.1.3")
    assert bake.lock() == 0
    bake.wanted = json.loads((bake.folder / "lock.json").read_text())
    assert bake.lock(locked=True) == 0


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("git", "5.7.1", ""), "came as version 5.7.0 and not 5.7.1"),
        (("git", "5.7.0", "sha256:" + 64 * "0"), "has the checksum"),
        (("mailer", "1.0", ""), "mailer of jenkins_plugins was not fetched"),
    ],
)
def test_other_file_than_the_one_asked_for_is_refused(
    bake: Bake, asked: tuple[str, str, str], sentence: str, capsys
) -> None:
    checksum = bake.fetched("git", "5.7.0")
    bake.want(asked[0], asked[1], asked[2] or checksum)
    assert bake.lock() == 1
    assert sentence in capsys.readouterr().err
    assert not (bake.folder / "lock.json").exists()


def test_set_that_does_not_fit_together_is_refused(bake: Bake, capsys) -> None:
    bake.want("git", "5.7.0", bake.fetched("git", "5.7.0", "git-client:6.2,scm-api:1", "2.600.1"))
    bake.fetched("git-client", "6.1.3")
    assert bake.lock(locked=True) == 1
    said = capsys.readouterr().err
    assert "git-client 6.1.3 are needed and not in jenkins_plugins" in said
    assert "needs Jenkins 2.600.1, and jenkins_version is 2.580.2" in said
    assert "needs git-client 6.2, and it came as 6.1.3" in said
    assert "needs scm-api 1, which was not fetched" in said


def test_file_that_is_no_plug_in_is_refused(bake: Bake, capsys) -> None:
    (bake.folder / "plugins/git.jpi").write_text("<html>Not found</html>")
    assert bake.lock() == 1
    assert "git.jpi is not a plug-in" in capsys.readouterr().err
