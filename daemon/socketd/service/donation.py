"""What a program gives, as it comes in: all of it is held in the end, or nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.access.questions import Act
from socketd.core.table import Origin
from socketd.errors import (
    AlreadyHeldError,
    ClosedMeanwhileError,
    InvalidRequestError,
    NameTakenError,
    SocketdError,
    UnknownSocketError,
)
from socketd.service import asking, changes

if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from socketd.core.entry import Entry
    from socketd.service.call import Call
    from socketd.service.ground import Ground


@dataclass(frozen=True, slots=True)
class Offer:
    """What a descriptor that is given shall be."""

    name: str | None = None


class Donation:
    """Descriptors of one giver, in the order of the offers.

    Args:
        ground: Where they are held; its keeper holds all of them, or none.
        call: Who gives; becomes their owner.
        offers: One for each descriptor that will come.
        existing_ok: A duplicate of a socket that the giver may see is answered with that one.

    Raises:
        NotPermittedError: The policy grants no giving, or not that name.
        NameTakenError: A name is taken, or offered twice.
    """

    def __init__(self, ground: Ground, call: Call, offers: Sequence[Offer], *, existing_ok: bool) -> None:
        self._table = ground.table
        self._keeper = ground.keeper
        self._journal = ground.journal
        self._call = call
        self._offers = offers
        self._existing_ok = existing_ok
        self._entries: list[Entry] = []
        self._made: dict[Entry, None] = {}
        call.require(Act("give"))
        asking.require_names(call, (offer.name for offer in offers))
        self._check_names()
        self._group = ground.keeper.group()

    @property
    def missing(self) -> int:
        """How many are still to come."""
        return len(self._offers) - len(self._entries)

    def add(self, descriptors: Sequence[int]) -> None:
        """Hold the next ones; takes ownership of all of them, also when it fails.

        Raises:
            InvalidRequestError: More come than were offered.
            KernelRefusedError: ENOTSOCK; ``index`` says which one.
            AlreadyHeldError, NameTakenError, OutOfDescriptorsError, NotPermittedError, QuotaError: Likewise.
        """
        left = list(reversed(descriptors))
        try:
            if len(left) > self.missing:
                raise InvalidRequestError(
                    f"{len(left)} descriptors came, {self.missing} were still expected", member="sockets"
                )
            while left:
                self._entries.append(self._hold(left.pop()))
        except SocketdError as error:
            error.index = len(self._entries)
            self._journal.refuse(self._call, changes.GIVEN, error)
            raise
        finally:
            for each in left:
                self._table.closer(each)

    def finish(self) -> list[Entry]:
        """Return what is held now, in the order of the offers.

        Raises:
            ClosedMeanwhileError: Somebody has closed one of them since it came.
        """
        self._confirm()
        for index, entry in enumerate(self._entries):
            if entry.closed:
                error = ClosedMeanwhileError(entry.reference, "recvmsg")
                error.index = index
                raise error
        return self._entries

    def abandon(self) -> None:
        """Forget what has come; the giver has its own descriptors still."""
        for entry in self._made:
            if not entry.closed:
                self._table.forget(entry)
                self._journal.note(self._call, changes.CLOSED, entry)
        self._confirm()

    def _confirm(self) -> None:
        group, self._group = self._group, 0
        self._keeper.confirm(group)

    def _check_names(self) -> None:
        seen: set[str] = set()
        for index, offer in enumerate(self._offers):
            if offer.name is None:
                continue
            # What has the name may be the very socket that comes; only its cookie will tell.
            if self._is_taken(offer.name) or offer.name in seen:
                error = NameTakenError(offer.name)
                error.index = index
                raise error
            seen.add(offer.name)

    def _is_taken(self, name: str) -> bool:
        return (
            not self._existing_ok
            and self._table.has_name(name)
            and not self._is_repeated(self._table.find(name))
        )

    def _is_repeated(self, entry: Entry) -> bool:
        """Whether this very request gave it the last time, and the answer was lost."""
        return self._call.key is not None and self._call.key == entry.key and entry not in self._made

    def _hold(self, fd: int) -> Entry:
        offer = self._offers[len(self._entries)]
        try:
            origin = Origin(self._call.caller.owner, offer.name, key=self._call.key, group=self._group)
            entry = self._table.adopt(fd, origin, self._check)
        except AlreadyHeldError as error:
            return self._existing(error)
        self._made[entry] = None
        self._journal.note(self._call, changes.GIVEN, entry)
        return entry

    def _check(self, sock: _socket.socket) -> None:
        asking.require_bringing(self._call, sock)
        self._call.require_room()

    def _existing(self, error: AlreadyHeldError) -> Entry:
        try:
            entry = self._call.find(self._table, error.subject or "")
        except UnknownSocketError:
            raise AlreadyHeldError(None) from error
        if not self._existing_ok and not self._is_repeated(entry):
            raise error
        os.set_blocking(entry.fd, False)  # given back: from now on the API may wait on it again
        entry.is_blocking = False
        self._keeper.update(entry)
        return entry
