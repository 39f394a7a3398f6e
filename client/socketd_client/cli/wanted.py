"""The sockets a program is to be started with: named on the command line, ensured in the daemon, taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from socketd_client.cli.failures import CommandError, LostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from socketd_client.cli.direct import Direct

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,254}")
# Unix and vsock addresses have no TIME_WAIT; and SO_REUSEADDR makes the search for a free port (0) costly.
_NOT_REUSED: Final = ("/", "@", "vsock:")


class Wanted(NamedTuple):
    """One socket.

    Attributes:
        ref: Its name; a descriptor number too, where it is only taken.
        spec: What it shall be if there is none yet; ``None``: it has to be there.
    """

    ref: str
    spec: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What it is called in LISTEN_FDNAMES, where a number alone says nothing."""
        return self.ref if NAME.fullmatch(self.ref) else f"fd{self.ref}"


def listening(address: str, backlog: int, kind: str | None = None) -> dict[str, Any]:
    """Specify a listener that may be made again while connections of its last life linger in TIME_WAIT."""
    spec: dict[str, Any] = {"bind": address, "listen": {"backlog": backlog}}
    if kind is not None:
        spec["type"] = kind
    if not address.startswith(_NOT_REUSED) and not address.endswith(":0"):
        spec["options"] = {"SO_REUSEADDR": True}
    return spec


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=ADDRESS``.

    Raises:
        ValueError: It has no name, or one that the daemon would refuse.
    """
    name, equals, address = text.partition("=")
    if not equals or not address:
        raise ValueError(f"{text!r} is not NAME=ADDRESS, as in web=0.0.0.0:8080")
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: a letter, then letters, digits and . _ @ -")
    return name, address


def obtain(direct: Direct, wanted: Sequence[Wanted], *, blocking: bool) -> list[int]:
    """Ensure the sockets that are specified, then take them all; the caller owns the descriptors.

    A repeat finds the very same sockets. What was ensured stays in the daemon if a later one is refused: it
    was asked for by its name, and the next attempt uses it.
    """
    for one in wanted:
        if one.spec is not None:
            # NAME has only what a path may have as it is (pchar, RFC 3986).
            direct.ask("PUT", f"/v1/names/{one.ref}", one.spec, about=one.ref)
    return take(direct, [one.ref for one in wanted], blocking=blocking)


def take(direct: Direct, refs: Sequence[str], *, blocking: bool, release: bool = False) -> list[int]:
    """Take sockets, descriptors in the order of ``refs``; the caller owns them.

    A release whose connection breaks when all have come is done: the daemon may have forgotten its own.
    """
    if not refs:
        return []
    asked = [int(ref) if ref.isdecimal() else ref for ref in refs]
    body = {"sockets": asked, "blocking": blocking, "release": release}
    try:
        fds = direct.ask("POST", "/v1/sockets/take", body).fds
    except LostError:
        fds = direct.rescued(len(refs)) if release else ()
        if not fds:
            raise
    if len(fds) != len(refs):
        raise CommandError(f"{len(refs)} sockets were asked for and {len(fds)} came")
    return list(fds)
