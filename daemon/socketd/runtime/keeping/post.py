"""What is said to the keeper over one line: sent in order, a few messages ahead of what is acknowledged."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import gevent
from gevent.hub import get_hub

from socketd.keeper.messages import Ack, Kept
from socketd.kernel import scm
from socketd.runtime.keeping.line import ANSWER_S, LineError, NoRoomError
from socketd.runtime.keeping.parcels import ForgetParcel, Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.keeper.messages import FromKeeper
    from socketd.runtime.keeping.line import Letter, Line
    from socketd.runtime.keeping.parcels import LoanParcel, Parcel
    from socketd.runtime.keeping.will import Page

WINDOW: Final = 16
"""Messages ahead, of 200 descriptors at most; those that are under way count for RLIMIT_NOFILE (unix(7))."""
# A keeper that is not held up answers a store or a forget within about 0.1 ms (p50, two cores). So whoever
# waits looks for the answer directly first, and goes to sleep only if it is late.
PEEK_MS: Final = 1
ROOM_S: Final = 0.5
RETRY_S: Final = 0.01


class Recipient(Protocol):
    """Who is told what comes of it; may be called by the loop itself, and so must not wait."""

    def on_done(self, parcel: Parcel) -> None:
        """Hear that the keeper has done what the parcel says."""

    def on_kept(self, changes: Sequence[tuple[int, bool]]) -> None:
        """Hear which numbers the supervisor has copies of, or no longer."""

    def on_over(self, error: LineError) -> None:
        """Hear that the line has broken, and call ``lose``."""


class Post:
    """Parcels waiting and under way over one line.

    Attributes:
        outbox: What is waiting; put it in there.
    """

    def __init__(self, line: Line, recipient: Recipient) -> None:
        """Take ownership of ``line``, and receive from it from now on."""
        self.outbox = Outbox()
        self._line = line
        self._recipient = recipient
        self._under_way: dict[int, Parcel] = {}
        self._counted = 0
        self._is_due = False
        self._is_over = False
        self._heard_at = monotonic()
        line.watch(self._collect)

    def lose(self) -> list[Parcel]:
        """End the line; return every parcel that was not done, each ended as lost."""
        self._is_over = True
        self._line.close()
        lost = [*self._under_way.values(), *self.outbox.clear()]
        self._under_way.clear()
        for parcel in lost:
            parcel.end(is_lost=True)
        return lost

    def flush(self, leave: int = 0) -> None:
        """Send what may be sent, but for the last ``leave`` parcels."""
        while not self._is_over and len(self.outbox) > leave and self._counted < WINDOW:
            if not self._send(self.outbox.first()):
                self._flush_later()
                return
            self.outbox.drop_first()

    def flush_soon(self) -> None:
        """Send in the next turn of the loop, unless somebody does before."""
        if not self._is_due:
            self._is_due = True
            get_hub().loop.run_callback(self._flush_due)

    def expect(self, parcel: LoanParcel, page: Page | None) -> Letter:
        """Make ready all of ``parcel`` but its descriptor; nothing may be sent until that is there, or fails.

        Args:
            parcel: What will be sent.
            page: Where the daemon's heir finds it, until it is torn.
        """
        self.flush()
        letter = self._line.write(parcel.message())
        if page is not None and not self._is_over:
            page.write(self._line.fileno(), parcel.number, letter.data)
        return letter

    def send_now(self, parcel: LoanParcel, letter: Letter, fd: int) -> None:
        """Send it before everything that waits; blocks the loop until there is room, for 0.5 s at most."""
        if not self._send_letter(parcel, letter, fd):
            self._insist(parcel, letter, fd)
        self.outbox.withdraw(parcel.number)

    def _insist(self, parcel: LoanParcel, letter: Letter, fd: int) -> None:
        deadline = monotonic() + ROOM_S
        while not self._is_over and not self._send_letter(parcel, letter, fd):
            if self._is_over:  # found out by sending
                break
            if monotonic() >= deadline:
                self._end(LineError(f"the keeper has not read for {ROOM_S:g} s"))
            elif self._line.has_room_within(PEEK_MS):
                self._line.peek(PEEK_MS)  # too many descriptors under way: it is reading that helps
        if self._is_over:
            parcel.end(is_lost=True)

    def look_out(self, parcels: Sequence[Parcel]) -> None:
        """Receive directly for a moment: the acknowledgements of ``parcels`` may be there already."""
        while not self._is_over and not all(parcel.is_over for parcel in parcels):
            if not self._line.peek(PEEK_MS):
                return
            self._collect()

    def give_up_if_silent(self) -> None:
        """End a line on which an answer is due, and nothing has come for long."""
        if monotonic() - self._heard_at > ANSWER_S:
            self._end(LineError(f"the keeper does not answer within {ANSWER_S:g} s"))

    def _send(self, parcel: Parcel) -> bool:
        """Send one; ``False`` if there is no room."""
        message = parcel.message()
        if message is None:
            parcel.end()
            return True
        try:
            sequence = self._line.send(message, parcel.descriptors())
        except NoRoomError:
            return False
        except LineError as error:
            self._end(error)
            return False
        self._is_under_way(parcel, sequence)
        return True

    def _send_letter(self, parcel: LoanParcel, letter: Letter, fd: int) -> bool:
        """Send it, likewise; as little as can be is done before."""
        try:
            self._line.send_letter(letter, fd)
        except NoRoomError:
            return False
        except LineError as error:
            self._end(error)
            return False
        self._is_under_way(parcel, letter.sequence)
        return True

    def _is_under_way(self, parcel: Parcel, sequence: int) -> None:
        self._under_way[sequence] = parcel
        self._counted += not isinstance(parcel, ForgetParcel)

    def _flush_later(self) -> None:
        """Try again when nothing that is under way will have us try."""
        if not self._is_over and not self._under_way and not self._is_due:
            self._is_due = True
            gevent.spawn_later(RETRY_S, self._flush_due)

    def _flush_due(self) -> None:
        self._is_due = False
        self.flush()

    def _collect(self) -> None:
        """Receive what there is."""
        try:
            while not self._is_over and (heard := self._line.receive()) is not None:
                self._heard_at = monotonic()
                scm.close(heard.descriptors)
                self._take(heard.message)
        except LineError as error:
            self._end(error)
        self.flush()

    def _take(self, message: FromKeeper) -> None:
        if isinstance(message, Kept):
            self._recipient.on_kept(message.changes)
        elif isinstance(message, Ack) and (parcel := self._under_way.pop(message.sequence, None)) is not None:
            # One that forgets is not counted: the keeper may wait for its supervisor before it answers.
            self._counted -= not isinstance(parcel, ForgetParcel)
            self._recipient.on_done(parcel)
            parcel.end()

    def _end(self, error: LineError) -> None:
        if not self._is_over:
            self._is_over = True
            self._recipient.on_over(error)
