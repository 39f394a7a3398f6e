"""What ``installed`` puts in the place of the waiting functions of ``select`` and ``selectors``."""

from __future__ import annotations

import select
import selectors
import socketserver  # noqa: F401 - it keeps the selector found at its import: the original, if that is now
import sys
from typing import TYPE_CHECKING, Final

from socketd_client.select_calls import Poll, Selecting
from socketd_client.selector import Selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client.client import Client

# Each with what waits for the files; select(2) itself could take no number above 1023.
_SELECTORS: Final[dict[str, Callable[[], selectors.BaseSelector]]] = {
    "DefaultSelector": selectors.DefaultSelector,
    "PollSelector": selectors.PollSelector,
    "SelectSelector": selectors.PollSelector,
}
if hasattr(selectors, "EpollSelector"):
    _SELECTORS["EpollSelector"] = selectors.EpollSelector

# What modules of the standard library called selectors.PollSelector when they were imported.
_BY_VALUE: Final = (("socketserver", "_ServerSelector"), ("telnetlib", "_TelnetSelector"))


def replacements(client: Client) -> dict[tuple[str, str], object]:
    """Make the stand-ins, by module and name: they take held sockets of ``client`` beside descriptors.

    Given nothing held, they do what the originals do. For what a program imported by name before, a held
    socket's number is no descriptor (EBADF).
    """
    made: dict[tuple[str, str], object] = {
        ("select", "select"): Selecting(client.exchange).select,
        ("select", "poll"): lambda: Poll(client.exchange),
    }
    if hasattr(select, "epoll"):
        from socketd_client.epolls import maker_of_epolls  # noqa: PLC0415 - Linux has it, others do not

        made["select", "epoll"] = maker_of_epolls(client.exchange)
    for name, local in _SELECTORS.items():
        made["selectors", name] = _class_of(client, name, local)
    for module, name in _BY_VALUE:
        if hasattr(sys.modules.get(module), name):
            made[module, name] = made["selectors", "PollSelector"]
    return made


def _class_of(client: Client, name: str, local: Callable[[], selectors.BaseSelector]) -> type[Selector]:
    def begin(self: Selector) -> None:
        Selector.__init__(self, client, local())

    return type(name, (Selector,), {"__init__": begin, "__doc__": Selector.__doc__, "__module__": __name__})
