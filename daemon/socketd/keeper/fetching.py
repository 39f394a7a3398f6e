"""Giving a daemon all that is held: batch by batch, the next but one after the first is acknowledged."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from socketd.keeper.layout import RECORD
from socketd.keeper.protocol import MOST_BYTES, MOST_DESCRIPTORS, Batch, MalformedError, Record

if TYPE_CHECKING:
    from socketd.keeper.holding import Holding

WINDOW: Final = 2
_ROOM: Final = MOST_BYTES - 64  # a header is 8 bytes


class Fetching:
    """How far one fetch has come.

    Attributes:
        is_done: The last batch is sent.
    """

    def __init__(self, holding: Holding) -> None:
        """Give what is held now, as far as it is still held when its turn comes."""
        self.is_done = False
        self._holding = holding
        self._numbers = holding.numbers()
        self._given = 0
        self._next = 0
        self._unacknowledged: deque[int] = deque()

    @property
    def is_due(self) -> bool:
        """Whether the next batch may be sent."""
        return not self.is_done and len(self._unacknowledged) < WINDOW

    def batch(self) -> tuple[Batch, list[int]]:
        """Return the next batch and its descriptors; until ``sent`` it stays the next."""
        records: list[Record] = []
        descriptors: list[int] = []
        room, at = _ROOM, self._given
        while at < len(self._numbers) and len(records) < MOST_DESCRIPTORS:
            held = self._holding.get(self._numbers[at])
            if held is not None:
                room -= RECORD.size + len(held.note)
                if room < 0:
                    break
                records.append(Record(held.number, held.note))
                descriptors.append(held.fd)
            at += 1
        self._next = at
        return Batch(tuple(records), is_last=at == len(self._numbers)), descriptors

    def sent(self, sequence: int) -> None:
        """Note that what ``batch`` returned is on its way."""
        self._given = self._next
        self.is_done = self._given == len(self._numbers)
        self._unacknowledged.append(sequence)

    def acknowledged(self, sequence: int) -> None:
        """Note that the daemon has a batch.

        Raises:
            MalformedError: It is not the oldest one under way.
        """
        if not self._unacknowledged or self._unacknowledged[0] != sequence:
            raise MalformedError(f"an acknowledgement of {sequence}, which is not what is waited for")
        self._unacknowledged.popleft()
