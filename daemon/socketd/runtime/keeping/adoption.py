"""The start of a daemon: everything the keeper holds is had back, under the numbers it always had."""

from __future__ import annotations

import _socket
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core.placing import place
from socketd.errors import SocketdError
from socketd.keeper.messages import Ack, Batch, Kept
from socketd.kernel import scm
from socketd.runtime.keeping import notes
from socketd.runtime.keeping.ledger import KEPT
from socketd.runtime.keeping.line import LineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.entry import Entry, Note
    from socketd.core.numbers import Numbers
    from socketd.core.table import SocketTable
    from socketd.keeper.messages import Record, Welcome
    from socketd.runtime.keeping.line import Heard, Line

MOST_NAMED: Final = 10
"""Numbers in one line of the log."""

log = logging.getLogger(__name__)


class AdoptionError(Exception):
    """Not everything that the keeper holds can be had back; it goes on holding it. The message has a cure."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A socket that came back, and what was kept beside it."""

    fd: int
    number: int
    note: Note


class Adoption:
    """What is had back over one line, after its welcome.

    Attributes:
        foreign: Number and inode of what we cannot go on with: the keeper goes on holding it, for a later
            version. Its number is nobody's here.
        stored: Numbers that the supervisor's store was said to have, or no longer to have.
        cut: Those whose bytes the daemon before had in hand when it died. They are shut down, so that who is
            connected there takes what came before for no whole; they are held as ever, and can be closed.
    """

    def __init__(self, table: SocketTable, numbers: Numbers) -> None:
        self._table = table
        self._numbers = numbers
        self.foreign: list[tuple[int, int]] = []
        self._reasons: dict[str, list[int]] = {}
        self.stored: list[tuple[int, bool]] = []
        self.cut: list[Entry] = []

    def run(self, line: Line, welcome: Welcome) -> None:
        """Fetch, to the end; waits for the keeper, and lets the loop run meanwhile.

        Raises:
            LineError: The line broke, or our RLIMIT_NOFILE is too low for what the keeper holds.
            AdoptionError: A number cannot be had.
        """
        is_last = False
        while not is_last:
            heard = line.hear()
            if isinstance(heard.message, Batch):
                self._adopt(heard, heard.message.records)
                line.say(Ack(heard.sequence))
                is_last = heard.message.is_last
            elif isinstance(heard.message, Kept):
                self.stored += heard.message.changes
            else:
                scm.close(heard.descriptors)
                raise LineError(f"the keeper sent {heard.message!r} instead of what it holds")
        self._numbers.start_after(welcome.last_number)
        for reason, numbers in self._reasons.items():
            log.warning("%d sockets (%s) stay with the keeper: %s", len(numbers), _some(numbers), reason)
        if self.cut:
            log.warning(
                "%d sockets (%s) are shut down: the daemon died with bytes of theirs in hand",
                len(self.cut),
                _some([entry.fd for entry in self.cut]),
            )

    def _adopt(self, heard: Heard, records: Sequence[Record]) -> None:
        candidates = []
        for fd, record in zip(heard.descriptors, records, strict=True):
            try:
                candidates.append(Candidate(fd, record.number, notes.decode(record.note)))
            except notes.UnreadableNoteError as error:
                self._leave(fd, record.number, str(error))
        try:
            place([(each.fd, each.number) for each in candidates])
        except SocketdError as error:
            raise AdoptionError(
                f"a socket that the keeper holds cannot have its number again: {error}; {error.hint}. "
                "Nothing is lost: the keeper has it"
            ) from error
        for each in candidates:
            self._restore(each)

    def _restore(self, candidate: Candidate) -> None:
        number = candidate.number
        inode = os.fstat(number).st_ino
        try:
            entry = self._table.restore(number, candidate.note, KEPT)
        except SocketdError as error:  # it is closed by now
            self._note_foreign(number, inode, str(error))
        else:
            if candidate.note.forwarded:
                self._cut(entry)

    def _cut(self, entry: Entry) -> None:
        with suppress(OSError):  # ENOTCONN: its connection is over
            entry.sock.shutdown(_socket.SHUT_RDWR)
        self.cut.append(entry)

    def _leave(self, fd: int, number: int, reason: str) -> None:
        inode = os.fstat(fd).st_ino
        os.close(fd)
        self._note_foreign(number, inode, reason)

    def _note_foreign(self, number: int, inode: int, reason: str) -> None:
        self._reasons.setdefault(reason, []).append(number)
        self._numbers.reserve(number)
        self.foreign.append((number, inode))


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:MOST_NAMED])) + ", …" * (len(numbers) > MOST_NAMED)
