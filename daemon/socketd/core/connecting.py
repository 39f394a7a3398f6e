"""``connect(2)`` with a deadline, on a descriptor that must never block."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from socketd.core import options, polling
from socketd.core.address import UNSPEC, Address
from socketd.core.hints import number_of, refused
from socketd.core.waiting import until_done
from socketd.errors import BusyError, ClosedMeanwhileError

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.waiting import Patience

_FIRST_RETRY_S: Final = 0.001
_LAST_RETRY_S: Final = 0.05
# A sockaddr of AF_UNSPEC; inet_dgram_connect (net/ipv4/af_inet.c) looks at the family alone.
_UNSPEC_SOCKADDR: Final = struct.pack("=H14x", socket.AF_UNSPEC)


def connect(entry: Entry, address: Address, patience: Patience) -> None:
    """Connect, and wait until that is done.

    With no patience (``timeout`` 0) it answers EINPROGRESS. When the patience runs out the connection
    goes on being made, as it does for a local socket with a timeout.

    Raises:
        KernelRefusedError: ECONNREFUSED, EHOSTUNREACH, EISCONN, …
        BusyError: It is out in blocking mode, or a tunnel or forward has its bytes.
        NotPermittedError: The address has a way, and that does not lead there.
        WaitTimeoutError, ClosedMeanwhileError, ClientGoneError: As they say.

    Source: connect(2), unix(7).
    """
    if entry.is_blocking:
        raise BusyError(entry.reference, "connect")
    entry.raise_if_flowing("connect")
    if address is UNSPEC:
        _dissolve(entry)
        return
    number = _begin(entry, address, patience)
    if number == errno.EINPROGRESS and patience.timeout_s > 0:
        until_done(entry, polling.POLLOUT, "connect", patience, lambda: _is_settled(entry) or None)
        number = _outcome(entry, address)
    if number:
        raise refused(OSError(number, os.strerror(number)), "connect")


def _begin(entry: Entry, address: Address, patience: Patience) -> int:
    """Start it; 0 when it is done already, EINPROGRESS when the kernel goes on by itself."""
    number = _connect_now(entry, address)
    # unix(7) non-blocking: EAGAIN means the listener's backlog is full, and no poll event tells when it
    # no longer is, so it is asked again, ever less often.
    if number != errno.EAGAIN or patience.timeout_s <= 0:
        return number
    retry_s = _FIRST_RETRY_S
    with patience.waiter.pause() as pause:
        entry.watchers.add(pause)
        try:
            while number == errno.EAGAIN:
                pause.wait(min(patience.deadline, time.monotonic() + retry_s))
                number = _connect_now(entry, address)
                if number == errno.EAGAIN and time.monotonic() >= patience.deadline:
                    raise patience.over("connect")
                retry_s = min(retry_s * 2, _LAST_RETRY_S)
        finally:
            entry.watchers.discard(pause)
    return number


def _connect_now(entry: Entry, address: Address) -> int:
    if entry.closed:
        raise ClosedMeanwhileError(entry.reference, "connect")
    if entry.is_blocking:  # taken so while this attempt was waiting
        raise BusyError(entry.reference, "connect")
    os.set_blocking(entry.fd, False)  # a taker may have cleared it: it belongs to the description
    with address.reached() as sockaddr:
        try:
            entry.sock.connect(sockaddr)
        except OSError as error:
            return number_of(error)
    return 0


def _is_settled(entry: Entry) -> bool:
    return polling.now(entry.fd, polling.POLLOUT) != 0


def _outcome(entry: Entry, address: Address) -> int:
    """Ask how a connection that took its time ended, and let the next ``connect`` find a clean socket.

    inet_stream_connect gives the outcome to whoever asks again, and only then leaves SS_CONNECTING:
    after a mere SO_ERROR the next address would be refused with ECONNABORTED, whatever it is.
    """
    if entry.family not in (socket.AF_INET, socket.AF_INET6):
        return options.get_number(entry.sock, "SO_ERROR")
    number = _connect_now(entry, address)
    return 0 if number == errno.EISCONN else number


def _dissolve(entry: Entry) -> None:
    """Undo the association of a datagram socket; Python's connect cannot say AF_UNSPEC."""
    # Imported only here: it makes a closure, which a libffi without static trampolines puts into writable
    # and executable memory, and a service with MemoryDenyWriteExecute= is refused that.
    import ctypes  # noqa: PLC0415 (as just said)

    os.set_blocking(entry.fd, False)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(entry.fd, _UNSPEC_SOCKADDR, len(_UNSPEC_SOCKADDR)) != 0:
        number = ctypes.get_errno()
        raise refused(OSError(number, os.strerror(number)), "connect")
