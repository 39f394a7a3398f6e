"""The datagram socket on which the supervisor hears of us; nothing here waits.

Source: sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from socketd.keeper import sending
from socketd.keeper.sending import Sent

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

MICROSECONDS: Final = 1_000_000
log = logging.getLogger(__name__)


class Supervisor:
    """Who started us, as far as it listens.

    Attributes:
        label: What it is called on the wire: ``systemd``, or ``supervisor`` for ``socketd run``.
        capacity: How many descriptors it stores for us.
        watchdog_s: How often at least it wants to hear from us; ``None`` for not at all.
    """

    def __init__(self, address: str | None, label: str, capacity: int, watchdog_s: float | None) -> None:
        """Connect to ``address``: a path, or ``@`` and an abstract name; ``None`` where nobody listens."""
        self._texts: dict[str, str] = {}
        self._channel = None if address is None else _connect(address)
        self.label = label
        self.capacity = 0 if self._channel is None else capacity
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Supervisor:
        """Take its variables out of ``environ``: they are meant for this process alone."""
        address = environ.pop("NOTIFY_SOCKET", None)
        label = "supervisor" if environ.pop("SOCKETD_SUPERVISOR", "") == "run" else "systemd"
        capacity = _number(environ.pop("FDSTORE", ""))
        interval = _number(environ.pop("WATCHDOG_USEC", ""))
        meant_for = environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_ours = interval > 0 and meant_for == str(os.getpid())
        return cls(address or None, label, capacity, interval / MICROSECONDS if is_ours else None)

    @property
    def fd(self) -> int | None:
        """What to poll; ``None`` where nobody listens."""
        return None if self._channel is None else self._channel.fileno()

    def say(self, field: str, value: str | int) -> None:
        """Queue ``field=value`` for ``flush``; of two that wait, the later one counts."""
        if self._channel is not None:
            self._texts[field] = f"{field}={value}\n"

    def flush(self) -> Sent:
        """Send what ``say`` has queued."""
        if not self._texts:
            return Sent.YES
        outcome = self.send("".join(self._texts.values()))
        if outcome not in {Sent.FULL, Sent.LATER}:
            self._texts.clear()
        return outcome

    def send(self, text: str, descriptors: Sequence[int] = ()) -> Sent:
        """Send one message now, or do not."""
        if self._channel is None:
            return Sent.ENDED
        outcome = sending.send(self._channel.fileno(), text.encode(), descriptors)
        if outcome is Sent.ENDED:
            log.warning("the supervisor listens no more on NOTIFY_SOCKET")
            self.close()
        return outcome

    def close(self) -> None:
        """Say nothing more."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _connect(address: str) -> socket.socket | None:
    # A connected datagram socket polls writable when the *other* end has room (unix_dgram_poll).
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        log.warning("NOTIFY_SOCKET %s: %s", address, error.strerror or error)
        channel.close()
        return None
    return channel


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
