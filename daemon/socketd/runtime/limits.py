"""How many descriptors the process may have: asked for once, at the start."""

from __future__ import annotations

import logging
import resource

MOST_RESERVED = 512

log = logging.getLogger(__name__)


def ask_for_descriptors(wanted: int) -> int:
    """Set RLIMIT_NOFILE to ``wanted``, or to the most the system gives; return what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):  # above the hard limit without CAP_SYS_RESOURCE, or above fs.nr_open
        got = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (got, hard))
        log.info(
            "%d descriptors asked for, %d given: LimitNOFILE= of the service or `ulimit -Hn` caps them",
            wanted,
            got,
        )
        return got
    return wanted


def for_sockets(descriptors: int) -> int:
    """How many of them held sockets may use: some are left for those who come to close one."""
    return descriptors - min(descriptors // 8, MOST_RESERVED)


def for_connections(descriptors: int) -> int:
    """How many of them connections of the API may use: idle ones do not keep others from making sockets."""
    return max(descriptors // 2, 16)
