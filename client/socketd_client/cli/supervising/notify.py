"""sd_notify(3) from both sides: what our programs tell us, and what we tell whoever started us."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_MESSAGE_MOST: Final = 8192
_MESSAGES_AT_ONCE: Final = 64  # then the other descriptors have their turn


class Inbox:
    """Where one generation of the program says that it is ready.

    The name is abstract, so that it needs no writable directory and leaves nothing behind. Anybody in the
    network namespace may send there, so each message's sender is looked at.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self.address = f"@socketctl-run-{os.getpid()}-{secrets.token_hex(8)}"
            self._sock.bind("\0" + self.address[1:])
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor, for poll."""
        return self._sock.fileno()

    def read(self, pid: int) -> list[str]:
        """Return the lines that have come from the process ``pid``, our own user or root.

        Descriptors sent along (FDSTORE=1, BARRIER=1) have no room and are closed by the kernel, which is what
        a barrier waits for.
        """
        lines: list[str] = []
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                data, controls, *_ = self._sock.recvmsg(_MESSAGE_MOST, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                break
            if any(_is_trusted(raw, pid) for _, kind, raw in controls if kind == socket.SCM_CREDENTIALS):
                lines += data.decode("utf-8", "replace").splitlines()
        return lines

    def close(self) -> None:
        """Close it; later messages are refused."""
        self._sock.close()


class Outbox:
    """What we tell systemd, or whoever else gave us a NOTIFY_SOCKET; without one, nobody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that we serve."""
        self.send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; the time is what Type=notify-reload asks for."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=Starting the next one")

    def stopping(self) -> None:
        """Say that we end."""
        self.send("STOPPING=1", "STATUS=Stopping")

    def send(self, *lines: str) -> None:
        """Send lines; a manager that does not listen is not worth dying for."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def _is_trusted(raw: bytes, pid: int) -> bool:
    sender, uid, _ = _CREDENTIALS.unpack(raw[: _CREDENTIALS.size])
    return uid in (0, os.geteuid()) or sender == pid
