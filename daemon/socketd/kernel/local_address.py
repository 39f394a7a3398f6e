"""Which addresses are this host's."""

from __future__ import annotations

import _socket
import errno


def is_local(host: str) -> bool:
    """Ask whether a numeric address is one of this network namespace, by binding a UDP socket to it.

    Nothing is sent, and the port is of the kernel's choice. When in doubt it is: with ip_nonlocal_bind set,
    or without a descriptor left.

    Source: ip(7) EADDRNOTAVAIL.
    """
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    try:
        probe = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    except OSError:
        return True
    try:
        probe.bind((host, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    finally:
        probe.close()
    return True
