"""``poll(2)`` over one or many held sockets."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import select
    from collections.abc import Callable, Sequence

    from socketd.core.entry import Entry
    from socketd.core.seams import Pause
    from socketd.core.waiting import Patience

__all__ = ["POLLERR", "POLLHUP", "POLLIN", "POLLNVAL", "POLLOUT", "POLLPRI", "POLLRDHUP", "now", "wait"]

_NO_WAIT: Final = 0
_UNASKED: Final = POLLERR | POLLHUP | POLLNVAL


def _unpatched_poll() -> Callable[[], select.poll]:
    """Load ``poll`` from a second instance of the C module ``select`` (PEP 489).

    The worker imports this module after gevent.monkey has put its own ``poll`` into the instance in
    ``sys.modules``: that one knows nothing but POLLIN and POLLOUT, and runs the event loop.

    Raises:
        ImportError: This Python was built without ``select``.
    """
    spec = importlib.util.find_spec("select")
    if spec is None or spec.loader is None:
        raise ImportError("no module named select")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    new: Callable[[], select.poll] = module.poll
    return new


poll: Final = _unpatched_poll()


def now(fd: int, events: int) -> int:
    """Ask what holds for ``fd`` at this moment; POLLERR, POLLHUP and POLLNVAL come unasked.

    Source: poll(2).
    """
    poller = poll()
    poller.register(fd, events)
    ready = poller.poll(_NO_WAIT)
    return ready[0][1] if ready else 0


def wait(wanted: Sequence[tuple[Entry | None, int]], patience: Patience) -> list[tuple[int, int]]:
    """Wait until something holds for at least one of several sockets.

    Args:
        wanted: Entries with the events asked for; ``None`` for a socket that does not exist, which is
            ready at once with POLLNVAL, as in poll(2).
        patience: When it runs out the answer is empty, not an error.

    Returns:
        Position in ``wanted`` and the events that hold, for those that are ready.
    """
    ready = _ready(wanted)
    if ready or patience.timeout_s <= 0:
        return ready
    with patience.waiter.pause() as pause, ExitStack() as watching:
        for entry, events in _merged(wanted).items():
            _watch(watching, entry, events, pause)
        while not ready and pause.wait(patience.deadline):
            ready = _ready(wanted)
    return ready


def _watch(watching: ExitStack, entry: Entry, events: int, pause: Pause) -> None:
    def leave() -> None:
        entry.watchers.discard(pause)
        if not entry.closed:
            pause.disarm(entry.fd)

    entry.watchers.add(pause)
    watching.callback(leave)
    pause.arm(entry.fd, events)


def _merged(wanted: Sequence[tuple[Entry | None, int]]) -> dict[Entry, int]:
    """Each open socket once: epoll takes a descriptor only once, poll(2) callers may name it twice."""
    merged: dict[Entry, int] = {}
    for entry, events in wanted:
        if entry is not None and not entry.closed:
            merged[entry] = merged.get(entry, 0) | events
    return merged


def _ready(wanted: Sequence[tuple[Entry | None, int]]) -> list[tuple[int, int]]:
    poller = poll()
    for entry, events in _merged(wanted).items():
        poller.register(entry.fd, events)
    holding = dict(poller.poll(_NO_WAIT))
    ready = []
    for position, (asked, events) in enumerate(wanted):
        if asked is None or asked.closed:
            revents = POLLNVAL
        else:
            revents = holding.get(asked.fd, 0) & (events | _UNASKED)
        if revents:
            ready.append((position, revents))
    return ready
