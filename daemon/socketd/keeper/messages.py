"""What daemon and keeper have to say to each other, as records; ``protocol`` turns them into bytes.

The descriptors of ``Store`` and ``Batch`` travel beside the bytes, one for each record, in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Mode(IntEnum):
    """What a daemon wants when it connects: everything that is held, or to go on with what it has."""

    FETCH = 1
    RESUME = 2


@dataclass(frozen=True, slots=True)
class Record:
    """One held socket: its number, and a note that the keeper never reads.

    Attributes:
        number: From 1; the descriptor number it has in the daemon.
        note: At most ``protocol.MOST_NOTE_BYTES``.
    """

    number: int
    note: bytes


# --- from the daemon -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The daemon's first message; answered by ``Welcome``."""

    version: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Store:
    """Hold these.

    Attributes:
        group: 0 to hold them at once; else they are staged until the ``Commit`` of that group.
    """

    group: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """What was staged with this group (from 1) on this connection is held from now on."""

    group: int


@dataclass(frozen=True, slots=True)
class Update:
    """New notes for what is held or staged; other numbers are harmless."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Close these; numbers that are not held are harmless."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retain:
    """A part of the list of all that the daemon has; what is held beyond it goes when the list ends.

    Attributes:
        identities: Number and inode of each.
        is_last: The list ends here; ``Missing`` is the answer.
    """

    identities: tuple[tuple[int, int], ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by ``Ack``: the keeper's loop turns, and everything said before is done."""


# --- both ways -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ack:
    """The other side's message with this sequence is done."""

    sequence: int


# --- from the keeper -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to ``Hello``.

    Attributes:
        held: How many the keeper holds.
        last_number: The highest number that was ever stored; 0 if none was.
        store: Who keeps copies behind the keeper: nobody (""), ``systemd`` or ``supervisor``.
    """

    version: int
    held: int
    last_number: int
    store: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of what is held, after ``Hello`` with ``FETCH``; answered by ``Ack``."""

    records: tuple[Record, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers of the ``Retain`` list that are not held."""

    numbers: tuple[int, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers that are in the supervisor's store as well from now on (true), or no longer (false)."""

    changes: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the keeper closes the connection: EBUSY, EPERM, EPROTO or EMFILE, and words for people."""

    errno: int
    text: str


FromDaemon = Hello | Store | Commit | Update | Forget | Retain | Ping | Ack
FromKeeper = Welcome | Batch | Ack | Missing | Kept | Refused
