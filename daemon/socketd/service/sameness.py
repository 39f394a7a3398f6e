"""Whether a held socket is what a specification asks for; the kernel is asked, no copy is compared."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from socketd import inspection
from socketd.core import options
from socketd.errors import KernelRefusedError
from socketd.service import socket_file

if TYPE_CHECKING:
    from socketd.core.address import Address
    from socketd.core.creation import Plan, Specification
    from socketd.core.entry import Entry
    from socketd.core.options import Option

_DOUBLED: Final = ("SO_RCVBUF", "SO_SNDBUF", "SO_RCVBUFFORCE", "SO_SNDBUFFORCE")
"""The kernel doubles what it is given, to have room for its own bookkeeping (socket(7))."""


def differences(entry: Entry, wanted: Specification, plans: tuple[Plan, ...]) -> tuple[str, ...]:
    """Name the members of ``wanted`` that ``entry`` is not; empty if it is the same.

    A backlog is not compared: the kernel caps it, and ``listen`` changes it at any time.

    Args:
        entry: The one that exists.
        wanted: What is asked for.
        plans: The ways to make that; it need be as one of them.
    """
    view = inspection.View(entry)
    found = []
    fitting = [plan for plan in plans if plan.family == entry.family]
    if not fitting:
        found.append("family")
    if wanted.type != entry.type:
        found.append("type")
    if wanted.protocol not in (0, entry.protocol):
        found.append("protocol")
    if wanted.bind is not None and not (
        _is_at(view.local, [plan.local for plan in fitting]) and _has_access(entry, fitting)
    ):
        found.append("bind")
    if wanted.connect is not None and not _is_at(view.peer, [plan.remote for plan in fitting]):
        found.append("connect")
    if (wanted.backlog is not None) != (view.backlog is not None):
        found.append("listen")
    found += [f"options.{option.name}" for option, value in wanted.options if not _has(entry, option, value)]
    return tuple(found)


def _has_access(entry: Entry, plans: list[Plan]) -> bool:
    asked = [plan.local.file for plan in plans if plan.local is not None]
    return all(socket_file.is_as_asked(each, entry.socket_file) for each in asked)


def _is_at(actual: Address | None, wanted: list[Address | None]) -> bool:
    if actual is None:
        return False
    return any(each is not None and _matches(each, actual) for each in wanted)


def _matches(wanted: Address, actual: Address) -> bool:
    """Compare; a port 0 was the kernel's to choose, and so was the name of an empty Unix address."""
    if wanted == actual or wanted.sockaddr == "":
        return True
    if wanted.family not in (socket.AF_INET, socket.AF_INET6) or wanted.sockaddr[1] != 0:
        return False
    return bool(wanted.sockaddr[0] == actual.sockaddr[0])


def _has(entry: Entry, option: Option, value: object) -> bool:
    try:
        actual = options.get_option(entry.sock, option)
    except KernelRefusedError:  # write-only: it cannot be compared
        return True
    if option.name in _DOUBLED and isinstance(value, int):
        return actual in (value, 2 * value)
    return bool(actual == value)
