"""Arguments checked by CPython: a closed local socket refuses, in its words, what any socket refuses."""

from __future__ import annotations

import _socket  # as it is: the socket module's class may be replaced, by gevent or by ``installed``
import errno
import operator
import socket
import struct
from functools import cache
from typing import Any, Final

_ANY: Final = getattr(socket, "AF_UNIX", socket.AF_INET)  # may be made where others are forbidden
_INT_END: Final = 1 << 31
_LONG_END: Final = 1 << (8 * struct.calcsize("l") - 1)
_INET: Final = (socket.AF_INET, socket.AF_INET6)
_BROADCAST: Final = ("<broadcast>", "255.255.255.255")


def check(family: int, method: str, *arguments: Any) -> None:
    """Raise what a local socket of ``family`` raises before its system call: nothing if that would be made.

    The checks, their order and their words are those of the running Python. An Internet address must have
    gone through ``without_name``, or its host is looked up here.

    Raises:
        TypeError, ValueError, OverflowError, BufferError, MemoryError: An argument is wrong.
        OSError: An address is, by its form. With an errno only where CPython gives one.
    """
    try:
        getattr(_closed(family), method)(*arguments)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise


def seconds(method: str, value: Any) -> float | None:
    """Return the timeout that ``settimeout`` or ``setblocking`` makes of a value, to the nanosecond.

    Raises:
        TypeError, ValueError, OverflowError: In CPython's words.
    """
    closed = _socket.socket.__new__(_socket.socket)  # which is closed as yet
    try:
        getattr(closed, method)(value)
    except OSError as error:  # it is set before the system call
        if error.errno != errno.EBADF:
            raise
    return closed.gettimeout()


def integer(value: Any) -> int:
    """Return what ``__index__`` says, as a plain ``int``: ``True`` would be written as a JSON boolean."""
    return int(operator.index(value))


def c_int(value: Any) -> int:
    """Return an ``int`` of C.

    Raises:
        TypeError, OverflowError: It is none, in CPython's words.
    """
    number = integer(value)
    if not -_LONG_END <= number < _LONG_END:
        raise OverflowError("Python int too large to convert to C long")
    if not -_INT_END <= number < _INT_END:
        which = "less than minimum" if number < 0 else "greater than maximum"
        raise OverflowError(f"signed integer is {which}")
    return number


def without_name(value: Any) -> Any:
    """Put an address that needs no looking up in the place of a host's name: that is the daemon's to do."""
    if not isinstance(value, tuple) or not value or not isinstance(value[0], (str, bytes, bytearray)):
        return value
    host = value[0] if isinstance(value[0], str) else bytes(value[0]).decode("ascii", "replace")
    if host in _BROADCAST or any(is_literal(family, host) for family in _INET):
        return value
    try:
        host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        return value  # which is refused before it is looked up
    return value if "\0" in host else ("", *value[1:])


def is_literal(family: int, host: str) -> bool:
    """Tell whether a host is an address of the family, and no name."""
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):  # an embedded NUL
        return False
    return True


@cache
def _closed(family: int) -> _socket.socket:
    """Make an object that thinks it is of a family, which this machine need not have."""
    some = _socket.socket(_ANY, socket.SOCK_DGRAM)
    made = _socket.socket(family, socket.SOCK_STREAM, 0, some.detach())
    made.close()
    return made
