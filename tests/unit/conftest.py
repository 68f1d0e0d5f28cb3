"""A DynamoDB over HTTP for what runs on machines."""

from collections.abc import Iterator

import pytest

from support.control_plane import Cloud, control_plane_process


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The control plane, in a process of its own."""
    with control_plane_process(tmp_path_factory.mktemp("control-plane")) as cloud:
        yield cloud
