"""Control messages, which travel beside the bytes: their names and numbers, and which of them may be sent."""

from __future__ import annotations

import itertools
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from socketd.core.vocabulary import INT_MAX, Vocabulary, close_matches, quoted, whole_number
from socketd.errors import InvalidRequestError, NotPermittedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from socketd.core.entry import Entry

    Items = list[tuple[int, int, bytes]]
    Lend = Callable[[Sequence[Entry]], AbstractContextManager[list[int]]]

RIGHTS: Final = (1, 1)
"""SCM_RIGHTS: descriptors (unix(7))."""
CREDENTIALS: Final = (1, 2)
PIDFD: Final = (1, 4)
"""SCM_PIDFD, a descriptor of the sender's process; include/linux/socket.h."""
MOST_BYTES: Final = 65536
"""Room for control messages that a call may ask for; no kernel has as much to say of one message."""

_LAST_PROTOCOL: Final = 0xFF  # levels up to here are those of IP protocols
_LEVELS: Final = Vocabulary(
    member="level",
    prefixes=("sol_", "ipproto_"),
    numbers={
        "socket": 1,
        "ip": 0,
        "tcp": 6,
        "udp": 17,
        "ipv6": 41,
        "icmpv6": 58,
        "sctp": 132,
        "udplite": 136,
        "raw": 255,
        "packet": 263,
        "netlink": 270,
        "alg": 279,
        "tls": 282,
    },
)

# What the kernel reads of a control message are plain values, but not always: those of RDS are addresses in
# the memory of the process that calls (rds(7)), which is the daemon. So only these are sent. The last column
# is the socket option of the same effect: who may not set that for a socket may not set it for a message.
# IP_RETOPTS and IPV6_RTHDR can lead a packet past the address that was granted, as IP_OPTIONS can.
_ROWS: Final[tuple[tuple[str, int, int, str | None], ...]] = (
    ("SCM_RIGHTS", 1, 1, None),
    ("SCM_CREDENTIALS", 1, 2, None),
    ("SCM_SECURITY", 1, 3, None),
    ("SCM_PIDFD", 1, 4, None),
    ("SO_PRIORITY", 1, 12, "SO_PRIORITY"),
    ("SCM_TIMESTAMP", 1, 29, None),
    ("SCM_TIMESTAMPNS", 1, 35, None),
    ("SO_MARK", 1, 36, "SO_MARK"),
    ("SCM_TIMESTAMPING", 1, 37, "SO_TIMESTAMPING"),
    ("SO_RXQ_OVFL", 1, 40, None),
    ("SCM_WIFI_STATUS", 1, 41, None),
    ("SCM_TIMESTAMPING_OPT_STATS", 1, 54, None),
    ("SCM_TIMESTAMPING_PKTINFO", 1, 58, None),
    ("SCM_TXTIME", 1, 61, "SO_TXTIME"),
    ("SO_TIMESTAMP_NEW", 1, 63, None),
    ("SO_TIMESTAMPNS_NEW", 1, 64, None),
    ("SO_TIMESTAMPING_NEW", 1, 65, None),
    ("SCM_TS_OPT_ID", 1, 81, "SO_TIMESTAMPING"),
    ("SCM_INQ", 1, 84, None),
    ("IP_TOS", 0, 1, "IP_TOS"),
    ("IP_TTL", 0, 2, "IP_TTL"),
    ("IP_RECVOPTS", 0, 6, None),
    ("IP_RETOPTS", 0, 7, "IP_OPTIONS"),
    ("IP_PKTINFO", 0, 8, "IP_PKTINFO"),
    ("IP_RECVERR", 0, 11, None),
    ("IP_ORIGDSTADDR", 0, 20, None),
    ("IP_CHECKSUM", 0, 23, None),
    ("IP_RECVFRAGSIZE", 0, 25, None),
    ("IPV6_FLOWINFO", 41, 11, "IPV6_FLOWINFO"),
    ("IPV6_RECVERR", 41, 25, None),
    ("IPV6_PKTINFO", 41, 50, "IPV6_PKTINFO"),
    ("IPV6_HOPLIMIT", 41, 52, "IPV6_UNICAST_HOPS"),
    ("IPV6_HOPOPTS", 41, 54, "IPV6_HOPOPTS"),
    ("IPV6_RTHDRDSTOPTS", 41, 55, "IPV6_RTHDRDSTOPTS"),
    ("IPV6_RTHDR", 41, 57, "IPV6_RTHDR"),
    ("IPV6_DSTOPTS", 41, 59, "IPV6_DSTOPTS"),
    ("IPV6_PATHMTU", 41, 61, None),
    ("IPV6_DONTFRAG", 41, 62, "IPV6_DONTFRAG"),
    ("IPV6_TCLASS", 41, 67, "IPV6_TCLASS"),
    ("IPV6_ORIGDSTADDR", 41, 74, None),
    ("IPV6_RECVFRAGSIZE", 41, 77, None),
    ("TCP_CM_INQ", 6, 36, None),
    ("UDP_SEGMENT", 17, 103, "UDP_SEGMENT"),
    ("UDP_GRO", 17, 104, None),
    ("SCTP_SNDRCV", 132, 1, None),
    ("SCTP_RCVINFO", 132, 3, None),
    ("SCTP_NXTINFO", 132, 4, None),
    ("PACKET_AUXDATA", 263, 8, None),
    ("NETLINK_PKTINFO", 270, 3, None),
    ("ALG_SET_IV", 279, 2, "ALG_SET_IV"),
    ("ALG_SET_OP", 279, 3, "ALG_SET_OP"),
    ("ALG_SET_AEAD_ASSOCLEN", 279, 4, "ALG_SET_AEAD_ASSOCLEN"),
    ("TLS_SET_RECORD_TYPE", 282, 1, "TLS_SET_RECORD_TYPE"),
    ("TLS_GET_RECORD_TYPE", 282, 2, None),
)
_NUMBERS: Final = {name.lower(): (level, number) for name, level, number, _ in _ROWS}
_NAMES: Final = {(level, number): name for name, level, number, _ in _ROWS}
_OPTIONS: Final = {(level, number): option for _, level, number, option in _ROWS if option is not None}


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """One control message (cmsg(3)).

    Attributes:
        data: As the kernel has it, in this host's byte order; empty of ``SCM_RIGHTS``.
        sockets: Of ``SCM_RIGHTS`` the held sockets.
    """

    level: int
    type: int
    data: bytes = b""
    sockets: tuple[Entry, ...] = ()

    @property
    def kind(self) -> tuple[int, int]:
        """Level and type."""
        return self.level, self.type


@dataclass(frozen=True, slots=True)
class Attached:
    """Control messages that go with the first byte of a message.

    Attributes:
        lend: Keeps held sockets open while their descriptors are sent (``SocketTable.lent``).
        on_sent: Called once, when the kernel has taken them.
    """

    messages: tuple[ControlMessage, ...]
    lend: Lend
    on_sent: Callable[[], None] = field(default=lambda: None)

    @contextmanager
    def items(self) -> Iterator[Items]:
        """Give what ``sendmsg`` takes; the block must not wait.

        Raises:
            ClosedMeanwhileError: One of the sockets is closed already.
        """
        entries = [entry for message in self.messages for entry in message.sockets]
        with self.lend(entries) as numbers:
            rest = iter(numbers)
            yield [(each.level, each.type, _payload(each, rest)) for each in self.messages]


def level(value: str | int) -> int:
    """Turn ``"SOL_SOCKET"``, ``"ip"`` or 41 into the number of a level.

    Raises:
        InvalidRequestError: No level has this name, or the number is no C ``int``.
    """
    return _LEVELS.number(value)


def kind(level: int | None, type: str | int) -> tuple[int, int]:  # noqa: A002 (cmsg_type)
    """Turn a type, by name or number, into level and type; a name tells its level.

    Raises:
        InvalidRequestError: No such name, no level for a number, or the level of another.
    """
    found = _NUMBERS.get(type.lower()) if isinstance(type, str) else None
    if found is None:
        return _numbered(level, type)
    if level is not None and level != found[0]:
        raise InvalidRequestError(
            f"type: {quoted(type)} is not of level {level_name(level)}",
            member="type",
            hint=f"leave the level out: it is {level_name(found[0])}",
        )
    return found


def level_name(number: int) -> str | int:
    """Name a level (``SOL_SOCKET``, ``IPPROTO_IP``); the number if it has no name here."""
    name = _LEVELS.names.get(number)
    if name is None:
        return number
    return f"{'IPPROTO' if number <= _LAST_PROTOCOL and number != RIGHTS[0] else 'SOL'}_{name}".upper()


def type_name(level: int, number: int) -> str | int:
    """Name a type of control message; the number if it has no name here."""
    return _NAMES.get((level, number), number)


def option_of(kind: tuple[int, int]) -> str:
    """Name the socket option that a control message sets for its message alone.

    Raises:
        NotPermittedError: Credentials, which would be the daemon's.
        InvalidRequestError: It is only received, or the daemon does not know what its bytes mean.
    """
    if kind == CREDENTIALS:
        raise NotPermittedError(
            "SCM_CREDENTIALS would say who the daemon is, and not who asks",
            hint="take the descriptor and send them from the process that they are of",
        )
    if kind not in _OPTIONS:
        raise InvalidRequestError(
            f"type: control messages {level_name(kind[0])} {type_name(*kind)} are not sent for others",
            member="type",
            symbol="EOPNOTSUPP",
            hint="what is no plain value could mean the daemon's own memory or descriptors; "
            "take the descriptor and send it yourself",
        )
    return _OPTIONS[kind]


def _numbered(level: int | None, type_: str | int) -> tuple[int, int]:
    if isinstance(type_, str) and not (type_.isascii() and type_.isdecimal()):
        raise InvalidRequestError(
            f"type: {quoted(type_)} is the name of no control message",
            member="type",
            hint=close_matches(type_.upper(), _NAMES.values()),
        )
    number = whole_number(int(type_) if len(str(type_)) <= len(str(INT_MAX)) else INT_MAX + 1, "type")
    if level is None:
        raise InvalidRequestError("level: a type that is a number needs it", member="level")
    return level, number


def _payload(message: ControlMessage, numbers: Iterator[int]) -> bytes:
    if message.kind != RIGHTS:
        return message.data
    return array("i", itertools.islice(numbers, len(message.sockets))).tobytes()
