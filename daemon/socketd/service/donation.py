"""What a program gives, as it comes in: all of it is held in the end, or nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.core.table import Origin
from socketd.errors import (
    AlreadyHeldError,
    ClosedMeanwhileError,
    InvalidRequestError,
    NameTakenError,
    SocketdError,
    UnknownSocketError,
)
from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.entry import Entry
    from socketd.core.table import SocketTable
    from socketd.service.call import Call


@dataclass(frozen=True, slots=True)
class Offer:
    """What a descriptor that is given shall be."""

    name: str | None = None
    persist: bool = False


class Donation:
    """Descriptors of one giver, in the order of the offers.

    Args:
        table: Where they are held.
        call: Who gives; becomes their owner.
        offers: One for each descriptor that will come.
        existing_ok: A duplicate of a socket that the giver may see is answered with that one.

    Raises:
        NameTakenError: A name is taken, or offered twice.
    """

    def __init__(self, table: SocketTable, call: Call, offers: Sequence[Offer], *, existing_ok: bool) -> None:
        self._table = table
        self._call = call
        self._offers = offers
        self._existing_ok = existing_ok
        self._entries: list[Entry] = []
        self._made: list[Entry] = []
        self._check_names()

    @property
    def missing(self) -> int:
        """How many are still to come."""
        return len(self._offers) - len(self._entries)

    def add(self, descriptors: Sequence[int]) -> None:
        """Hold the next ones; takes ownership of all of them, also when it fails.

        Raises:
            InvalidRequestError: More come than were offered.
            KernelRefusedError: ENOTSOCK; ``index`` says which one.
            AlreadyHeldError, NameTakenError, OutOfDescriptorsError: Likewise.
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
            raise
        finally:
            scm.close(left)

    def finish(self) -> list[Entry]:
        """Return what is held now, in the order of the offers.

        Raises:
            ClosedMeanwhileError: Somebody has closed one of them since it came.
        """
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

    def _check_names(self) -> None:
        seen: set[str] = set()
        for index, offer in enumerate(self._offers):
            if offer.name is None:
                continue
            # What has the name may be the very socket that comes; only its cookie will tell.
            is_taken = not self._existing_ok and self._table.has_name(offer.name)
            if is_taken or offer.name in seen:
                error = NameTakenError(offer.name)
                error.index = index
                raise error
            seen.add(offer.name)

    def _hold(self, fd: int) -> Entry:
        offer = self._offers[len(self._entries)]
        try:
            entry = self._table.adopt(fd, Origin(self._call.caller.uid, offer.name, persist=offer.persist))
        except AlreadyHeldError as error:
            return self._existing(error)
        self._made.append(entry)
        return entry

    def _existing(self, error: AlreadyHeldError) -> Entry:
        try:
            entry = self._call.find(self._table, error.subject or "")
        except UnknownSocketError:
            raise AlreadyHeldError(None) from error
        if not self._existing_ok:
            raise error
        os.set_blocking(entry.fd, False)  # given back: from now on the API may wait on it again
        entry.is_blocking = False
        return entry
