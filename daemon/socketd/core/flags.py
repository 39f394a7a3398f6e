"""Flags of send, recv, poll, shutdown and getaddrinfo, by name and as the masks the calls take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from socketd.core.vocabulary import Vocabulary
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Which direction a flag belongs to is in send(2) and recv(2); the kernel itself ignores most strays.
_SEND: Final = Vocabulary(
    member="flags",
    prefixes=("msg_",),
    numbers={
        "oob": 0x1,
        "dontroute": 0x4,
        "dontwait": 0x40,
        "eor": 0x80,
        "confirm": 0x800,
        "nosignal": 0x4000,
        "more": 0x8000,
        "fastopen": 0x20000000,
    },
)
_RECV: Final = Vocabulary(
    member="flags",
    prefixes=("msg_",),
    numbers={
        "oob": 0x1,
        "peek": 0x2,
        "trunc": 0x20,
        "dontwait": 0x40,
        "waitall": 0x100,
        "errqueue": 0x2000,
        "cmsg_cloexec": 0x40000000,
    },
)
_RETURNED: Final = Vocabulary(
    member="flags",
    prefixes=("msg_",),
    numbers={
        "oob": 0x1,
        "dontroute": 0x4,  # can(7): sent by this host
        "ctrunc": 0x8,
        "trunc": 0x20,
        "eor": 0x80,
        "confirm": 0x800,  # can(7): sent by this very socket
        "errqueue": 0x2000,
        "notification": 0x8000,  # sctp(7); MSG_MORE has the same bit the other way
    },
)
# ____sys_recvmsg (net/socket.c) hands MSG_CMSG_CLOEXEC back as it was given, and the daemon gives it.
_ECHOED: Final = 0x40000000
_ZEROCOPY: Final = "zerocopy"

_POLL: Final = Vocabulary(
    member="events",
    prefixes=("poll",),
    numbers={
        "in": 0x1,
        "pri": 0x2,
        "out": 0x4,
        "err": 0x8,
        "hup": 0x10,
        "nval": 0x20,
        "rdnorm": 0x40,
        "rdband": 0x80,
        "wrnorm": 0x100,
        "wrband": 0x200,
        "msg": 0x400,
        "rdhup": 0x2000,
    },
)
_SHUTDOWN: Final = Vocabulary(
    member="how",
    prefixes=("shut_",),
    numbers={"read": 0, "rd": 0, "write": 1, "wr": 1, "both": 2, "read_write": 2, "rdwr": 2},
)
_ADDRINFO: Final = Vocabulary(
    member="flags",
    prefixes=("ai_",),
    numbers={
        "passive": 0x1,
        "canonname": 0x2,
        "numerichost": 0x4,
        "v4mapped": 0x8,
        "all": 0x10,
        "addrconfig": 0x20,
        "idn": 0x40,
        "canonidn": 0x80,
        "numericserv": 0x400,
    },
)


def send_flags(names: Iterable[str]) -> int:
    """Join the flags of ``send(2)``, each with or without ``MSG_``.

    Raises:
        InvalidRequestError: a name is unknown, or belongs to ``recv(2)``.
    """
    return _message_flags(names, _SEND, _RECV, "send")


def recv_flags(names: Iterable[str]) -> int:
    """Join the flags of ``recv(2)``, each with or without ``MSG_``.

    With ``MSG_TRUNC`` the call answers the datagram's whole length, or on TCP the count of bytes it threw
    away unread: never take that many bytes out of the buffer.

    Raises:
        InvalidRequestError: a name is unknown, or belongs to ``send(2)``.
    """
    return _message_flags(names, _RECV, _SEND, "recv")


def flag_names(flags: int) -> list[str]:
    """Name the ``msg_flags`` that ``recvmsg(2)`` came back with; a bit without a name is given in hex."""
    return _RETURNED.split(flags & ~_ECHOED)


def poll_events(names: Iterable[str]) -> int:
    """Join events of ``poll(2)``, each with or without ``POLL``; ERR, HUP and NVAL are reported unasked.

    Raises:
        InvalidRequestError: a name is unknown.
    """
    return _POLL.mask(names)


def poll_names(mask: int) -> list[str]:
    """Name the events that ``poll(2)`` came back with."""
    return _POLL.split(mask)


def shutdown_how(value: str | int) -> int:
    """Turn ``"read"``, ``"SHUT_RD"`` or 0 into the number ``shutdown(2)`` takes.

    Raises:
        InvalidRequestError: it is none of 0, 1, 2 and their names.
    """
    number = _SHUTDOWN.number(value)
    if number not in _SHUTDOWN.names:
        raise InvalidRequestError(
            f"how: {number} is no way to shut a socket down", member="how", hint="0 read, 1 write, 2 both"
        )
    return number


def addrinfo_flags(names: Iterable[str]) -> int:
    """Join flags of ``getaddrinfo(3)``, each with or without ``AI_``.

    Raises:
        InvalidRequestError: a name is unknown.
    """
    return _ADDRINFO.mask(names)


def _message_flags(names: Iterable[str], ours: Vocabulary, other: Vocabulary, call: str) -> int:
    asked = names.split(",") if isinstance(names, str) else list(names)
    for name in asked:
        bare = name.strip().lower().removeprefix("msg_")
        if bare == _ZEROCOPY:
            # The kernel reads the buffer after send(2) returned; Python has freed and reused it by then.
            raise InvalidRequestError(
                "flags: MSG_ZEROCOPY would send whatever the daemon's memory holds later",
                member="flags",
                hint="take the descriptor and send with MSG_ZEROCOPY from a buffer of your own",
            )
        if bare in other.numbers and bare not in ours.numbers:
            raise InvalidRequestError(
                f"flags: MSG_{bare.upper()} is no flag of {call}(2)",
                member="flags",
                hint=f"{call} takes {', '.join('MSG_' + known.upper() for known in ours.numbers)}",
            )
    return ours.mask(asked)
