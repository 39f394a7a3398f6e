"""Ports for what must be told one before it is bound: of no other test process, and of no connection."""

from __future__ import annotations

import errno
import socket
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

RANGE = range(12_000, 32_000)  # the kernel gives away those from 32768 on (ip_local_port_range)
BLOCK = 50


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Give a port that nobody has at any address, and that others who ask for one are not given."""
    ports = own_ports()
    for _ in range(BLOCK):
        port = next(ports)
        if _is_free(port, kind):
            return port
    raise OSError(errno.EADDRINUSE, "every port of this process's block is taken")


@cache
def own_ports() -> Iterator[int]:
    """Take a block of ports until this process ends; go round in it for ever.

    A name in the abstract namespace says that a block is taken: like a port it belongs to the network
    namespace, only one socket can have it, and it ends with its process.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as owner:
        for first in RANGE[::BLOCK]:
            try:
                owner.bind(f"\0socketd-tests-ports-{first}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                owner.detach()  # nobody closes it any more
                return cycle(range(first, first + BLOCK))
    raise OSError(errno.EADDRINUSE, "every block of ports is taken")


def _is_free(port: int, kind: int) -> bool:
    """Bind it at every address: what one of them has is refused."""
    has_both = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if has_both else socket.AF_INET, kind) as sock:
        if has_both:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            sock.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
