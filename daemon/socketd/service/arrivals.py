"""Descriptors that come to a caller in messages: held for it, as far as they are sockets and it may."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from socketd.access.questions import Act
from socketd.core.table import Origin
from socketd.errors import (
    AlreadyHeldError,
    KernelRefusedError,
    NotPermittedError,
    OutOfDescriptorsError,
    QuotaError,
    UnknownSocketError,
)
from socketd.service import asking, changes

if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from socketd.core.entry import Entry
    from socketd.service.call import Call
    from socketd.service.ground import Ground


class Arrivals:
    """Holds what comes in the messages of one call (``core.ancillary.Desk``).

    What is no socket, what the policy does not grant, and what another caller holds is closed: who sends
    must not be able to make receiving fail.

    Args:
        ground: Where they are held.
        call: Who receives.
        pending: What some call holds of a message that is not taken yet; all calls share it, since another
            one may be the one that takes it.
    """

    def __init__(self, ground: Ground, call: Call, pending: dict[Entry, Arrivals]) -> None:
        self._table = ground.table
        self._keeper = ground.keeper
        self._journal = ground.journal
        self._call = call
        self._pending = pending
        self._made: dict[Entry, None] = {}

    def is_new(self, entry: Entry) -> bool:
        """Whether it is held since this request, or since an earlier sending of the same."""
        return entry in self._made or (self._call.key is not None and entry.key == self._call.key)

    @staticmethod
    def is_blocking(entry: Entry) -> bool:
        """Whether its sender left it without O_NONBLOCK; nothing here has changed that."""
        return not entry.closed and os.get_blocking(entry.fd)

    def expect(self, descriptors: Sequence[int]) -> None:
        """Hold what a message has before it is taken; the keeper has it then, too.

        Raises:
            QuotaError, OutOfDescriptorsError: There is no room; nothing is held of it.
            ClientGoneError: Nobody is there to get it; likewise.
        """
        left = list(reversed(descriptors))
        try:
            while left:
                with suppress(NotPermittedError):  # told when it has come
                    self._hold(left.pop())
            self._keeper.confirm()
            self._call.waiter.check()
        except BaseException:
            self._let_go()
            raise
        finally:
            for each in left:
                self.close(each)

    def admit(self, descriptors: Sequence[int]) -> list[Entry | None]:
        """Give what has come, held; ``None`` for what cannot be. What did not come is let go."""
        found = [self._admitted(each) for each in descriptors]
        for entry in found:
            if entry is not None and self._pending.pop(entry, None) is not None:
                self._made[entry] = None
                self._journal.note(self._call, changes.GIVEN, entry)
        self._let_go()
        return found

    def close(self, fd: int, /) -> None:
        """Close one that is not held."""
        self._table.closer(fd)

    def confirm(self) -> None:
        """Wait until the keeper has all that was held."""
        if self._made:
            self._keeper.confirm()

    def _admitted(self, fd: int) -> Entry | None:
        try:
            return self._hold(fd)
        except NotPermittedError as error:
            self._journal.refuse(self._call, changes.GIVEN, error)
            return None
        except (QuotaError, OutOfDescriptorsError):  # another program's message was taken than was looked at
            return None

    def _hold(self, fd: int) -> Entry | None:
        origin = Origin(self._call.caller.owner, key=self._call.key)
        try:
            entry = self._table.adopt(fd, origin, self._check)
        except AlreadyHeldError as error:
            return self._visible(error.subject or "")
        except KernelRefusedError:  # ENOTSOCK
            return None
        self._pending[entry] = self
        return entry

    def _check(self, sock: _socket.socket) -> None:
        self._call.require(Act("give"))
        asking.require_bringing(self._call, sock)
        self._call.require_room()

    def _visible(self, reference: str) -> Entry | None:
        try:
            entry = self._table.find(reference)
        except UnknownSocketError:
            return None
        return entry if self._call.may_see(entry.owner) else None

    def _let_go(self) -> None:
        for entry in [entry for entry, who in self._pending.items() if who is self]:
            del self._pending[entry]
            if not entry.closed:
                self._table.forget(entry)
