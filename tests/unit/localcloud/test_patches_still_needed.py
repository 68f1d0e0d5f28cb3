"""Every work-round for moto works, and is still needed.

The proofs are in ``tests/support/gaps``.
"""

import pkgutil
from collections.abc import Iterator

import pytest

import localcloud.patches
from support.control_plane import Cloud, control_plane_process
from support.gaps import Gap, all_gaps

GAPS = all_gaps()
# Needs the catalogue of Debian's images, which only the local cloud has: tests/localcloud/test_services.py.
PROVEN_ELSEWHERE = {"ssm"}


@pytest.fixture(scope="module")
def patched_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with control_plane_process(tmp_path_factory.mktemp("patched")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def stock_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with control_plane_process(tmp_path_factory.mktemp("stock"), patched=False) as cloud:
        yield cloud


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: f"{gap.patch}.{gap.name}")
def test_the_work_round_works(gap: Gap, patched_plane: Cloud) -> None:
    patched_plane.reset()
    gap.show(patched_plane)


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: f"{gap.patch}.{gap.name}")
def test_the_work_round_is_still_needed(gap: Gap, stock_plane: Cloud) -> None:
    stock_plane.reset()
    try:
        gap.show(stock_plane)
    except (Exception, pytest.fail.Exception):
        # Any failure of stock moto shows the gap: a wrong answer, a missing refusal, HTTP 500.
        return
    pytest.fail(f"moto has caught up on {gap.name}: take that work-round out of localcloud/patches/{gap.patch}.py")


def test_every_module_of_patches_has_a_proof() -> None:
    modules = {entry.name for entry in pkgutil.iter_modules(localcloud.patches.__path__) if entry.name[0] != "_"}
    assert modules - {gap.patch for gap in GAPS} == PROVEN_ELSEWHERE
