"""A network of the calling thread's own, in which no other process has a socket."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.systemd_container import CLONE_NEWNET, enter_network

if TYPE_CHECKING:
    from collections.abc import Iterator

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # netdevice(7)
IFREQ = struct.Struct("16sh22x")


@contextmanager
def own_network() -> Iterator[None]:
    """Have the calling thread make its sockets there for the block; loopback is up.

    Raises:
        PermissionError: Only root may, with CAP_SYS_ADMIN.
    """
    with Path("/proc/thread-self/ns/net").open() as home:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:  # os.unshare came with Python 3.12
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, SIOCSIFFLAGS, IFREQ.pack(b"lo", IFF_UP))
            yield
        finally:
            enter_network(home.fileno())
