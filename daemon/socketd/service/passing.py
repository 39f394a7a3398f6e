"""Descriptors change hands: held sockets are taken by programs, and given by them."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.access.questions import Act, UseName
from socketd.core.entry import Taker
from socketd.core.hints import refused
from socketd.core.table import Origin
from socketd.errors import (
    ClosedMeanwhileError,
    InvalidRequestError,
    NeedsUnixSocketError,
    NotPermittedError,
    NotReceivingError,
    PeerStalledError,
)
from socketd.kernel import pidfd, scm
from socketd.service import asking, changes
from socketd.service.channel import Channel
from socketd.service.donation import Donation
from socketd.service.journal import journaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from socketd.core.entry import Entry
    from socketd.service.call import Call
    from socketd.service.donation import Offer
    from socketd.service.ground import Ground
    from socketd.service.promises import Promises


@dataclass(frozen=True, slots=True)
class Taking:
    """What is taken, and how.

    Attributes:
        references: Numbers or names, in the order in which the descriptors shall come.
        interim: The bytes that each batch of descriptors travels with.
        is_release: The daemon forgets its own afterwards.
        is_blocking: They are handed out without O_NONBLOCK.
        is_received: The client has said that it receives descriptors.
    """

    references: tuple[str, ...]
    interim: bytes
    is_release: bool = False
    is_blocking: bool = False
    is_received: bool = False


class Passing:
    """Take and give, on sockets that exist for the caller."""

    def __init__(self, ground: Ground, promises: Promises) -> None:
        self._ground = ground
        self._table = ground.table
        self._limits = ground.limits
        self._clock = ground.clock
        self._keeper = ground.keeper
        self._journal = ground.journal
        self._promises = promises

    @journaled(changes.TAKEN)
    def take(self, call: Call, connection: int, wanted: Taking) -> list[Entry]:
        """Hand out duplicates over the Unix socket ``connection``; nothing is sent before all is checked.

        A release is not done here but by ``release``, once the answer is made: until then the socket can
        still be represented. When this returns the client has read the descriptors of a release.

        Raises:
            NotPermittedError, NeedsUnixSocketError, NotReceivingError, InvalidRequestError,
                UnknownSocketError, StaleError, BusyError: Nothing was sent.
            PeerStalledError: The client does not read; its connection is ended.
            ClosedMeanwhileError, ClientGoneError, KernelRefusedError: Some may have been sent.
        """
        entries = self._wanted(call, wanted)
        before = [entry.is_blocking for entry in entries]
        channel = Channel(connection, call.waiter)
        batches = list(_batches(entries))
        try:
            for batch in batches:
                self._lend(call, channel, batch, wanted)
                if len(batches) > 1:
                    call.waiter.give_way()
            if wanted.is_release or len(batches) > 1:
                channel.await_read()
            _raise_if_closed(entries)
        except BaseException as error:
            if wanted.is_blocking:
                self._restore(entries, before)
            if isinstance(error, PeerStalledError):
                channel.end()
            raise
        return entries

    @journaled(changes.RELEASED)
    def release(self, call: Call, entries: Sequence[Entry]) -> None:
        """Forget sockets whose descriptors have been taken: no shutdown, and their socket files stay.

        Raises:
            NotSavedError: One is promised, and that cannot be taken back; all are still held.
        """
        with self._promises.taken_back(entries):
            for entry in entries:
                with contextlib.suppress(ClosedMeanwhileError):
                    self._table.forget(entry)
                    self._journal.note(call, changes.RELEASED, entry)
        self._keeper.confirm()  # whoever took it may close it and rely on it that it ends

    @journaled(changes.GIVEN)
    def donation(self, call: Call, offers: Sequence[Offer], *, existing_ok: bool) -> Donation:
        """Begin to receive what a program gives over the Unix socket.

        Raises:
            NameTakenError, InvalidRequestError: What it shall be called, or how many it is.
        """
        if len(offers) > self._limits.max_count:
            raise InvalidRequestError(
                f"at most {self._limits.max_count} sockets can be given at once", member="sockets"
            )
        return Donation(self._ground, call, offers, existing_ok=existing_ok)

    @journaled(changes.GIVEN)
    def give_from(self, call: Call, pid: int, fd: int, offer: Offer) -> Entry:
        """Hold a duplicate of another process' descriptor.

        Raises:
            NeedsUnixSocketError: A pid means nothing over TCP.
            NotPermittedError: The policy does not grant it, or the process is one of the daemon's own.
            QuotaError: There is no room.
            NameTakenError, AlreadyHeldError, OutOfDescriptorsError: As they say.
            KernelRefusedError: ESRCH, EBADF, EPERM; ENOTSOCK.
        """
        self.check_connection(call)
        call.require(Act("adopt_pid"))
        if offer.name is not None:
            call.require(UseName(offer.name))
        if self._ground.is_own_process(pid):
            raise NotPermittedError(
                f"process {pid} is the daemon's own",
                hint="what it holds for others is not for anybody to copy",
            )
        made = self._table.made_under(call.key)
        if made:
            return made[0]
        call.require_room()
        self._table.check_name(offer.name)
        try:
            found = pidfd.duplicate(pid, fd)
        except OSError as error:
            raise refused(error, "pidfd_getfd") from error
        origin = Origin(call.caller.owner, offer.name, key=call.key)
        entry = self._table.adopt(found, origin, lambda sock: asking.require_bringing(call, sock))
        self._journal.note(call, changes.GIVEN, entry)
        self._keeper.confirm()
        return entry

    @staticmethod
    def check_connection(call: Call) -> None:
        """Refuse a connection that carries no descriptors.

        Raises:
            NeedsUnixSocketError: It is TCP.
        """
        if call.caller.via != "unix":
            raise NeedsUnixSocketError

    def _wanted(self, call: Call, wanted: Taking) -> list[Entry]:
        self.check_connection(call)
        call.require(Act("take"))
        if wanted.is_release and not wanted.is_received:
            raise NotReceivingError
        if len(wanted.references) > self._limits.max_count:
            raise InvalidRequestError(
                f"at most {self._limits.max_count} sockets can be taken at once", member="sockets"
            )
        entries: dict[Entry, None] = {}
        for count, reference in enumerate(wanted.references, start=1):
            entry = call.find(self._table, reference)
            if entry in entries:
                raise InvalidRequestError(f"socket {reference} is asked for twice", member="sockets")
            if wanted.is_release:  # bytes that a flow has in hand would be missing in the stream
                entry.raise_if_flowing("release")
            entries[entry] = None
            if count % scm.MOST_DESCRIPTORS == 0:
                call.waiter.give_way()
        return list(entries)

    def _lend(self, call: Call, channel: Channel, batch: Sequence[Entry], wanted: Taking) -> None:
        _raise_if_closed(batch)
        for entry in batch:
            os.set_blocking(entry.fd, wanted.is_blocking)
            entry.is_blocking = wanted.is_blocking
        channel.lend(wanted.interim, self._table, batch)
        assert call.caller.uid is not None  # noqa: S101 (check_connection: it came by the Unix socket)
        taker = Taker(call.caller.uid, call.caller.pid, self._clock.time())
        for entry in batch:
            entry.taken += 1
            entry.taken_by = taker
            self._keeper.update(entry)
            self._journal.note(call, changes.TAKEN, entry)

    def _restore(self, entries: Sequence[Entry], was_blocking: Sequence[bool]) -> None:
        """Put back what a taking that failed has changed: nobody is left who relies on it."""
        for entry, before in zip(entries, was_blocking, strict=True):
            if not before and not entry.closed:
                os.set_blocking(entry.fd, False)
                entry.is_blocking = False
                self._keeper.update(entry)


def _batches(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    rest = iter(entries)
    while batch := list(itertools.islice(rest, scm.MOST_DESCRIPTORS)):
        yield batch


def _raise_if_closed(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.closed:
            raise ClosedMeanwhileError(entry.reference, "sendmsg")
