"""Volumes come to machines that may end at any moment."""

import subprocess
import sys
import time
from pathlib import Path

from localcloud import volumes


def test_a_machine_that_has_just_ended_gets_no_disk_and_is_no_error() -> None:
    # Nobody has asked for its end: its folder of /proc is there, and leads nowhere.
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        while "Z (zombie)" not in Path(f"/proc/{ended.pid}/status").read_text():
            time.sleep(0.05)
        volumes._make_node(ended.pid, "vol-0123456789abcdef0", "/dev/null")
