"""Volumes come to machines that may end at any moment."""

import subprocess
import sys
from pathlib import Path

from localcloud import volumes
from support.waiting import until


def test_a_machine_that_has_just_ended_gets_no_disk_and_is_no_error() -> None:
    # Nobody has asked for its end: its folder of /proc is there, and leads nowhere.
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        until("its end", lambda: "Z (zombie)" in Path(f"/proc/{ended.pid}/status").read_text())
        volumes._make_node(ended.pid, "vol-0123456789abcdef0", "/dev/null")
