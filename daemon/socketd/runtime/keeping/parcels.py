"""What is said to the keeper, gathered into parcels: each becomes one message when it is sent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gevent.event import Event

from socketd.keeper import protocol
from socketd.keeper.messages import Commit, Forget, Ping, Record, Store, Update
from socketd.runtime.keeping import notes

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.keeper.messages import FromDaemon

_RECORD_OVERHEAD: Final = 16  # more than a record and the message's own fields take beside the notes


class Parcel:
    """One message, from the first thing said in it until the keeper has done it or the line has broken."""

    __slots__ = ("_ended", "is_lost", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.is_lost = False
        self._ended: Event | None = None

    def message(self) -> FromDaemon | None:
        """Return what to send, or ``None`` if nothing of it is left to be said."""
        raise NotImplementedError

    def descriptors(self) -> list[int]:
        """Return what goes along; to be asked right after ``message``."""
        return []

    def end(self, *, is_lost: bool = False) -> None:
        """Wake whoever waits for it."""
        self.is_over, self.is_lost = True, is_lost
        if self._ended is not None:
            self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Block this greenlet until it has ended; ``False`` if that takes longer."""
        if self._ended is None:
            self._ended = Event()
        return self.is_over or bool(self._ended.wait(seconds))


class StoreParcel(Parcel):
    """Copies to be held."""

    __slots__ = ("_room", "group", "stored")

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group
        self.stored: list[tuple[Entry, Record]] = []
        self._room = protocol.MOST_BYTES

    def add(self, entry: Entry, record: Record) -> bool:
        """Take it in, unless it is full."""
        needed = len(record.note) + _RECORD_OVERHEAD
        if len(self.stored) == protocol.MOST_DESCRIPTORS or needed > self._room:
            return False
        self._room -= needed
        self.stored.append((entry, record))
        return True

    def message(self) -> Store | None:
        """Leave out what was closed since: the number may be a stranger's by now."""
        self.stored = [(entry, record) for entry, record in self.stored if not entry.closed]
        return Store(self.group, tuple(record for _, record in self.stored)) if self.stored else None

    def descriptors(self) -> list[int]:
        """Return one for each record."""
        return [entry.fd for entry, _ in self.stored]


class LoanParcel(Parcel):
    """One copy, of a descriptor that is not there yet: it goes as a letter, and never waits among the others.

    Attributes:
        number: Where it is to be held.
    """

    __slots__ = ("_note", "number")

    def __init__(self, number: int, note: bytes) -> None:
        super().__init__()
        self.number = number
        self._note = note

    def message(self) -> Store:
        """Hold it at once."""
        return Store(0, (Record(self.number, self._note),))


class UpdateParcel(Parcel):
    """New notes."""

    __slots__ = ("_room", "records")

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, Record] = {}
        self._room = protocol.MOST_BYTES

    def add(self, record: Record) -> bool:
        """Take it in, in place of an earlier one of the same number, unless it is full."""
        needed = len(record.note) + _RECORD_OVERHEAD
        if len(self.records) == protocol.MOST_LISTED or needed > self._room:
            return False
        self._room -= needed
        self.records[record.number] = record
        return True

    def message(self) -> Update | None:
        """Replace them."""
        return Update(tuple(self.records.values())) if self.records else None


class ForgetParcel(Parcel):
    """Numbers that are no socket's any more."""

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        super().__init__()
        self.numbers: set[int] = set()

    def add(self, number: int) -> bool:
        """Take it in, unless it is full."""
        if len(self.numbers) == protocol.MOST_LISTED:
            return False
        self.numbers.add(number)
        return True

    def message(self) -> Forget | None:
        """Close them."""
        return Forget(tuple(self.numbers)) if self.numbers else None


class CommitParcel(Parcel):
    """The end of a group."""

    __slots__ = ("group",)

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def message(self) -> Commit:
        """Hold all of it."""
        return Commit(self.group)


class PingParcel(Parcel):
    """A question that is answered when everything before it is done."""

    __slots__ = ()

    def message(self) -> Ping:
        """Ask."""
        return Ping()


class Outbox:
    """Parcels that are not sent yet, in the order in which things were said.

    What is said goes into the last parcel if that is of the same kind and has room: order among the kinds
    matters, since a number can be stored, forgotten and stored again.
    """

    def __init__(self) -> None:
        self._waiting: deque[Parcel] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def first(self) -> Parcel:
        """Return the one that is due."""
        return self._waiting[0]

    def drop_first(self) -> None:
        """Take it out."""
        self._waiting.popleft()

    def clear(self) -> list[Parcel]:
        """Take out all."""
        dropped = list(self._waiting)
        self._waiting.clear()
        return dropped

    def put(self, parcel: Parcel) -> Parcel:
        """Put in a parcel of its own."""
        self._waiting.append(parcel)
        return parcel

    def store(self, entry: Entry, group: int) -> Parcel:
        """Have a copy held."""
        record = record_of(entry)
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, StoreParcel) and last.group == group and last.add(entry, record):
            return last
        parcel = StoreParcel(group)
        parcel.add(entry, record)
        return self.put(parcel)

    def update(self, entry: Entry) -> Parcel:
        """Have the note replaced."""
        record = record_of(entry)
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, UpdateParcel) and last.add(record):
            return last
        parcel = UpdateParcel()
        parcel.add(record)
        return self.put(parcel)

    def forget(self, number: int) -> Parcel:
        """Have the copy closed."""
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, ForgetParcel) and last.add(number):
            return last
        parcel = ForgetParcel()
        parcel.add(number)
        return self.put(parcel)

    def withdraw(self, number: int) -> None:
        """Let the number be held after all: what is waiting to be said of it belongs to its last bearer."""
        for parcel in self._waiting:
            if isinstance(parcel, ForgetParcel):
                parcel.numbers.discard(number)
            elif isinstance(parcel, UpdateParcel):
                parcel.records.pop(number, None)


def record_of(entry: Entry) -> Record:
    """Return what the keeper has to know of it, as it is now."""
    return Record(entry.fd, notes.encode(entry.note()))
