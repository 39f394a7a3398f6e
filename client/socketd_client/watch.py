"""Waiting for held sockets and for descriptors of this process, whichever is ready first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from socketd_client import constants
from socketd_client.errors import ApiError, TransportError, TransportTimeoutError
from socketd_client.pending_poll import PendingPoll
from socketd_client.polling import poll_call, ready_in
from socketd_client.reference import NotYetError, wait
from socketd_client.repeating import is_leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from socketd_client.exchange import Exchange

_ROUND_S: Final = 30.0  # below what any daemon caps a wait at
# Polls in a row that may break before their answer, although the requests between them are answered.
_MOST_BROKEN: Final = 16

Local = TypeVar("Local")


def held_number(fileobj: object) -> int | None:
    """Return the daemon's descriptor number of what stands for a held socket; ``None`` for anything else.

    That is its handle, the number its ``fileno()`` gives, or any object with such a ``fileno()``, as a
    ``socketserver`` or a file of ``makefile`` has one.
    """
    number = fileobj if isinstance(fileobj, int) else _fileno(fileobj)
    if not isinstance(number, int) or number < constants.FILENO_BASE:
        return None
    return number - constants.FILENO_BASE


def _fileno(fileobj: object) -> object:
    fileno = getattr(fileobj, "fileno", None)
    return fileno() if callable(fileno) else None


class Watch:
    """Waits for held sockets beside whatever else its caller waits for; for one thread at a time.

    A poll that was not answered when something of this process was ready stays pending, and serves the next
    wait for the same sockets. ``close``, or dropping the object, ends it.

    Args:
        exchange: Whose daemon is asked.
        round_s: How long one poll may wait; then it is asked again.
    """

    def __init__(self, exchange: Exchange, *, round_s: float = _ROUND_S) -> None:
        self._exchange = exchange
        self._round_s = round_s
        self._pending: PendingPoll | None = None

    def ask(self, held: Mapping[int, int], timeout_s: float | None) -> dict[int, int]:
        """Wait for held sockets only.

        Args:
            held: Descriptor numbers of the daemon, each with its ``select.poll`` mask.
            timeout_s: ``None`` waits for ever, 0 does not wait.

        Returns:
            Those that are ready, with what they are ready for; one closed meanwhile has ``POLLNVAL``.

        Raises:
            SocketdError: The daemon refuses, or is away for longer than the client's timeout.
        """

        def poll(left_s: float) -> dict[int, int]:
            ready = dict(ready_in(self._exchange.send(poll_call(held.items(), left_s)).json()))
            if not ready and left_s:
                raise NotYetError
            return ready

        try:
            return wait(poll, timeout_s)
        except NotYetError:
            return {}

    def wait(
        self,
        held: Mapping[int, int],
        local: Callable[[int | None, float | None], tuple[Local | None, bool]],
        timeout_s: float | None,
    ) -> tuple[dict[int, int], Local | None]:
        """Wait for held sockets and for what is this process' own; the rest is as ``ask`` has it.

        Args:
            held: As for ``ask``; not empty.
            local: Waits for what is this process' own, at most the seconds of its second argument, and until
                the descriptor of its first can be read. Returns what it found, ``None`` if nothing, and
                whether that descriptor can be read.
            timeout_s: As for ``ask``.

        Returns:
            What is ready of ``held``, and what ``local`` found.
        """
        is_kept = self._keeps(held)
        if timeout_s == 0 or not is_kept:
            found, _ = local(None, 0)
            # Held ones are asked for, too: what is always ready here must not hide them.
            if timeout_s == 0 or found is not None:
                return self.ask(held, 0), found
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for left in reversed(range(_MOST_BROKEN)):
            try:
                return self._race(held, local, deadline, is_kept=is_kept)
            except (TransportError, ApiError) as error:
                if not left or (isinstance(error, ApiError) and not is_leaving(error)):
                    raise
            is_kept = False
            ready = self.ask(held, 0)  # waits for a daemon that restarts
            if ready or (deadline is not None and time.monotonic() >= deadline):
                return ready, local(None, 0)[0]
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let the daemon stop waiting; the object can be used again."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.close()

    def __del__(self) -> None:
        """Close the connection; that is no HTTP call."""
        self.close()

    def _race(
        self,
        held: Mapping[int, int],
        local: Callable[[int | None, float | None], tuple[Local | None, bool]],
        deadline: float | None,
        *,
        is_kept: bool,
    ) -> tuple[dict[int, int], Local | None]:
        """Wait with one poll after the other; the first may be kept from an earlier wait."""
        while True:
            if self._pending is None:
                self._pending = PendingPoll(self._exchange, held, self._round_s)
            pending = self._pending
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0)
            late_s = pending.overdue_s()
            found, is_answered = local(pending.fileno(), late_s if left_s is None else min(left_s, late_s))
            if not is_answered:
                if found is None and (left_s is None or late_s < left_s):
                    self.close()
                    raise TransportTimeoutError("a poll was not answered in time")
                return {}, found
            self._pending = None
            ready = pending.answer()
            if ready and is_kept:
                ready = self.ask(held, 0)  # what was ready when it was answered may be received by now
            if ready or found is not None or left_s == 0:
                return ready, found
            is_kept = False

    def _keeps(self, held: Mapping[int, int]) -> bool:
        """Tell whether there is a poll for these already; end one for others."""
        pending = self._pending
        if pending is not None and pending.is_ours and pending.held == held:
            return True
        self.close()
        return False
