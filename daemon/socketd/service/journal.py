"""The journal of changes: who did what to which socket and what came of it, numbered; the last are kept."""

from __future__ import annotations

import socket
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from socketd.core import address_text
from socketd.core.address import Address, Service
from socketd.core.creation import Specification
from socketd.errors import (
    ClientGoneError,
    InvalidRequestError,
    NotPermittedError,
    QuotaError,
    ShuttingDownError,
    SocketdError,
    TooManyWaitsError,
    WaitTimeoutError,
    WouldBlockError,
)
from socketd.service import changes
from socketd.service.changes import Change, Half

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from socketd.core.entry import Entry
    from socketd.core.seams import Clock, Pause
    from socketd.core.table import SocketTable
    from socketd.service.call import Call

KEPT: Final = 4096
"""Changes that are kept for who comes late; some 600 bytes each."""

_MICROSECONDS: Final = 1_000_000
_LONGEST_WORD: Final = 128
_LONGEST_REASON: Final = 512
_HOW: Final = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}
_WITH_ADDRESS: Final = frozenset({changes.BOUND, changes.LISTENING, changes.CONNECTED, changes.ACCEPTED})

_BY_POLICY: Final = (NotPermittedError, QuotaError)

# Nothing was refused: it cannot be meant, it did not happen yet, or nobody is there to hear of it.
_NO_REFUSAL: Final = (
    InvalidRequestError,
    WouldBlockError,
    WaitTimeoutError,
    ClientGoneError,
    ShuttingDownError,
    TooManyWaitsError,
)

Record = tuple[int, float, str, "Call | None", "Entry | None", Any, "Refusal | None"]
"""A change as it is noted: nothing is looked up before somebody reads it."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Refusal:
    """What was asked for and refused; the error itself would keep the frames of its traceback alive."""

    __slots__ = ("asked", "reason", "reference", "result")

    def __init__(self, error: SocketdError, arguments: tuple[Any, ...]) -> None:
        named = arguments[0] if arguments and isinstance(arguments[0], str) else None
        reference = named or error.subject
        self.reference = None if reference is None else reference[:_LONGEST_WORD]
        self.result = error.symbol
        self.asked = _asked(arguments)
        # What others say may repeat what came with the request.
        self.reason = str(error)[:_LONGEST_REASON] if isinstance(error, _BY_POLICY) else None


class Journal:
    """Notes changes, keeps the last ``KEPT``, counts all, and wakes who waits for the next.

    Belongs to the thread of the loop. Noting costs a tuple; a reader makes a ``Change`` of it.

    Attributes:
        audit: Gets every record as it is noted; must not block. ``None`` while nobody keeps an audit.
        refusals: How many were refused, by kind and errno.
    """

    def __init__(self, clock: Clock, table: SocketTable) -> None:
        self._time = clock.time
        self._table = table
        self._ring: list[Record | None] = [None] * KEPT
        self._done = dict.fromkeys(changes.KINDS, 0)
        self._waiting: set[Pause] = set()
        # A daemon that comes after this one begins above: no daemon makes a million changes a second.
        self._first = self._last = int(clock.time() * _MICROSECONDS)
        self.refusals: dict[tuple[str, str], int] = {}
        self.audit: Callable[[Record], None] | None = None

    @property
    def last(self) -> int:
        """The number of the last change."""
        return self._last

    @property
    def oldest(self) -> int:
        """The number before the oldest change that is kept."""
        return max(self._first, self._last - KEPT)

    @property
    def is_whole(self) -> bool:
        """Whether everything that this daemon has noted is kept."""
        return self._last - self._first <= KEPT

    @property
    def done(self) -> Mapping[str, int]:
        """How many changes there were, by kind."""
        return self._done

    def note(self, call: Call | None, kind: str, entry: Entry | None, fact: Any = None) -> None:
        """Note a change that has happened.

        Args:
            call: Who did it; ``None`` for the daemon itself.
            kind: One of ``changes.KINDS``.
            entry: To which socket.
            fact: An address as Python's ``socket`` gives it, an option's name, how it was shut down, or its
                half of a forward.
        """
        self._done[kind] += 1
        self._add(call, kind, entry, fact, None)

    def note_made(self, call: Call, entry: Entry, wanted: Specification) -> None:
        """Note all that one call has made of a socket."""
        self.note(call, changes.CREATED, entry)
        for option, _ in wanted.options:
            self.note(call, changes.OPTION_SET, entry, option.name)
        is_listening = wanted.backlog is not None
        if wanted.bind is not None:
            kinds = (changes.BOUND, changes.LISTENING) if is_listening else (changes.BOUND,)
            self.note_bound(call, entry, *kinds)
        elif is_listening:
            self.note_bound(call, entry, changes.LISTENING)
        if wanted.connect is not None:
            self.note_peer(call, changes.CONNECTED, entry)

    def note_bound(self, call: Call | None, entry: Entry, *kinds: str) -> None:
        """Note ``bound``, ``listening`` or both, with the address that the kernel has given."""
        local = local_address(entry)
        for kind in kinds:
            self.note(call, kind, entry, local)

    def note_peer(self, call: Call | None, kind: str, entry: Entry) -> None:
        """Note ``connected`` or ``accepted``, with whom."""
        try:
            peer = entry.sock.getpeername()
        except OSError:  # it has left by now, or the family has no peers
            peer = None
        self.note(call, kind, entry, peer)

    def refuse(self, call: Call, kind: str, error: SocketdError, arguments: tuple[Any, ...] = ()) -> None:
        """Note what was asked for and refused; where that happened, and not again further out."""
        if error.is_noted or isinstance(error, _NO_REFUSAL):
            return
        error.is_noted = True
        refusal = Refusal(error, arguments)
        counted = (kind, refusal.result)
        self.refusals[counted] = self.refusals.get(counted, 0) + 1
        self._add(call, kind, self._seen(call, refusal.reference), None, refusal)

    def read(self, after: int, most: int) -> list[Record]:
        """Give up to ``most`` records that follow ``after``, which is not below ``oldest``."""
        upto = min(self._last, after + most)
        found = (self._ring[number % KEPT] for number in range(after + 1, upto + 1))
        return [record for record in found if record is not None]

    def wake(self, pause: Pause) -> None:
        """Ring ``pause`` at the next change, once."""
        self._waiting.add(pause)

    def leave(self, pause: Pause) -> None:
        """Ring it no more."""
        self._waiting.discard(pause)

    def _add(
        self, call: Call | None, kind: str, entry: Entry | None, fact: Any, refusal: Refusal | None
    ) -> None:
        self._last = number = self._last + 1
        self._ring[number % KEPT] = record = (number, self._time(), kind, call, entry, fact, refusal)
        if self.audit is not None:
            self.audit(record)
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for pause in waiting:
            pause.ring()

    def _seen(self, call: Call, reference: str | None) -> Entry | None:
        """Find what the caller meant, if that exists for it."""
        if reference is None:
            return None
        try:
            return call.find(self._table, reference)
        except SocketdError:
            return None


def decoded(record: Record) -> Change:
    """Make of a record what is told of it; runs in any thread, and asks the kernel nothing."""
    sequence, at, kind, call, entry, fact, refusal = record
    has_address = fact is not None and kind in _WITH_ADDRESS
    return Change(
        sequence,
        at,
        kind,
        None if call is None else call.caller,
        None if call is None else call.request_id,
        entry,
        reference=_reference(entry, fact, refusal),
        result=changes.OK if refusal is None else refusal.result,
        address=Address(entry.family, fact) if entry is not None and has_address else None,
        asked=None if refusal is None else refusal.asked,
        reason=None if refusal is None else refusal.reason,
        option=fact if kind == changes.OPTION_SET else None,
        how=_HOW.get(fact) if kind == changes.SHUT_DOWN else None,
        forward=fact if isinstance(fact, Half) else None,
    )


def _reference(entry: Entry | None, fact: Any, refusal: Refusal | None) -> str | None:
    """Tell what a request called the socket, where there is none to show: a promised name has none."""
    if refusal is not None:
        return refusal.reference
    return fact if entry is None and isinstance(fact, str) else None


def local_address(entry: Entry) -> Any:
    """Ask where a socket is bound; ``None`` where CPython knows no addresses of the family."""
    try:
        return entry.sock.getsockname()
    except OSError:
        return None


class _Noun(Protocol):
    _journal: Journal


Noun = TypeVar("Noun", bound=_Noun)


def journaled(
    kind: str, *, only: type[SocketdError] = SocketdError
) -> Callable[
    [Callable[Concatenate[Noun, Call, Parameters], Result]],
    Callable[Concatenate[Noun, Call, Parameters], Result],
]:
    """Note when a method of a noun refuses; what it does it notes itself, where it has done it.

    A reference comes right after the call, where there is one: that is how this room asks.

    Args:
        kind: What is asked for.
        only: Note just these, of a method that changes nothing when it succeeds.
    """

    def decorate(
        method: Callable[Concatenate[Noun, Call, Parameters], Result],
    ) -> Callable[Concatenate[Noun, Call, Parameters], Result]:
        @wraps(method)
        def noted(self: Noun, call: Call, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return method(self, call, *args, **kwargs)
            except only as error:
                self._journal.refuse(call, kind, error, args)
                raise

        return noted

    return decorate


def _asked(arguments: tuple[Any, ...]) -> str | None:
    """Find the address or option that a call was about; no other argument is told, it may be payload."""
    has_reference = bool(arguments) and isinstance(arguments[0], str)
    for each in arguments[1:2] if has_reference else arguments[:1]:
        found = getattr(each, "wanted", each)  # a Declaration has the Specification in it
        if isinstance(found, Specification):
            found = found.connect or found.bind
        if isinstance(found, Address):
            return address_text.text(found)[:_LONGEST_WORD]
        if isinstance(found, Service):
            return f"{found.host or ''}:{found.service or ''}"[:_LONGEST_WORD]
        if isinstance(found, str):
            return found[:_LONGEST_WORD]
    return None
