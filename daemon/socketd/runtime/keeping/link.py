"""The daemon's link to its keeper: every held socket has a copy there, whichever of the two dies."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event

from socketd.core.keeping import NOT_TOLD
from socketd.keeper.messages import Mode
from socketd.runtime.keeping import notes, resuming
from socketd.runtime.keeping.adoption import Adoption
from socketd.runtime.keeping.ledger import KEPT, Ledger
from socketd.runtime.keeping.line import ANSWER_S, BusyError, Line, LineError
from socketd.runtime.keeping.parcels import CommitParcel, LoanParcel, PingParcel
from socketd.runtime.keeping.post import Post

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.entry import Entry, Note
    from socketd.core.numbers import Numbers
    from socketd.core.seams import Arrival
    from socketd.core.table import SocketTable
    from socketd.keeper.messages import Welcome
    from socketd.runtime.keeping.line import Letter
    from socketd.runtime.keeping.parcels import Parcel
    from socketd.runtime.keeping.will import Page

JOIN_S: Final = 10.0
"""How long a start looks for a keeper."""
AWAY_S: Final = 2.0
"""How long after a break requests wait until it is mended; from then on they go on without."""
CONFIRM_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 1.0

log = logging.getLogger(__name__)


class Announced:
    """A connection that is about to be accepted while the keeper is up: all is ready but its descriptor."""

    __slots__ = ("_letter", "_page", "_parcel", "_post")

    def __init__(self, post: Post, parcel: LoanParcel, letter: Letter, page: Page | None) -> None:
        self._post, self._parcel, self._letter, self._page = post, parcel, letter, page

    def store(self, fd: int) -> None:
        """Send it; the heir has nothing to do then."""
        self._post.send_now(self._parcel, self._letter, fd)
        if self._page is not None:
            self._page.tear()

    def drop(self) -> None:
        """Nothing came."""
        if self._page is not None:
            self._page.tear()
        self._parcel.end()


class Link:
    """The keeper of ``core.seams``, over a line that is mended when it breaks; one greenlet does that.

    What a request says is noted beside its greenlet, so that its ``confirm`` waits for that and not for what
    others have said: a close may take the supervisor's time, a create need not.
    """

    def __init__(self, path: str, page: Page | None = None) -> None:
        """Begin without a line; ``page`` is where the daemon's heir looks, if it has one."""
        self._path = path
        self._page = page
        self._ledger = Ledger()
        self._post: Post | None = None
        self._mender: Any = None
        self._said: WeakKeyDictionary[Any, list[Parcel]] = WeakKeyDictionary()  # by greenlet
        self._reason = ""
        self._broke_at = monotonic()
        self._is_joined = Event()
        self._is_broken = Event()

    # --- core.seams.Keeper --------------------------------------------------------------------------------

    def store(self, entry: Entry, group: int = 0) -> None:
        """Put a copy on its way; full messages go at once, the rest with the next ``confirm``."""
        if group:
            self._ledger.groups.add(group, entry)
        if self._post is not None:
            self._note(self._post.outbox.store(entry, group))
            self._post.flush(leave=1)

    def expect(self, number: int, note: Note) -> Arrival:
        """Make ready what is said of a connection; while the keeper is away, mending covers it."""
        if self._post is None:
            return NOT_TOLD
        parcel = LoanParcel(number, notes.encode(note))
        self._note(parcel)
        letter = self._post.expect(parcel, self._page)
        return Announced(self._post, parcel, letter, self._page)

    def update(self, entry: Entry) -> None:
        """Send the note, with the next ``confirm`` or in the next turn of the loop."""
        if self._post is None:
            self._ledger.update(entry.fd)
            return
        self._note(self._post.outbox.update(entry))
        self._post.flush_soon()

    def forget(self, number: int) -> None:
        """Have the copies closed, with the next ``confirm`` or in the next turn of the loop."""
        self._ledger.groups.drop(number)
        if self._post is None:
            self._ledger.forget(number)
            return
        self._note(self._post.outbox.forget(number))
        self._post.flush_soon()

    def group(self) -> int:
        """Begin a group."""
        return self._ledger.groups.begin()

    def confirm(self, group: int = 0) -> None:
        """Wait until the keeper has done what this greenlet said, or until it is known to be away."""
        if group and self._ledger.groups.complete(group) and self._post is not None:
            self._note(self._post.outbox.put(CommitParcel(group)))
        said = self._said.pop(gevent.getcurrent(), [])
        if self._post is not None:
            self._post.flush()
        if self._post is not None:
            self._post.look_out(said)
        deadline = monotonic() + CONFIRM_S
        for parcel in said:
            self._await(parcel, deadline)
        if not self._is_joined.is_set():
            self._is_joined.wait(max(0.0, self._broke_at + AWAY_S - monotonic()))

    def state(self) -> str:
        """``up`` when every held socket has a copy there, else ``away``."""
        return "up" if self._is_joined.is_set() else "away"

    # --- the daemon's start -------------------------------------------------------------------------------

    def join(self, table: SocketTable, numbers: Numbers, busy_s: float) -> None:
        """Take back all that the keeper holds; waits for it, and lets the loop run meanwhile.

        Args:
            table: Gets it; must be empty.
            numbers: Of the table.
            busy_s: How much longer than ``JOIN_S`` to wait for another daemon to leave the keeper.

        Raises:
            LineError: There is no keeper, or it cannot be talked with.
            AdoptionError: It has something that we have no place for.
        """
        line, welcome = self._open(busy_s)
        adoption = Adoption(table, numbers)
        try:
            adoption.run(line, welcome)
        except BaseException:
            line.close()
            raise
        self._ledger.open(table, adoption.foreign)
        self._take_up(line, welcome)
        self.on_kept(adoption.stored)
        for entry in adoption.cut:
            self.update(entry)  # its note says no more that bytes of it are under way
        self._is_joined.set()
        self._mender = gevent.spawn(self._mend)
        log.info("the keeper has given back %d sockets", len(table))

    def close(self) -> None:
        """End the connection; the keeper goes on holding what it has."""
        if self._mender is not None:
            self._mender.kill()
        if self._post is not None:
            self._post.lose()
            self._post = None

    def _open(self, busy_s: float) -> tuple[Line, Welcome]:
        begin, pause = monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return Line.open(self._path, Mode.FETCH)
            except LineError as error:
                patience = JOIN_S + (busy_s if isinstance(error, BusyError) else 0)
                if monotonic() - begin > patience:
                    raise
            gevent.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    # --- what the post has to tell; maybe from within the loop, or with the table locked ------------------

    def on_done(self, parcel: Parcel) -> None:
        """Note that the copies are there."""
        self._ledger.done(parcel)

    def on_kept(self, changes: Sequence[tuple[int, bool]]) -> None:
        """Note what the supervisor has."""
        self._ledger.stored(changes)

    def on_over(self, error: LineError) -> None:
        """Go on alone, and have it mended."""
        post, self._post = self._post, None
        if post is None:
            return
        self._reason = str(error)
        if self._is_joined.is_set():
            self._is_joined.clear()
            self._broke_at = monotonic()
        self._ledger.lost(post.lose())
        self._is_broken.set()

    # --- mending ------------------------------------------------------------------------------------------

    def _mend(self) -> None:
        """Connect again whenever the line breaks; a greenlet's life."""
        while True:
            self._is_broken.wait()
            log.warning("the keeper is away: %s. Until it is back no socket has a copy", self._reason)
            pause = FIRST_PAUSE_S
            while not self._resume():
                gevent.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            log.info("the keeper is back, with a copy of %d sockets", len(self._ledger))

    def _resume(self) -> bool:
        """Try to have the keeper hold again what we hold; ``False`` if it is still away."""
        self._ledger.mark_unkept()
        try:
            line, welcome = Line.open(self._path, Mode.RESUME)
        except LineError as error:
            self._say_why(str(error))
            return False
        identities = self._ledger.identities()
        try:
            missing, stored = resuming.retain(line, identities)
        except LineError as error:
            line.close()
            self._say_why(str(error))
            return False
        except BaseException:
            line.close()
            raise
        # Nothing from here to the ping lets another greenlet run: all that is said later goes behind it.
        self._is_broken.clear()
        post = self._take_up(line, welcome)
        self._ledger.tell(post.outbox, set(identities), missing)
        self.on_kept(stored)
        return self._settle(post)

    def _take_up(self, line: Line, welcome: Welcome) -> Post:
        self._ledger.label = welcome.store or KEPT
        self._post = Post(line, self)
        return self._post

    def _settle(self, post: Post) -> bool:
        """Wait until the keeper has all that; ``False`` if it went away before."""
        ping = post.outbox.put(PingParcel())
        post.flush()
        while not ping.wait(ANSWER_S):
            post.give_up_if_silent()
        if ping.is_lost:
            return False
        self._is_joined.set()
        return True

    def _say_why(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            log.info("the keeper is still away: %s", reason)

    # --- what a greenlet has said ---------------------------------------------------------------------------

    def _note(self, parcel: Parcel) -> None:
        """Remember that the current greenlet has said something in this parcel."""
        said = self._said.setdefault(gevent.getcurrent(), [])
        if not said or said[-1] is not parcel:
            said[:] = [each for each in said if not each.is_over]
            said.append(parcel)

    def _await(self, parcel: Parcel, deadline: float) -> None:
        """Wait as long as the keeper goes on with its work."""
        while not parcel.is_over and (left := deadline - monotonic()) > 0:
            if not parcel.wait(min(ANSWER_S, left)) and self._post is not None:
                self._post.give_up_if_silent()
