"""Encode and decode what daemon and keeper say: one message a packet of a Unix SEQPACKET socket.

A packet is a header ``=BBHI`` (kind, flags, count, sequence) and a body, in this machine's byte order. What
comes in is never trusted: decoding returns a record or raises ``MalformedError``, whatever the bytes are.

A side that closes with packets unread makes the other's next call answer ECONNRESET once (unix_release_sock
in net/unix/af_unix.c); what had been queued for it, such as ``Refused``, is read by the calls after that.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from socketd.keeper.layout import (
    FROM_DAEMON,
    FROM_KEEPER,
    MOST_DESCRIPTORS,
    MOST_LISTED,
    MOST_NOTE_BYTES,
    RECORD,
    VERSION,
    WORD,
    Body,
    MalformedError,
    expect,
)
from socketd.keeper.messages import (
    Ack,
    Batch,
    Commit,
    Forget,
    FromDaemon,
    FromKeeper,
    Hello,
    Kept,
    Missing,
    Mode,
    Ping,
    Record,
    Refused,
    Retain,
    Store,
    Update,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from socketd.keeper.layout import Layout

__all__ = [
    "MOST_BYTES",
    "MOST_DESCRIPTORS",
    "MOST_LISTED",
    "MOST_NOTE_BYTES",
    "VERSION",
    "Ack",
    "Batch",
    "Commit",
    "Forget",
    "FromDaemon",
    "FromKeeper",
    "Hello",
    "Kept",
    "MalformedError",
    "Missing",
    "Mode",
    "Ping",
    "Record",
    "Refused",
    "Retain",
    "Store",
    "Update",
    "Welcome",
    "encode",
    "fitting",
    "following",
    "from_daemon",
    "from_keeper",
]

MOST_BYTES: Final = 65_536
"""In one packet; far less than the usual send buffer, so that none answers EMSGSIZE."""

_LAST: Final = 1
_HEADER: Final = struct.Struct("=BBHI")
_HIGHEST_SEQUENCE: Final = 0xFFFF_FFFF
_LAYOUTS: Final = FROM_DAEMON | FROM_KEEPER
_DAEMON_KINDS: Final = {layout.kind: layout for layout in FROM_DAEMON.values()}
_KEEPER_KINDS: Final = {layout.kind: layout for layout in FROM_KEEPER.values()}


def encode(message: FromDaemon | FromKeeper, sequence: int) -> bytes:
    """Return the packet for ``message``.

    Raises:
        ValueError: It is longer than a packet may be, or a value does not fit its field.
    """
    layout = _LAYOUTS[type(message)]
    try:
        body = layout.write(message)
        packet = _HEADER.pack(layout.kind, _LAST * body.is_last, body.count, sequence) + body.data
    except struct.error as error:
        raise ValueError(str(error)) from error
    if body.count > layout.most or len(packet) > MOST_BYTES:
        raise ValueError(f"{body.count} items in {len(packet)} bytes are too much for a packet")
    return packet


def from_daemon(packet: bytes, descriptors: int = 0) -> tuple[int, FromDaemon]:
    """Return sequence and message of a packet that came from a daemon with so many descriptors.

    Raises:
        MalformedError: It is none, or not with that many.
    """
    sequence, message = _decode(packet, descriptors, _DAEMON_KINDS)
    return sequence, message


def from_keeper(packet: bytes, descriptors: int = 0) -> tuple[int, FromKeeper]:
    """Return sequence and message of a packet that came from a keeper with so many descriptors.

    Raises:
        MalformedError: It is none, or not with that many.
    """
    sequence, message = _decode(packet, descriptors, _KEEPER_KINDS)
    return sequence, message


def following(sequence: int) -> int:
    """Return the next sequence; after the highest comes 1 again, so that 0 is nobody's."""
    return sequence % _HIGHEST_SEQUENCE + 1


def fitting(records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """Cut ``records`` into parts that one Store, Update or Batch can carry; lazily, in the same order."""
    part: list[Record] = []
    empty = _HEADER.size + WORD.size
    size = empty
    for record in records:
        needed = RECORD.size + len(record.note)
        if len(part) == MOST_DESCRIPTORS or size + needed > MOST_BYTES:
            yield tuple(part)
            part, size = [], empty
        part.append(record)
        size += needed
    if part:
        yield tuple(part)


def _decode(packet: bytes, descriptors: int, kinds: Mapping[int, Layout]) -> tuple[int, Any]:
    expect(_HEADER.size <= len(packet) <= MOST_BYTES, f"a packet of {len(packet)} bytes")
    kind, flags, count, sequence = _HEADER.unpack_from(packet)
    expect(kind in kinds, f"unknown kind {kind}")
    layout = kinds[kind]
    expect(flags in {0, _LAST * layout.may_be_last}, f"flags {flags:#x} with kind {chr(kind)}")
    expect(count <= layout.most, f"{count} items with kind {chr(kind)}")
    expect(descriptors == count * layout.has_descriptors, f"{descriptors} descriptors for {count} items")
    return sequence, layout.read(Body(packet[_HEADER.size :], count, bool(flags)))
