"""Following the journal: each reader gets, in order, the changes that it may see, from where it left off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from socketd.errors import TooManyFollowersError
from socketd.service.journal import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.core.owner import Owner
    from socketd.core.seams import Pause
    from socketd.service.call import Call
    from socketd.service.changes import Change
    from socketd.service.journal import Journal

MOST: Final = 256
MOST_OF_ONE: Final = 16
"""Readers at the same time, of everybody and of one owner."""

BATCH: Final = 64
"""Changes looked at between two chances for other requests."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes that are not kept any more: those above ``after`` and up to ``upto``."""

    after: int
    upto: int


class Follower:
    """One reader. It keeps a number and no changes: one that is slow misses some, and is told.

    Attributes:
        position: The number of the last change it has looked at.
        is_sending: It is being sent what it has read.
    """

    def __init__(self, following: Following, call: Call, position: int, hang_up: Callable[[], None]) -> None:
        self.position = position
        self.is_sending = False
        self.hang_up = hang_up
        self._following = following
        self._journal = following.journal
        self._call = call

    @property
    def owner(self) -> Owner:
        """Who reads."""
        return self._call.caller.owner

    @property
    def has_more(self) -> bool:
        """Whether there are changes it has not looked at."""
        return self.position != self._journal.last

    def read(self) -> list[Change | Gap]:
        """Look at the next changes; gives those that the reader may see."""
        found: list[Change | Gap] = []
        oldest = self._journal.oldest
        # Above the last: it is of a daemon whose clock was ahead, and all that this one did is new.
        if not oldest <= self.position <= self._journal.last:
            found.append(Gap(self.position, oldest))
            self.position = oldest
        for record in self._journal.read(self.position, BATCH):
            self.position = record[0]
            change = decoded(record)
            if change.owner is not None and self._call.may_see(change.owner):
                found.append(change)
        return found

    def wait(self, pause: Pause, deadline: float) -> bool:
        """Sleep until there is a change; ``False`` when ``deadline`` passed first.

        Raises:
            ClientGoneError, ShuttingDownError: Nobody is there any more to follow, or to be followed.
        """
        self._journal.wake(pause)
        try:
            return pause.wait(deadline)
        finally:
            self._journal.leave(pause)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make room for another."""
        self._following.leave(self)


class Following:
    """Those who follow the journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._followers: set[Follower] = set()

    def __len__(self) -> int:
        return len(self._followers)

    def begin(self, call: Call, after: int | None, hang_up: Callable[[], None]) -> Follower:
        """Begin to read; the follower is to be entered, or left.

        Args:
            call: Who reads.
            after: The last change that is known; ``None`` for those to come, 0 for all that are kept.
            hang_up: Ends the connection, should nobody read at its other end.

        Raises:
            TooManyFollowersError: There is no room.
        """
        own = sum(each.owner == call.caller.owner for each in self._followers)
        if len(self._followers) >= MOST or own >= MOST_OF_ONE:
            raise TooManyFollowersError(MOST_OF_ONE if own >= MOST_OF_ONE else MOST)
        position = self.journal.last if after is None else after
        if after == 0 and self.journal.is_whole:
            position = self.journal.oldest
        follower = Follower(self, call, position, hang_up)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Forget one."""
        self._followers.discard(follower)

    def end_stalled(self) -> None:
        """Hang up on those that have not taken what was sent to them; no ring reaches whoever sends."""
        for follower in list(self._followers):
            if follower.is_sending:
                follower.hang_up()
