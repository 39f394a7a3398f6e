"""How each message's body is laid out in bytes, and read back; ``protocol`` puts the header before it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.keeper.messages import (
    Ack,
    Batch,
    Commit,
    Forget,
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
    from collections.abc import Callable, Iterable

VERSION: Final = 1
MOST_DESCRIPTORS: Final = 200
"""In one packet; SCM_MAX_FD of include/net/scm.h is 253."""
MOST_NOTE_BYTES: Final = 4096
MOST_LISTED: Final = 4096
"""Numbers in one Forget, Retain, Missing or Kept: at 12 bytes each, three quarters of a packet."""

WORD: Final = struct.Struct("=I")
RECORD: Final = struct.Struct("=IH")
_HELLO: Final = struct.Struct("=HB")
_WELCOME: Final = struct.Struct("=HIIB")
_IDENTITY: Final = struct.Struct("=IQ")
_CHANGE: Final = struct.Struct("=IB")


class MalformedError(ValueError):
    """The bytes are no packet of this protocol."""


@dataclass(frozen=True, slots=True)
class Body:
    """What stands behind a header, and the two fields in the header that speak of it."""

    data: bytes = b""
    count: int = 0
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How one kind of message looks.

    Attributes:
        kind: The header's letter, as a number.
        write: A message's body.
        read: The message that a body is; raises ``MalformedError``.
        most: What the header's count may be at most.
        may_be_last: Whether it can end a list.
        has_descriptors: Whether one travels along for each that is counted.
    """

    kind: int
    write: Callable[[Any], Body]
    read: Callable[[Body], Any]
    most: int = 0
    may_be_last: bool = False
    has_descriptors: bool = False


def expect(truth: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise ``MalformedError`` unless it is so."""
    if not truth:
        raise MalformedError(problem)


def _unpack(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    expect(len(data) == layout.size, f"{len(data)} bytes where {layout.size} belong")
    return layout.unpack(data)


def _rows(layout: struct.Struct, body: Body) -> tuple[tuple[Any, ...], ...]:
    expect(len(body.data) == layout.size * body.count, f"{len(body.data)} bytes for {body.count} items")
    return tuple(layout.iter_unpack(body.data))


def _words(body: Body) -> tuple[int, ...]:
    return tuple(word for (word,) in _rows(WORD, body))


def _records(body: Body, start: int = 0) -> tuple[Record, ...]:
    data, at, found = body.data, start, []
    for _ in range(body.count):
        expect(at + RECORD.size <= len(data), "the packet ends within a record")
        number, size = RECORD.unpack_from(data, at)
        at += RECORD.size
        expect(number > 0, "a record without a number")
        expect(size <= MOST_NOTE_BYTES, f"a note of {size} bytes")
        expect(at + size <= len(data), "the packet ends within a note")
        found.append(Record(number, data[at : at + size]))
        at += size
    expect(at == len(data), "bytes behind the last record")
    return tuple(found)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("text that is not UTF-8") from error


def _read_hello(body: Body) -> Hello:
    version, mode = _unpack(_HELLO, body.data)
    expect(version == VERSION, f"protocol version {version}; this is {VERSION}")
    expect(mode in {each.value for each in Mode}, f"unknown mode {mode}")
    return Hello(version, Mode(mode))


def _read_store(body: Body) -> Store:
    (group,) = _unpack(WORD, body.data[: WORD.size])
    return Store(group, _records(body, WORD.size))


def _read_commit(body: Body) -> Commit:
    (group,) = _unpack(WORD, body.data)
    expect(group > 0, "group 0 is never staged")
    return Commit(group)


def _read_welcome(body: Body) -> Welcome:
    version, held, last_number, size = _unpack(_WELCOME, body.data[: _WELCOME.size])
    expect(version == VERSION, f"protocol version {version}; this is {VERSION}")
    text = body.data[_WELCOME.size :]
    expect(len(text) == size, "a label of another length than announced")
    return Welcome(version, held, last_number, _text(text))


def _read_kept(body: Body) -> Kept:
    changes = _rows(_CHANGE, body)
    expect(all(is_kept in {0, 1} for _, is_kept in changes), "neither kept nor not kept")
    return Kept(tuple((number, bool(is_kept)) for number, is_kept in changes))


def _read_ping(body: Body) -> Ping:
    expect(not body.data, "bytes behind a Ping")
    return Ping()


def _read_refused(body: Body) -> Refused:
    (number,) = _unpack(WORD, body.data[: WORD.size])
    return Refused(number, _text(body.data[WORD.size :]))


def _write_records(records: Iterable[Record]) -> bytes:
    return b"".join(RECORD.pack(each.number, len(each.note)) + each.note for each in records)


def _write_rows(layout: struct.Struct, rows: Iterable[tuple[int, ...]]) -> bytes:
    return b"".join(layout.pack(*row) for row in rows)


def _write_words(numbers: tuple[int, ...]) -> bytes:
    return struct.pack(f"={len(numbers)}I", *numbers)


def _write_welcome(message: Welcome) -> Body:
    text = message.store.encode()
    return Body(_WELCOME.pack(message.version, message.held, message.last_number, len(text)) + text)


def _write_store(message: Store) -> Body:
    return Body(WORD.pack(message.group) + _write_records(message.records), len(message.records))


def _write_batch(message: Batch) -> Body:
    return Body(_write_records(message.records), len(message.records), message.is_last)


def _write_retain(message: Retain) -> Body:
    data = _write_rows(_IDENTITY, message.identities)
    return Body(data, len(message.identities), message.is_last)


def _write_missing(message: Missing) -> Body:
    return Body(_write_words(message.numbers), len(message.numbers), message.is_last)


FROM_DAEMON: Final[dict[type[Any], Layout]] = {
    Hello: Layout(ord("H"), lambda it: Body(_HELLO.pack(it.version, it.mode)), _read_hello),
    Store: Layout(ord("S"), _write_store, _read_store, MOST_DESCRIPTORS, has_descriptors=True),
    Commit: Layout(ord("C"), lambda it: Body(WORD.pack(it.group)), _read_commit),
    Update: Layout(
        ord("U"),
        lambda it: Body(_write_records(it.records), len(it.records)),
        lambda body: Update(_records(body)),
        MOST_LISTED,
    ),
    Forget: Layout(
        ord("F"),
        lambda it: Body(_write_words(it.numbers), len(it.numbers)),
        lambda body: Forget(_words(body)),
        MOST_LISTED,
    ),
    Retain: Layout(
        ord("R"),
        _write_retain,
        lambda body: Retain(_rows(_IDENTITY, body), body.is_last),
        MOST_LISTED,
        may_be_last=True,
    ),
    Ping: Layout(ord("P"), lambda _: Body(), _read_ping),
    Ack: Layout(
        ord("A"), lambda it: Body(WORD.pack(it.sequence)), lambda body: Ack(*_unpack(WORD, body.data))
    ),
}
FROM_KEEPER: Final[dict[type[Any], Layout]] = {
    Welcome: Layout(ord("W"), _write_welcome, _read_welcome),
    Batch: Layout(
        ord("B"),
        _write_batch,
        lambda body: Batch(_records(body), body.is_last),
        MOST_DESCRIPTORS,
        may_be_last=True,
        has_descriptors=True,
    ),
    Ack: FROM_DAEMON[Ack],
    Missing: Layout(
        ord("M"),
        _write_missing,
        lambda body: Missing(_words(body), body.is_last),
        MOST_LISTED,
        may_be_last=True,
    ),
    Kept: Layout(
        ord("K"),
        lambda it: Body(_write_rows(_CHANGE, it.changes), len(it.changes)),
        _read_kept,
        MOST_LISTED,
    ),
    Refused: Layout(ord("X"), lambda it: Body(WORD.pack(it.errno) + it.text.encode()), _read_refused),
}
