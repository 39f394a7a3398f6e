"""What the constructor of a handle asks for: a new socket, or the one behind a number."""

from __future__ import annotations

import errno
import operator
import os
import socket
from typing import TYPE_CHECKING, Final

from socketd_client import constants, passing
from socketd_client.arguments import c_int
from socketd_client.calls import Call
from socketd_client.records import SocketInfo
from socketd_client.wire import listed

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange

_DEFAULT: Final = -1


def create(exchange: Exchange, family: int, kind: int, proto: int) -> SocketInfo:
    """Make a socket as ``socket(2)``; -1 stands for the usual.

    Raises:
        TypeError: An argument is no integer.
        OSError: The kernel's.
    """
    asked = [c_int(number) for number in (family, kind, proto)]
    usual = (socket.AF_INET, socket.SOCK_STREAM, 0)
    family, kind, proto = (
        int(default) if number == _DEFAULT else number for number, default in zip(asked, usual, strict=True)
    )
    body = {
        "family": constants.family_name(family),
        "type": constants.type_name(kind),
        "protocol": proto,
    }
    return SocketInfo.from_json(exchange.json(Call("POST", "/v1/sockets", body=body)))


def find(exchange: Exchange, fileno: int) -> SocketInfo:
    """Find the held socket of a number that ``fileno()`` gave, or give one of this process to the daemon.

    Takes ownership of a local descriptor: it is closed once the daemon has it.

    Raises:
        ValueError: The number is negative.
        OSError: EBADF, there is no such socket.
    """
    number = operator.index(fileno)
    if number < 0:
        raise ValueError("negative file descriptor")
    if number >= constants.FILENO_BASE:
        path = f"/v1/sockets/{number - constants.FILENO_BASE}"
        return SocketInfo.from_json(exchange.json(Call("GET", path)))
    given = give(exchange, number)
    os.close(number)
    return given


def give(exchange: Exchange, fd: int) -> SocketInfo:
    """Have the daemon hold a socket of this process, or say which one it is if it does already.

    Raises:
        OSError: EBADF, it is not open; ENOTSOCK; EOPNOTSUPP over TCP.
    """
    answer = passing.give(exchange, [fd], [{}], existing_ok=True)
    found = listed(answer, "sockets")
    if not found:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return SocketInfo.from_json(found[0])
