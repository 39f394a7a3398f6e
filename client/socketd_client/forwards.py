"""Forwards: held sockets joined inside the daemon, begun, watched and stopped from here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import quote

from socketd_client.calls import Call
from socketd_client.problem import Problem, problem_from
from socketd_client.records import Owner
from socketd_client.reference import HeldSocket, NotYetError, wait
from socketd_client.wire import Record, decoded, listed

if TYPE_CHECKING:
    from types import TracebackType

    from socketd_client.exchange import Exchange

PATH: Final = "/v1/forwards"
RUNNING: Final = "running"
STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ways(Record):
    """Bytes, each way."""

    to_first: int = 0
    to_second: int = 0


@dataclass(frozen=True, slots=True)
class ForwardInfo(Record):
    """A forward as the daemon described it at one moment.

    Attributes:
        sockets: ``fd`` of the first and of the second; ``cookies`` likewise.
        on_end: ``close`` if both sockets are closed when it has ended.
        state: ``running`` or ``ended``.
        moved_bytes: What each socket's kernel buffer was given.
        undelivered_bytes: What was taken from the other socket, and is lost.
        whole: Both have come to their end of file, and everything was delivered.
        error: What the kernel said, if that ended it.
    """

    id: str
    sockets: tuple[int, int] = field(metadata=decoded(tuple))
    state: str
    cookies: tuple[int, int] = field(default=(0, 0), metadata=decoded(tuple))
    owner: Owner | None = field(default=None, metadata=decoded(Owner.from_json))
    on_end: str = "keep"
    created_at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))
    ended_at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))
    moved_bytes: Ways = field(default_factory=Ways, metadata=decoded(Ways.from_json))
    undelivered_bytes: Ways = field(default_factory=Ways, metadata=decoded(Ways.from_json))
    whole: bool = False
    error: Problem | None = field(default=None, metadata=decoded(problem_from))

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state == RUNNING


class Forward:
    """One forward. It goes on when this object is forgotten; ``with`` stops it at the end of the block.

    Attributes:
        snapshot: What the daemon last said about it; ``info()`` asks again.
    """

    def __init__(self, exchange: Exchange, snapshot: ForwardInfo) -> None:
        self._exchange = exchange
        self.snapshot = snapshot

    @property
    def id(self) -> str:
        """What the daemon calls it."""
        return self.snapshot.id

    def info(self) -> ForwardInfo:
        """Ask how it stands.

        Raises:
            FileNotFoundError: It ended long ago, or the daemon has been restarted since.
        """
        return self._ask(Call("GET", _path(self.id)))

    def wait(self, timeout: float | None = None) -> ForwardInfo:
        """Wait until it has ended, and return how.

        Args:
            timeout: Seconds; ``None`` waits for ever, 0 does not wait.

        Raises:
            TimeoutError: It goes on.
            FileNotFoundError: As ``info``.
        """

        def ask(timeout_s: float) -> ForwardInfo:
            found = self._ask(Call("GET", _path(self.id), {"timeout": timeout_s}, wait_s=timeout_s))
            if found.is_running:
                raise NotYetError(f"forward {self.id} goes on")
            return found

        return wait(ask, timeout)

    def stop(self, timeout: float = STOP_S) -> ForwardInfo:
        """End it, and return how that went; harmless when it has ended.

        Args:
            timeout: How many seconds what was taken from one socket has to be delivered to the other. What is
                not by then is lost, and told in ``undelivered_bytes``.

        Raises:
            FileNotFoundError: As ``info``.
        """
        return self._ask(Call("DELETE", _path(self.id), {"timeout": timeout}, wait_s=timeout))

    def _ask(self, call: Call) -> ForwardInfo:
        self.snapshot = ForwardInfo.from_json(self._exchange.json(call))
        return self.snapshot

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop it; one that the daemon has forgotten has ended."""
        with suppress(FileNotFoundError):
            self.stop()

    def __repr__(self) -> str:
        """Show what it joins, as far as known."""
        first, second = self.snapshot.sockets
        return f"<{type(self).__name__} {self.id} of {first} and {second}, {self.snapshot.state}>"


class Forwards:
    """The forwards of this client's user; as ``client.forwards``.

    Example::

        near, _ = client.sockets.get("door").accept()
        far = client.sockets.create(connect=("10.0.0.7", 80))
        forward = client.forwards.create(near, far, on_end="close")
        print(forward.wait().moved_bytes)
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(
        self,
        first: HeldSocket | int | str,
        second: HeldSocket | int | str,
        *,
        on_end: Literal["keep", "close"] = "keep",
    ) -> Forward:
        """Join two connected stream sockets inside the daemon, both ways, until both have come to their end.

        While it runs nobody else reads or writes them: ``send`` and ``recv`` of their handles are EBUSY.

        Args:
            first: A handle, or a number or name.
            second: The other one.
            on_end: ``close`` closes both when it has ended, by whatever but the end of the daemon.

        Raises:
            OSError: ENOTCONN; EBUSY, one is part of a tunnel or forward; EOPNOTSUPP, one is no stream socket.
        """
        each = (first, second)
        body = {
            "sockets": [one.fd if isinstance(one, HeldSocket) else one for one in each],
            "on_end": on_end,
        }
        cookies = tuple(one.cookie for one in each if isinstance(one, HeldSocket))
        # If-Match is about all sockets of a request: with a mere name among them there is none to send.
        known = cookies if len(cookies) == len(each) else None
        answer = self._exchange.json(Call("POST", PATH, body=body, if_match=known))
        return Forward(self._exchange, ForwardInfo.from_json(answer))

    def get(self, id: str) -> Forward:  # noqa: A002 - as the API calls it
        """Find one, running or ended of late.

        Raises:
            FileNotFoundError: There is none.
        """
        return Forward(self._exchange, ForwardInfo.from_json(self._exchange.json(Call("GET", _path(id)))))

    def list(self) -> list[Forward]:
        """List them, those too that have ended of late; root sees everybody's."""
        found = listed(self._exchange.json(Call("GET", PATH)), "forwards")
        return [Forward(self._exchange, ForwardInfo.from_json(one)) for one in found]


def _path(identifier: str) -> str:
    return f"{PATH}/{quote(identifier, safe='')}"
