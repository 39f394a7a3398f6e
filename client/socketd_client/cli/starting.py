"""What ``exec`` and ``run`` do before the program runs: which sockets, which program, and taking them.

Nothing here knows click, and everything up to ``obtained`` asks nobody: see ``plain``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from socketd_client.activation import FIRST
from socketd_client.cli import activation
from socketd_client.cli.wanted import Wanted, listening, obtain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.cli.session import Session

BACKLOG: Final = 4096  # the kernel caps it at net.core.somaxconn


def wanted_sockets(given: Mapping[str, Any]) -> list[Wanted]:
    """Collect the sockets that the options name, in the order: listen, udp, seqpacket, take.

    Raises:
        ValueError: One is named twice; or none, and none was handed to us either.
    """
    backlog = given["backlog"]
    found = [Wanted(name, listening(address, backlog)) for name, address in given["listen"]]
    found += [Wanted(name, {"type": "dgram", "bind": address}) for name, address in given["udp"]]
    found += [Wanted(name, listening(address, backlog, "seqpacket")) for name, address in given["seqpacket"]]
    found += [Wanted(ref) for ref in given["take"]]
    refs = [one.ref for one in found]
    for ref in refs:
        if refs.count(ref) > 1:
            raise ValueError(f"socket {ref!r} is named twice")
    if not found and not inherited():
        raise ValueError("no socket is named: give --listen NAME=ADDRESS, --udp or --take")
    return found


def program(given: Mapping[str, Any], wanted: list[Wanted]) -> activation.Program:
    """Read the program and its arguments; raises as ``Program.of``."""
    names = [*inherited(), *(one.name for one in wanted)]
    return activation.Program.of(given["program"], names, given["env"])


def obtained(session: Session, given: Mapping[str, Any], wanted: list[Wanted]) -> list[int]:
    """Ensure and take the sockets; those that were handed to us come first, where they are.

    The others have close-on-exec, and are the caller's.
    """
    fds = list(range(FIRST, FIRST + len(inherited())))
    if wanted:
        with session.direct() as direct:
            fds += obtain(direct, wanted, blocking=given["blocking"])
    return fds


def inherited() -> tuple[str, ...]:
    """Name the sockets that whoever started this command handed to it."""
    return tuple(activation.inherited(os.environ, os.getpid()))
