"""Every role's argument specs say the same as its defaults, and every API module is in the collection's group."""

from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (REPOSITORY / "roles").iterdir() if (path / "meta").is_dir())


def load(path: Path) -> dict:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: Path) -> dict:
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_specs_and_defaults_agree(role):
    specs, defaults = options(role), load(role / "defaults" / "main.yml")
    assert (role / "meta" / "argument_specs.yml").exists(), f"{role.name} has no meta/argument_specs.yml"
    assert set(defaults) - set(specs) == set(), "in defaults, not in specs"
    without = {name for name, option in specs.items() if "default" not in option}
    # What has no default in the specs may be left unset (null) in the defaults, never have a value there.
    assert {name for name in without if defaults.get(name) is not None} == set(), "default missing in specs"
    differing = {
        name: (option["default"], defaults.get(name, "nothing"))
        for name, option in specs.items()
        if "default" in option and option["default"] != defaults.get(name, "nothing")
    }
    assert differing == {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_value_is_required_or_has_a_default_or_is_documented(role):
    text = (role / "defaults" / "main.yml").read_text() if (role / "defaults" / "main.yml").exists() else ""
    for name, option in options(role).items():
        if "default" not in option and name.startswith(f"{role.name}_"):
            assert f"{name}" in text, f"{name} has no default and is not mentioned in defaults/main.yml"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_carry_the_role_s_name(role):
    allowed = (f"{role.name}_", "stackyard_") if role.name.endswith("_stack") else (f"{role.name}_",)
    assert [name for name in options(role) if not name.startswith(allowed)] == []


def test_every_api_module_takes_the_group_s_defaults():
    group = load(REPOSITORY / "meta" / "runtime.yml")["action_groups"]["aws"]
    modules = REPOSITORY / "plugins" / "modules"
    calling = {path.stem for path in modules.glob("*.py") if "import AnsibleAWSModule" in path.read_text()}
    assert calling == {entry for entry in group if isinstance(entry, str)}
