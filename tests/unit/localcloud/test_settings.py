"""Settings and prerequisites: a wrong one is one sentence that names it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from localcloud import cli, limits, prerequisites
from localcloud.settings import Settings, SettingsError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.name, settings.port, str(settings.default_vpc_cidr)) == ("stackyard", 4566, "172.31.0.0/16")
    assert settings.endpoint == "http://127.0.0.1:4566"


def test_everything_is_keyed_by_the_name() -> None:
    one, other = (Settings.from_environment({"LOCALCLOUD_NAME": name}) for name in ("one", "other"))
    for attribute in ("state", "table", "image_repository"):
        assert getattr(one, attribute) != getattr(other, attribute)
    assert one.network_name("vpc-1") != other.network_name("vpc-1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCALCLOUD_NAME", ""),
        ("LOCALCLOUD_NAME", "Upper"),
        ("LOCALCLOUD_NAME", "../etc"),
        ("LOCALCLOUD_NAME", "a" * 25),
        ("LOCALCLOUD_PORT", "http"),
        ("LOCALCLOUD_PORT", "80"),
        ("LOCALCLOUD_PORT", "65536"),
        ("LOCALCLOUD_STATE", "relative"),
        ("LOCALCLOUD_STATE", "/"),
        ("LOCALCLOUD_STATE", "/var"),
        ("LOCALCLOUD_DEFAULT_VPC_CIDR", "172.31.0.0"),
        ("LOCALCLOUD_DEFAULT_VPC_CIDR", "172.31.0.0/20"),
        ("LOCALCLOUD_DEFAULT_VPC_CIDR", "172.31.0.1/16"),
        ("LOCALCLOUD_DEFAULT_VPC_CIDR", "8.8.0.0/16"),
        ("LOCALCLOUD_REGION", "mars"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable} is '.*': use .*\.$"):
        Settings.from_environment({variable: value})
    os.environ[variable] = value
    try:
        assert cli.main(["limits"]) == 1
    finally:
        del os.environ[variable]
    assert capsys.readouterr().err.startswith(f"localcloud: {variable} is ")


def test_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(prerequisites.PrerequisiteError, match="needs root: run it with sudo"):
        prerequisites.check_platform()


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ip").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        prerequisites.PrerequisiteError,
        match=r"^podman, nft and dnsmasq are missing: install dnsmasq-base, nftables and podman\.$",
    ):
        prerequisites.check_programs()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo cni", r"uses the network backend 'cni' here: install netavark"),
        ("echo 'cannot do it' >&2; exit 1", r"^podman does not work for root: cannot do it\.$"),
    ],
)
def test_a_podman_that_will_not_do(script: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(prerequisites.PrerequisiteError, match=sentence):
        prerequisites.check_podman()


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(prerequisites.PrerequisiteError, match=f"^Port {port} of 127.0.0.1 is in use"):
            prerequisites.check_port(port)


def test_limits_are_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["limits"]) == 0
    assert capsys.readouterr().out == (REPOSITORY / "docs/limits.md").read_text()
    assert limits.text().startswith("# ")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for command in ("up", "down", "status", "console", "logs", "kill", "limits", "base-image"):
        assert f"\n    {command} " in text
    assert "\n    serve " not in text
