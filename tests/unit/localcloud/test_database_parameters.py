"""RDS's parameters: families, formulas, limits."""

import pytest

from localcloud import database_parameters as parameters
from localcloud.database_engines import ENGINES, Tuning

GIB = 1 << 30


@pytest.mark.parametrize(
    ("engine", "version", "family"),
    [("mysql", "8.4.6", "mysql8.4"), ("mariadb", "10.11.13", "mariadb10.11"), ("postgres", "17.6", "postgres17")],
)
def test_versions_belong_to_families(engine: str, version: str, family: str) -> None:
    assert parameters.family(engine, version) == family
    assert parameters.engine_of(family) == engine
    assert family in parameters.families()


@pytest.mark.parametrize(
    ("given", "full"), [(None, "8.4.6"), ("8.0", "8.0.43"), ("8.0.42", "8.0.42"), ("8", "8.4.6"), ("9.9", "9.9")]
)
def test_versions_are_completed(given: str | None, full: str) -> None:
    assert parameters.full_version("mysql", given) == full


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("100", 100),
        ("{DBInstanceClassMemory*3/4}", GIB * 3 // 4),
        ("{DBInstanceClassMemory/12582880}", GIB // 12582880),
        ("{LEAST({DBInstanceClassMemory/9531392},5000)}", GIB // 9531392),
        ("{GREATEST({DBInstanceClassMemory*1024/63963136},65536)}", 65536),
        ("{SUM(1,{GREATEST(2,3)})}", 4),
    ],
)
def test_formulas_are_evaluated(formula: str, value: int) -> None:
    assert parameters.evaluate(formula, "db.t4g.micro") == str(value)


@pytest.mark.parametrize("formula", ["{DBInstanceMemory}", "{}", "{1+1}", "{__import__}"])
def test_other_formulas_are_refused(formula: str) -> None:
    with pytest.raises(parameters.ParameterError):
        parameters.evaluate(formula, "db.t4g.micro")


@pytest.mark.parametrize(
    ("family", "name", "value", "allowed"),
    [
        ("mysql8.4", "max_connections", "1", True),
        ("mysql8.4", "max_connections", "100001", False),
        ("mysql8.4", "max_connections", "many", False),
        ("mysql8.4", "require_secure_transport", "on", False),
        ("mysql8.4", "log_output", "FILE,TABLE", True),
        ("mysql8.4", "log_output", "SYSLOG", False),
        ("mysql8.4", "sql_mode", "ANYTHING", True),
        ("postgres17", "log_min_duration_statement", "-1", True),
        ("postgres17", "log_min_duration_statement", "-2", False),
    ],
)
def test_values_are_checked(family: str, name: str, value: str, allowed: bool) -> None:
    parameter = parameters.catalogue(family)[name]
    if allowed:
        parameter.check(value)
    else:
        with pytest.raises(parameters.ParameterError, match=name):
            parameter.check(value)


def test_tls_is_required_where_rds_requires_it() -> None:
    found = {
        family: parameters.catalogue(family)[name].default
        for family, name in (
            ("mysql8.0", "require_secure_transport"),
            ("mysql8.4", "require_secure_transport"),
            ("postgres14", "rds.force_ssl"),
            ("postgres17", "rds.force_ssl"),
        )
    }
    assert found == {"mysql8.0": "0", "mysql8.4": "1", "postgres14": "0", "postgres17": "1"}


@pytest.mark.parametrize("engine", ["mysql", "postgres"])
def test_configuration_holds_what_the_group_sets(engine: str) -> None:
    family = "mysql8.4" if engine == "mysql" else "postgres17"
    text = "\n".join(ENGINES[engine].files(Tuning(family, {"max_connections": "77"}, "db.t4g.micro", 3307)).values())
    assert "77" in next(line for line in text.splitlines() if "max_connections" in line)
    assert "3307" in text
    # A machine of the database's own is assumed by RDS's default, not by this one.
    assert "buffer_pool_size" not in text
    assert "shared_buffers" not in text
