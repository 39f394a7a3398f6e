"""The third copies: sockets in the supervisor's store, as many as it takes, the oldest first.

Nothing here waits for the supervisor. What it shall have and what it was told are kept apart, and ``flush``
goes from one to the other as far as its socket has room: what is still to be said is bounded by what it
stores, however long it does not listen.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from socketd.keeper import held as holds
from socketd.keeper import notes
from socketd.keeper.barrier import Barrier, nobody_waits
from socketd.keeper.sending import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.keeper.held import Held
    from socketd.keeper.notes import Notes
    from socketd.keeper.notify import Supervisor
    from socketd.keeper.returned import Returned

NOTES_NAME: Final = "notes"

log = logging.getLogger(__name__)


class Copies:
    """What the supervisor stores for us.

    Attributes:
        changes: Numbers that are in its store from now on (true) or no longer (false); whoever tells the
            daemon takes them out.
        barrier: Who waits until the supervisor has let go.
    """

    def __init__(self, supervisor: Supervisor, returned: Returned) -> None:
        """Take ownership of the notes in ``returned``; its sockets become the holding's."""
        self.changes: dict[int, bool] = {}
        self.barrier = Barrier(supervisor)
        self._supervisor = supervisor
        self._limit = max(supervisor.capacity - 1, 0)  # the notes need a place as well
        self._notes = self._prepared(returned.notes)
        self._slots = {held.number: index for index, held in returned.held.items()}
        self._told = {held.number: held for held in returned.held.values()}
        self._to_remove = dict.fromkeys(returned.strangers)
        self._are_notes_told = returned.notes is not None and NOTES_NAME not in returned.strangers
        # A removal by name takes all of that name: what of it is ours is told again.
        self._to_tell = {held.number: held for held in self._told.values() if name(held) in self._to_remove}
        taken = set(self._slots.values())
        slots = self._notes.slots if self._notes is not None else 0
        self._free = deque(index for index in range(1, slots + 1) if index not in taken)
        for index in self._free:
            self._clear(index)
        # Not a dict: to find the first key costs a step for each one that was removed before it.
        self._waiting: OrderedDict[int, Held] = OrderedDict()

    def _prepared(self, found: Notes | None) -> Notes | None:
        try:
            if found is None and self._limit:
                return notes.Notes.create(self._limit)
            if found is not None:
                found.grow(self._limit)
        except OSError as error:
            log.error("no notes, so nothing goes into the supervisor's store: %s", error.strerror)  # noqa: TRY400
            self._limit = 0
        return found

    @property
    def label(self) -> str:
        """What is said of it in ``Welcome``; empty where it stores nothing."""
        return self._supervisor.label if self._limit or self._told else ""

    @property
    def last_number(self) -> int:
        """The highest number ever stored, as far as the notes know."""
        return self._notes.last_number if self._notes is not None else 0

    def __len__(self) -> int:
        return len(self._told)

    def repeat(self) -> None:
        """Let ``changes`` tell all that is there: a daemon has come that does not know."""
        self.changes = dict.fromkeys(self._told, True)

    def remember(self, last_number: int) -> None:
        """Note the highest number that was ever stored."""
        if self._notes is not None:
            self._notes.set_last_number(last_number)

    def add(self, held: Held) -> None:
        """Give the supervisor a copy, now or when one of its places is free."""
        if self._limit and len(held.note) <= notes.MOST_BYTES:
            self._waiting[held.number] = held
            self._fill()

    def replace(self, before: Held, held: Held) -> None:
        """Close ``before``, and give the supervisor a copy of ``held``, which has its number."""
        index = self._slots.get(held.number)
        if index is None or len(held.note) > notes.MOST_BYTES or not self._write(index, held):
            self.release([before], nobody_waits)
            self.add(held)
            return
        # Over the description of before: killed at any moment, we leave what is stored described.
        self._let_go([before], nobody_waits, was_told=self._untell(before))
        self._to_tell[held.number] = held

    def update(self, held: Held) -> None:
        """Its note has changed."""
        index = self._slots.get(held.number)
        if index is not None and (len(held.note) > notes.MOST_BYTES or not self._write(index, held)):
            self._drop(held)
            self._fill()
        elif index is not None:
            return
        elif held.number not in self._waiting:
            self.add(held)
        elif len(held.note) > notes.MOST_BYTES:
            del self._waiting[held.number]

    def release(self, held: Sequence[Held], done: Callable[[], None]) -> None:
        """Close ``held``, which are no longer ours to keep; call ``done`` when no copy is left."""
        were_told = [self._drop(each) for each in held]
        self._fill()
        self._let_go(held, done, was_told=any(were_told))

    def flush(self) -> Sent:
        """Say what is to be said, as far as there is room."""
        for step in (self._supervisor.flush, self._remove, self.barrier.flush, self._tell):
            outcome = step()
            if outcome in {Sent.REFUSED, Sent.ENDED}:
                self._stop()
                return Sent.YES
            if outcome is not Sent.YES:
                return outcome
        return Sent.YES

    def close(self) -> None:
        """Close what is ours alone; the supervisor's copies stay."""
        self.barrier.give_up()
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def _fill(self) -> None:
        while self._waiting and self._free and len(self._slots) < self._limit and self._notes is not None:
            number, held = self._waiting.popitem(last=False)
            index = self._free.popleft()
            if not self._write(index, held):
                self._free.append(index)
                continue
            self._slots[number] = index
            self._to_tell[number] = held

    def _let_go(self, held: Sequence[Held], done: Callable[[], None], *, was_told: bool) -> None:
        if was_told:
            self.barrier.wait(held, done)
            return
        for each in held:
            holds.close(each)
        done()

    def _drop(self, held: Held) -> bool:
        """Take it out; return whether the supervisor may have it."""
        self._waiting.pop(held.number, None)
        index = self._slots.pop(held.number, None)
        if index is not None:
            self._clear(index)
            self._free.append(index)
        return self._untell(held)

    def _untell(self, held: Held) -> bool:
        """Have its name removed; return whether the supervisor may have it."""
        self._to_tell.pop(held.number, None)
        if self._told.pop(held.number, None) is None:
            return False
        self._to_remove[name(held)] = None
        self.changes[held.number] = False
        return True

    def _write(self, index: int, held: Held) -> bool:
        """Describe it; before it is told of, so that the supervisor has none that is not described."""
        try:
            if self._notes is not None:
                self._notes.write(index, held)
        except OSError as error:  # ENOMEM of the control group: the slots there are go on
            log.warning("number %d is not put into the supervisor's store: %s", held.number, error.strerror)
            return False
        return True

    def _clear(self, index: int) -> None:
        if self._notes is not None:
            self._notes.clear(index)

    def _remove(self) -> Sent:
        while self._to_remove:
            each = next(iter(self._to_remove))
            outcome = self._supervisor.send(f"FDSTOREREMOVE=1\nFDNAME={each}")
            if outcome is not Sent.YES:
                return outcome
            del self._to_remove[each]
        return Sent.YES

    def _tell(self) -> Sent:
        if not self._are_notes_told and self._notes is not None and self._to_tell:
            outcome = self._store(NOTES_NAME, self._notes.fd)
            if outcome is not Sent.YES:
                return outcome
            self._are_notes_told = True
        while self._to_tell:
            number, held = next(iter(self._to_tell.items()))
            outcome = self._store(name(held), held.fd)
            if outcome is not Sent.YES:
                return outcome
            del self._to_tell[number]
            self._told[number] = held
            self.changes[number] = True
        return Sent.YES

    def _store(self, its_name: str, fd: int) -> Sent:
        # FDPOLL=0: else it goes when it polls HUP, and an unbound TCP socket does from its first moment.
        return self._supervisor.send(f"FDSTORE=1\nFDNAME={its_name}\nFDPOLL=0", [fd])

    def _stop(self) -> None:
        """Go on without: who does not listen has nothing stored that would come back."""
        self._limit = 0
        for number in self._told:
            self.changes[number] = False
        for each in (self._told, self._to_tell, self._to_remove, self._waiting, self._slots, self._free):
            each.clear()
        self.close()


def name(held: Held) -> str:
    """Return what it is called in the supervisor's store."""
    return f"s{held.number}"
