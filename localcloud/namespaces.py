"""Sockets in the network of another process.

A socket belongs to the network namespace in which it was made, and a thread can visit another one: so does one of its
own, which ends with the visit.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable

CLONE_NEWNET = 0x40000000


def visit(pid: int, make: Callable[[], socket.socket]) -> socket.socket:
    """What ``make`` returns in the network of a process.

    Raises:
        OSError: The process is gone, or ``make`` raised it.
    """
    result: list[socket.socket | OSError] = []

    def run() -> None:
        try:
            descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(descriptor)
            result.append(make())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    outcome = result[0]
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def listening_socket(pid: int, address: str, port: int) -> socket.socket:
    """A listening TCP socket in the network of a process.

    Raises:
        OSError: The process is gone, or the address is not there.
    """

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(16)
        return listener

    return visit(pid, listen)
