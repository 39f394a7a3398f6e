"""Sockets that are made again: what ``persist: boot`` promises, and keeping the promise."""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from socketd.access.caller import absent
from socketd.access.questions import Act, UseName
from socketd.core.address import Address
from socketd.core.saving import BOOT, Nowhere
from socketd.core.table import Origin
from socketd.errors import (
    InvalidRequestError,
    NameTakenError,
    NotSavedError,
    SocketdError,
    UnreadableSpecificationError,
    WouldBlockError,
)
from socketd.service import changes
from socketd.service.call import Call
from socketd.service.journal import journaled
from socketd.service.leftover import remove_leftover
from socketd.service.promises import LAST_RETRY_S, longer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from socketd.core.creation import Specification
    from socketd.core.entry import Entry
    from socketd.core.seams import SpecificationStore
    from socketd.service.ground import Ground
    from socketd.service.promises import Promise, Promises
    from socketd.service.sockets import Sockets

_SHORTEST_S: Final = 0.1

log = logging.getLogger(__name__)


def _unread(_document: Mapping[str, Any]) -> NoReturn:
    raise InvalidRequestError("nobody here reads specifications")


@dataclass(frozen=True, slots=True)
class Archive:
    """Where specifications are saved, and who understands them.

    Attributes:
        read: Turns the words of a request into what they mean; raises ``InvalidRequestError``.
    """

    store: SpecificationStore
    read: Callable[[Mapping[str, Any]], Specification]


NO_ARCHIVE: Final = Archive(Nowhere(), _unread)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a request says that a socket shall be.

    Attributes:
        document: The same as ``wanted`` in the request's own words.
        persist: ``"boot"``, ``False``, or ``None`` to leave it as it is.
    """

    wanted: Specification
    document: Mapping[str, Any]
    persist: str | bool | None = None


class Unattended:
    """How what nobody waits for waits: not at all (``core.seams.Waiter``)."""

    def pause(self) -> NoReturn:
        """Refuse to wait."""
        raise WouldBlockError("connect")

    def check(self) -> None:
        """Nobody can hang up."""

    def give_way(self) -> None:
        """Go on: what is made here is made one at a time."""

    def half_open(self) -> Unattended:
        """Nobody is there to be one."""
        return self


class Boot:
    """Makes sockets that are promised: now for who asks, and at start for who once asked."""

    def __init__(self, ground: Ground, sockets: Sockets, promises: Promises, archive: Archive) -> None:
        self._table = ground.table
        self._keeper = ground.keeper
        self._clock = ground.clock
        self._journal = ground.journal
        self._guard = ground.guard
        self._sockets = sockets
        self._promises = promises
        self._read = archive.read
        self._told = ""
        self._pause_s = 0.0
        self._is_ended = False

    @journaled(changes.CREATED)
    def create(self, call: Call, name: str, declared: Declaration, timeout_s: float | None) -> Entry:
        """Make a socket and promise it; nothing is left of it if that fails.

        Raises:
            NotSavedError, UnreadableSpecificationError: It cannot be promised.
            SocketdError: As ``Sockets.create``.
        """
        _check_lasting(declared.wanted)
        call.require(Act("persist"), UseName(name))
        self._promises.check_new(name)
        origin = Origin(call.caller.owner, name, persist=BOOT)
        entry = self._sockets.create(call, declared.wanted, origin, timeout_s)
        self._keep(call, entry, declared.document, is_new=True)
        return entry

    @journaled(changes.CREATED)
    def ensure(
        self, call: Call, name: str, declared: Declaration, timeout_s: float | None
    ) -> tuple[Entry, bool]:
        """Make sure that a socket of that name exists; say whether it was made.

        Raises:
            NotSavedError, UnreadableSpecificationError: It cannot be promised, or the promise not taken back.
            SocketdError: As ``Sockets.ensure``.
        """
        call.require(UseName(name))
        promise = self._promised(call, name)
        is_lasting = declared.persist == BOOT or (declared.persist is None and promise is not None)
        if is_lasting:
            _check_lasting(declared.wanted)
            call.require(Act("persist"))
            self._promises.check_readable(name)
        owner = call.caller.owner if promise is None else promise.saved.owner
        origin = Origin(owner, name, persist=BOOT if is_lasting else None)
        entry, is_new = self._sockets.ensure(call, declared.wanted, origin, timeout_s)
        if is_lasting and (is_new or declared.persist == BOOT):
            if is_new or not self._is_promised(entry, declared.document):
                self._keep(call, entry, declared.document, is_new=is_new)
        elif declared.persist is False and (promise is not None or entry.persist is not None):
            with self._whole(call, entry, is_new=is_new):
                self._promises.take_back(name, entry)
                self._journal.note(call, changes.UNPERSISTED, entry)
        return entry, is_new

    def end(self) -> None:
        """Make nothing any more: the daemon goes away."""
        self._is_ended = True

    def remake(self) -> float:
        """Make what is promised and not there, each if its time has come; one that fails stops no other.

        Other requests run meanwhile.

        Returns:
            Seconds until it is worth while to call this again.
        """
        try:
            self._promises.load()
        except NotSavedError as error:
            return self._wait_for_disk(error)
        for promise in self._promises.unmet():
            if promise.retry_at <= self._clock.monotonic() and not self._is_ended:
                self._remake(promise)
        now = self._clock.monotonic()
        next_s = min((each.retry_at - now for each in self._promises.unmet()), default=LAST_RETRY_S)
        return max(next_s, _SHORTEST_S)

    def _wait_for_disk(self, error: NotSavedError) -> float:
        if self._told != str(error):
            self._told = str(error)
            log.error("promised sockets are not made again yet: %s; %s", error, error.hint)
        self._pause_s = longer(self._pause_s)
        return self._pause_s

    def _promised(self, call: Call, name: str) -> Promise | None:
        """Give the promise of that name, if it is the caller's.

        Raises:
            NameTakenError: It is somebody else's.
        """
        promise = self._promises.get(name)
        if promise is None or call.may_see(promise.saved.owner):
            return promise
        raise NameTakenError(name)

    def _is_promised(self, entry: Entry, document: Mapping[str, Any]) -> bool:
        promise = self._promises.get(entry.name or "")
        return promise is not None and entry.persist == BOOT and promise.saved.document == document

    @journaled(changes.PERSISTED)
    def _keep(self, call: Call, entry: Entry, document: Mapping[str, Any], *, is_new: bool) -> None:
        with self._whole(call, entry, is_new=is_new):
            self._promises.keep(entry, document)
            self._journal.note(call, changes.PERSISTED, entry)

    @contextmanager
    def _whole(self, call: Call, entry: Entry, *, is_new: bool) -> Iterator[None]:
        """Leave nothing of a socket that this call has made if the rest of the call, the body, fails."""
        try:
            yield
        except BaseException:
            if is_new and not entry.closed:
                self._table.close(entry)
                self._journal.note(call, changes.CLOSED, entry)
            raise
        finally:
            self._keeper.confirm()

    def _remake(self, promise: Promise) -> None:
        saved = promise.saved
        try:
            entry = self._make(promise)
        except SocketdError as error:
            self._fail(promise, error)
        except Exception:
            log.exception("the socket %s cannot be made again", saved.name)
            self._fail(
                promise, UnreadableSpecificationError(saved.name, "the daemon cannot make sense of it")
            )
        else:
            if self._is_ended or self._promises.get(saved.name) is not promise:  # taken back meanwhile
                self._discard(entry)
                return
            promise.succeed()
            log.info("made %s again: socket %s of %s", saved.name, entry.fd, saved.owner)

    def _make(self, promise: Promise) -> Entry:
        saved = promise.saved
        wanted = self._read(saved.document)
        _check_lasting(wanted)
        owner = Call(absent(saved.owner), Unattended(), self._guard)
        owner.require(Act("persist"))
        origin = Origin(saved.owner, saved.name, persist=BOOT)
        try:
            return self._sockets.create(owner, wanted, origin, 0)
        except SocketdError as error:
            if error.symbol != "EADDRINUSE" or not _frees(wanted):
                raise
            return self._sockets.create(owner, wanted, origin, 0)

    def _fail(self, promise: Promise, error: SocketdError) -> None:
        is_news = promise.failure is None or str(promise.failure) != str(error)
        promise.fail(error, self._clock.monotonic())
        if is_news:
            hint = f"; {error.hint}" if error.hint else ""
            log.error("the socket %s is not made again yet: %s%s", promise.saved.name, error, hint)

    def _discard(self, entry: Entry) -> None:
        if not entry.closed:
            self._table.close(entry)
            self._journal.note(None, changes.CLOSED, entry)
            self._keeper.confirm()


def _check_lasting(wanted: Specification) -> None:
    if wanted.connect is not None:
        raise InvalidRequestError(
            "a connection cannot be promised: whether it can be made again is the peer's to say",
            member="connect",
            hint="leave persist out, or connect out",
        )


def _frees(wanted: Specification) -> bool:
    """Remove the file at a Unix path if it is what a daemon that was killed has left there."""
    address = wanted.bind
    if not isinstance(address, Address) or address.family != socket.AF_UNIX:
        return False
    return isinstance(address.sockaddr, str) and remove_leftover(address.sockaddr, wanted.type)
