"""The keeper's one loop: a daemon, those who would like to be it, and the supervisor."""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from socketd.keeper.connection import Connection, Pumped
from socketd.keeper.packets import Packets
from socketd.keeper.sending import LATER_S, Sent

if TYPE_CHECKING:
    from socketd.keeper.holding import Holding
    from socketd.keeper.notify import Supervisor

PACKETS_A_TURN: Final = 64
STATUS_INTERVAL_S: Final = 1.0
PAUSE_S: Final = 1.0  # without accepting, when the system has no descriptor for it

_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid

log = logging.getLogger(__name__)


class Server:
    """Serves until ``ending_fd`` is readable."""

    def __init__(
        self,
        listener: socket.socket,
        holding: Holding,
        supervisor: Supervisor,
        ending_fd: int,
        highest_fd: int,
    ) -> None:
        """Borrow all of them; daemons may not bring descriptors above ``highest_fd``."""
        self._listener = listener
        self._holding = holding
        self._copies = holding.copies
        self._supervisor = supervisor
        self._ending_fd = ending_fd
        self._highest_fd = highest_fd
        self._connection: Connection | None = None
        self._poller = select.poll()
        self._polled: dict[int, int] = {}
        self._is_paused_until = 0.0
        self._status: tuple[int, int, int] | None = None
        self._status_due = 0.0
        self._watchdog_due = 0.0
        self._flushed = Sent.YES

    def run(self) -> None:
        """Serve; return when told to end, with everything still held."""
        self._supervisor.say("READY", 1)
        try:
            while self._turn():
                pass
        finally:
            self._hang_up()
        self._supervisor.say("STOPPING", 1)
        self._copies.flush()

    def _turn(self) -> bool:
        """Say what is due, wait for something, do it; return whether to go on."""
        now = time.monotonic()
        self._copies.barrier.expire(now)
        self._report(now)
        self._flushed = self._copies.flush()
        if self._connection is not None:
            self._connection.advance()
        events = self._wait(now)
        if self._copies.barrier.fd in events:
            self._copies.barrier.passed()
        if self._connection is not None and self._connection.packets.fd in events:
            self._serve(self._connection)
        if self._listener.fileno() in events:
            self._admit()
        return self._ending_fd not in events

    def _wait(self, now: float) -> dict[int, int]:
        wanted = self._wanted(now)
        for fd in self._polled.keys() - wanted.keys():
            self._poller.unregister(fd)
        for fd, mask in wanted.items():
            if self._polled.get(fd) != mask:
                self._poller.register(fd, mask)
        self._polled = wanted
        due = self._next_due(now)
        return dict(self._poller.poll(None if due is None else max(0, math.ceil((due - now) * 1000))))

    def _wanted(self, now: float) -> dict[int, int]:
        """Say what to poll for; that the connection hangs up is told in any case."""
        wanted = {self._ending_fd: select.POLLIN}
        if now >= self._is_paused_until:
            wanted[self._listener.fileno()] = select.POLLIN
        if self._connection is not None:
            packets = self._connection.packets
            reading = 0 if packets.is_full else select.POLLIN
            wanted[packets.fd] = reading | (select.POLLOUT if packets.stuck is Sent.FULL else 0)
        if self._flushed is Sent.FULL and self._supervisor.fd is not None:
            wanted[self._supervisor.fd] = select.POLLOUT
        if self._copies.barrier.fd is not None:
            wanted[self._copies.barrier.fd] = select.POLLIN
        return wanted

    def _next_due(self, now: float) -> float | None:
        """Say when there is something to do although nothing happens."""
        stuck = {self._flushed, Sent.YES if self._connection is None else self._connection.packets.stuck}
        due = [
            self._copies.barrier.deadline,
            self._status_due if self._counts() != self._status else None,
            self._watchdog_due if self._supervisor.watchdog_s is not None else None,
            self._is_paused_until if now < self._is_paused_until else None,
            now + LATER_S if Sent.LATER in stuck else None,
        ]
        return min((each for each in due if each is not None), default=None)

    def _report(self, now: float) -> None:
        """Tell the supervisor that we are alive, and what we hold where that has changed."""
        if self._supervisor.watchdog_s is not None and now >= self._watchdog_due:
            self._supervisor.say("WATCHDOG", 1)
            self._watchdog_due = now + self._supervisor.watchdog_s / 2  # as sd_watchdog_enabled(3) advises
        counts = self._counts()
        if counts == self._status or now < self._status_due:
            return
        self._status = counts
        self._status_due = now + STATUS_INTERVAL_S
        held, stored, pid = counts
        text = f"{held} sockets held"
        if self._copies.label:
            text += f", {stored} of them also by the supervisor"
        self._supervisor.say(
            "STATUS", text + (f"; daemon {pid} connected" if pid else "; no daemon connected")
        )

    def _counts(self) -> tuple[int, int, int]:
        return len(self._holding), len(self._copies), 0 if self._connection is None else self._connection.pid

    def _serve(self, connection: Connection) -> Pumped:
        outcome = connection.pump(PACKETS_A_TURN)
        if outcome is Pumped.ENDED:
            self._hang_up()
            log.info("the daemon (pid %d) is gone; %d sockets held", connection.pid, len(self._holding))
        return outcome

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._copies.changes.clear()

    def _admit(self) -> None:
        """Accept who connects, once it is known whether the daemon before is still there.

        What a dead daemon had sent still counts: all of it is read first, and until then the newcomer waits
        in the listener's queue.
        """
        if self._connection is not None and self._serve(self._connection) is Pumped.MORE:
            return
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # ENFILE: the listener stays readable, and we would spin
            log.error("cannot accept: %s", error.strerror)  # noqa: TRY400
            self._is_paused_until = time.monotonic() + PAUSE_S
            return
        pid, uid, _gid = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        newcomer = Connection(Packets(sock, self._highest_fd), pid, self._holding)
        if uid not in {0, os.geteuid()}:
            newcomer.refuse(errno.EPERM, f"uid {uid} is neither root nor the keeper's own, {os.geteuid()}")
        elif self._connection is not None:
            newcomer.refuse(errno.EBUSY, f"another daemon (pid {self._connection.pid}) is connected")
        else:
            self._connection = newcomer
            return
        newcomer.close()
