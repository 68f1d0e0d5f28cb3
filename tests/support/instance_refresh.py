"""Acting while the module autoscaling_instance_refresh waits."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from support.control_plane import Cloud
from support.waiting import until


@contextlib.contextmanager
def once_followed(cloud: Cloud, act: Callable[[], None]) -> Iterator[None]:
    """Act as soon as the module follows a refresh."""
    cloud.forget_requests()

    def looks() -> bool:
        return [entry["action"] for entry in cloud.requests()].count("DescribeScalingActivities") > 0

    def watch() -> None:
        until("the module's first look", looks, 60)
        act()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    watcher.join()
