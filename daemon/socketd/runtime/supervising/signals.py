"""Signals that come as bytes: one loop waits for them and for everything else."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

HEARD: Final = (
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
)
_MOST_BYTES: Final = 4096


class SignalPipe:
    """Turns the signals in ``HEARD`` into bytes, from ``with`` to its end; readable when there are any."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)  # noqa: FBT003 - the method's own signature
        self._writing.setblocking(False)  # noqa: FBT003
        self._before = -1
        self._handlers = {number: signal.getsignal(number) for number in HEARD}

    def __enter__(self) -> Self:
        self._before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in HEARD:
            signal.signal(number, _ignore)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before)
        self._reading.close()
        self._writing.close()

    def fileno(self) -> int:
        """Return what to poll."""
        return self._reading.fileno()

    def take(self) -> list[signal.Signals]:
        """Return which signals have come since the last call, in their order; does not wait."""
        try:
            return [signal.Signals(number) for number in self._reading.recv(_MOST_BYTES)]
        except BlockingIOError:
            return []


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the interpreter has written the byte by now, and SIG_IGN would keep it from that."""
