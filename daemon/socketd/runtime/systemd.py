"""systemd's two small protocols, spoken by hand: readiness out, listening sockets in."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from socketd.runtime.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

LISTEN_FDS_START = 3
# "unknown" is what systemd says where FileDescriptorName= is not set.
API_NAMES = frozenset({"api", "unknown", ""})
MICROSECONDS = 1_000_000
NANOSECONDS_A_MICROSECOND = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notifier:
    """Where the service manager hears of us.

    Attributes:
        address: ``$NOTIFY_SOCKET``: a path, or ``@`` and an abstract name; ``None`` where nobody listens.
        main_pid: The process that systemd started.
        watchdog_s: How often at least it wants to hear ``WATCHDOG=1``; ``None`` for not at all.
    """

    address: str | None
    main_pid: int
    watchdog_s: float | None = None

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Take its variables out of ``environ``: neither gunicorn nor a child shall speak for us."""
        address = environ.pop("NOTIFY_SOCKET", None)
        interval = environ.pop("WATCHDOG_USEC", "")
        meant_for = environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_ours = interval.isdigit() and int(interval) > 0 and meant_for == str(os.getpid())
        return cls(address or None, os.getpid(), int(interval) / MICROSECONDS if is_ours else None)

    def notify(self, **fields: str | int) -> None:
        """Send one message, such as ``notify(READY=1, STATUS="serving")``; never fails, never blocks.

        Source: sd_notify(3).
        """
        if self.address is not None:
            self.send("".join(f"{name}={value}\n" for name, value in fields.items()).encode())

    def send(self, message: bytes) -> None:
        """Send one message as it is; never fails, never blocks."""
        address = self.address or ""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(0)  # not MSG_DONTWAIT: gevent's sendto waits in spite of it
                channel.sendto(message, "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("NOTIFY_SOCKET %s: %s", address, error.strerror)

    def ready(self, status: str) -> None:
        """Say that requests are answered from now on."""
        self.notify(READY=1, MAINPID=self.main_pid, STATUS=status)

    def status(self, text: str) -> None:
        """Say in a few words how it goes."""
        self.notify(STATUS=text)

    def reloading(self) -> None:
        """Say that the configuration is read anew; ``ready`` ends it.

        Source: sd_notify(3), where the time lets systemd tell this from an earlier message.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // NANOSECONDS_A_MICROSECOND
        self.notify(RELOADING=1, MONOTONIC_USEC=now)

    def stopping(self) -> None:
        """Say that the end has begun."""
        self.notify(STOPPING=1, STATUS="ending the waiting requests")

    def alive(self) -> None:
        """Say that the loop turns, if anybody asked to hear it."""
        if self.watchdog_s is not None:
            self.notify(WATCHDOG=1)


def take_listeners(environ: MutableMapping[str, str], *, has_tls: bool = False) -> list[socket.socket]:
    """Take over the sockets that systemd opened for the API; the caller owns them.

    Every variable of the protocol is removed, also when it was meant for another process.

    Args:
        environ: Where the protocol's variables are.
        has_tls: TCP may be reached from beyond this host.

    Raises:
        ConfigError: Something else than listening stream sockets named ``api`` came.
    """
    count = environ.pop("LISTEN_FDS", "")
    meant_for = environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "")
    if meant_for != str(os.getpid()) or not count.isdigit():
        return []
    fds = range(LISTEN_FDS_START, LISTEN_FDS_START + int(count))
    labels = names.split(":") if names else [""] * len(fds)
    if len(labels) != len(fds):
        raise ConfigError(f"LISTEN_FDNAMES has {len(labels)} names for LISTEN_FDS={count}")
    for fd, label in zip(fds, labels, strict=True):
        if label not in API_NAMES:
            raise ConfigError(
                f"descriptor {fd} came by LISTEN_FDS as {label!r}; only the API's own ('api') may"
            )
    return [_listener(fd, has_tls=has_tls) for fd in fds]


def _listener(fd: int, *, has_tls: bool) -> socket.socket:
    try:
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(
            f"descriptor {fd} came by LISTEN_FDS, but is no socket: {error.strerror}"
        ) from error
    if listener.type != socket.SOCK_STREAM or not listener.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        raise ConfigError(
            f"descriptor {fd} came by LISTEN_FDS, but is no listening stream socket (Accept=no?)"
        )
    if listener.family == socket.AF_UNIX or has_tls:
        return listener
    if not ip_address(listener.getsockname()[0]).is_loopback:
        raise ConfigError(
            f"descriptor {fd} came by LISTEN_FDS, but listens beyond the loopback interface, "
            "which takes tls_certificate"
        )
    return listener
