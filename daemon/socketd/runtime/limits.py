"""How many descriptors the process may have: asked for once, at the start."""

from __future__ import annotations

import logging
import resource

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
