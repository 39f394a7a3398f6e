"""``getaddrinfo`` of the daemon's host, with the results of the ``socket`` module's."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from socketd_client import constants
from socketd_client.calls import Call
from socketd_client.own_traffic import NATIVE_GETADDRINFO
from socketd_client.records import Resolution

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange

AddrInfoTuple: TypeAlias = "tuple[int, int, int, str, Any]"
Host: TypeAlias = "str | bytes | None"
Port: TypeAlias = "str | bytes | int | None"

NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def getaddrinfo(exchange: Exchange, host: Host, port: Port, *rest: int) -> list[AddrInfoTuple]:
    """Resolve as the daemon's host does, for that is where a held socket connects.

    Addresses and port numbers are read here: they say the same everywhere. ``rest`` is family, type, protocol
    and flags, as far as they are given.

    Raises:
        socket.gaierror: Nothing was found.
    """
    family, kind, proto, flags = (*rest, 0, 0, 0, 0)[:4]
    if not flags & socket.AI_ADDRCONFIG:  # that depends on the host's own addresses
        with contextlib.suppress(socket.gaierror):
            return list(NATIVE_GETADDRINFO(host, port, family, kind, proto, flags | NUMERIC))
    query = {
        "host": _text(host),
        "service": _text(port),
        "family": constants.family_name(family) if family else None,
        "type": constants.type_name(kind) if kind else None,
        "protocol": proto or None,
        "flags": _flag_names(flags) or None,
    }
    found = Resolution.from_json(exchange.json(Call("GET", "/v1/addrinfo", query)))
    name = found.canonical_name or ""
    return [
        (
            constants.family_number(one.family),
            constants.type_number(one.type),
            constants.protocol_number(one.protocol),
            "" if nth else name,
            one.address.as_tuple(),
        )
        for nth, one in enumerate(found.results)
    ]


def _flag_names(flags: int) -> tuple[str, ...]:
    try:
        return constants.address_flag_names(flags)
    except OSError:
        raise socket.gaierror(socket.EAI_BADFLAGS, "Bad value for ai_flags") from None


def _text(value: Port) -> str | None:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("idna").decode()
    if isinstance(value, bytes):
        return value.decode()
    return None if value is None else str(value)
