"""Every errno the daemon can answer with: status, cause and cure, gathered from the tables that decide."""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import jinja2

from socketd import errors
from socketd.access.caller import Caller, Owner
from socketd.core import resolve
from socketd.core.hints import HINTS, refused
from socketd.service.guard import refusal
from socketd.web import errors as statuses
from socketd.web.answers import AnswerForgottenError, KeyReusedError
from socketd.web.body import CutBodyError, MalformedBodyError, MediaTypeError
from socketd.web.browsers import ForeignHostError, ForeignOriginError, MalformedHostError
from socketd.web.instance import OtherInstanceError
from socketd.web.reference_causes import CAUSES, Cause
from socketd.web.upgrading import UpgradeRequiredError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKDOWN: Final = "errors.md"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One ``code`` that comes with an errno: what it means, and its own cure."""

    code: str
    status: int
    text: str
    cure: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One errno.

    Attributes:
        number: On this host; ``None`` where it has no such errno.
        title: ``strerror(3)``, or the resolver's words.
        statuses: With which it comes, rising.
        cures: By system call; the first may be for any of them, and has no name.
        meanings: The codes besides ``kernel_refused``.
    """

    symbol: str
    number: int | None
    title: str
    statuses: tuple[int, ...]
    cause: Cause
    cures: tuple[tuple[str, str], ...]
    meanings: tuple[Meaning, ...]


def refusals() -> tuple[errors.SocketdError, ...]:
    """Make one of each error that the daemon raises by itself; a test holds this list complete."""
    return (*_of_requests(), *_of_what_is_held())


def _of_requests() -> tuple[errors.SocketdError, ...]:
    return (
        MalformedBodyError("the body is not JSON"),
        MediaTypeError("text/plain", "application/json"),
        MalformedHostError("the request has no Host"),
        ForeignHostError("evil.example"),
        ForeignOriginError("Origin", "http://evil.example"),
        KeyReusedError(),
        AnswerForgottenError(),
        CutBodyError(),
        UpgradeRequiredError("tcp"),
        OtherInstanceError(),
        errors.InvalidRequestError("the request names a member that there is not"),
        errors.UnauthenticatedError(),
        errors.NotPermittedError("the caller may not do this"),
        refusal(Caller(Owner(1000), None, frozenset(), None, "unix"), "bind 0.0.0.0:80"),
        errors.QuotaError("uid 1000 holds 100 sockets and may hold 100"),
    )


def _of_what_is_held() -> tuple[errors.SocketdError, ...]:
    return (
        errors.UnknownSocketError("64"),
        errors.UnknownDescriptorError(64),
        errors.UnknownForwardError("5f2e8a01c4d7"),
        errors.UploadOffsetError(1048576, 524288),
        errors.UploadInterruptedError(),
        errors.ClosedMeanwhileError("64", "recv"),
        errors.StaleError("64"),
        errors.NameTakenError("web"),
        errors.DiffersError("web", ("bind",)),
        errors.WouldBlockError("recv"),
        errors.WaitTimeoutError("recv", 30.0),
        errors.TooManyWaitsError(20_000),
        errors.TooManyFollowersError(16),
        errors.TooManyConnectionsError(),
        errors.SlowRequestError(30.0),
        errors.OutOfDescriptorsError(1024),
        errors.TooManyForwardsError(128),
        errors.ShuttingDownError(),
        errors.ClientGoneError(),
        errors.BusyError("64", "accept"),
        errors.NeedsUnixSocketError(),
        errors.NotReceivingError(),
        errors.AlreadyHeldError("64"),
        errors.PeerStalledError("sendmsg", 10.0),
        errors.NotSavedError(OSError(errno.ENOSPC, ""), "write", "/var/lib/socketd/sockets/web"),
        errors.UnreadableSpecificationError("/var/lib/socketd/sockets/web", "it is not JSON"),
    )


def entries() -> tuple[Entry, ...]:
    """Describe every errno with a cause, in alphabetical order, the resolver's last."""
    known = sorted(CAUSES, key=lambda symbol: (symbol.startswith("EAI_"), symbol))
    return tuple(
        _of_resolver(symbol) if symbol.startswith("EAI_") else _of_kernel(symbol) for symbol in known
    )


def others() -> tuple[Entry, ...]:
    """Describe what remains: errnos of this host that no socket call is known to answer with."""
    numbers = {getattr(errno, symbol, None) for symbol in CAUSES}  # an errno may have two names: ENOTSUP
    return tuple(_of_kernel(errno.errorcode[number]) for number in sorted(set(errno.errorcode) - numbers))


def by_status() -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Return the statuses, rising, each with the errnos that come with it."""
    found: dict[int, list[str]] = {}
    for entry in entries():
        for status in entry.statuses:
            found.setdefault(status, []).append(entry.symbol)
    return tuple((status, tuple(symbols)) for status, symbols in sorted(found.items()))


def markdown() -> str:
    """Write ``docs/errors.md``."""
    folder = Path(__file__).with_name("templates")
    # Not HTML, and made from constants alone.
    environment = jinja2.Environment(  # noqa: S701 (as just said)
        loader=jinja2.FileSystemLoader(folder),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(_MARKDOWN).render(entries=entries(), statuses=by_status())
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _of_kernel(symbol: str) -> Entry:
    number = getattr(errno, symbol)
    cures = tuple(_cures(number))
    meanings = tuple(_meanings(symbol, refusals()))
    by_http = (status for status, name in statuses.HTTP_SYMBOLS.items() if name == symbol)
    by_kernel = (statuses.status_of(refused(OSError(number, ""), "")),)
    own = {meaning.status for meaning in meanings} | set(by_http)
    found = own if symbol in _OURS_ALONE else own.union(by_kernel)
    return Entry(
        symbol,
        number,
        os.strerror(number),
        tuple(sorted(found)),
        CAUSES.get(symbol, Cause("")),
        cures,
        meanings,
    )


def _of_resolver(symbol: str) -> Entry:
    def fail(*_: object) -> NoReturn:
        raise socket.gaierror(getattr(socket, symbol), "")

    try:
        resolve.addrinfo(fail, resolve.Question("host", "service", 0, 0, 0, 0))
    except errors.ResolveError as error:
        cures = (("getaddrinfo", error.hint),) if error.hint else ()
        return Entry(symbol, error.number, "", (statuses.status_of(error),), CAUSES[symbol], cures, ())
    raise AssertionError(symbol)


# The daemon says these by itself; a socket call answers neither, or is asked again before anybody sees it.
_OURS_ALONE: Final = frozenset({"EIO", "EINTR", "ECANCELED", "ESTALE", "EEXIST", "EDQUOT"})


def _cures(number: int) -> Iterator[tuple[str, str]]:
    """Ask the hints what they say about an errno: whatever the call is, and by call."""
    anyhow = refused(OSError(number, ""), "").hint
    if anyhow is not None:
        yield "", anyhow
    yield from ((call, hint) for (call, known), hint in HINTS.items() if known == number)


def _meanings(symbol: str, raised: Iterable[errors.SocketdError]) -> Iterator[Meaning]:
    for error in raised:
        if error.symbol == symbol:
            text = (type(error).__doc__ or "").partition("\n")[0]
            yield Meaning(error.code, statuses.status_of(error), text, error.hint or "")


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 (a command prints)
