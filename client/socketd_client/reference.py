"""What every operation on a held socket needs: which one is meant, how long to wait, is it still ours."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from socketd_client import arguments, constants
from socketd_client.calls import JSON, Call
from socketd_client.errors import TIMED_OUT, ApiTimeoutError
from socketd_client.records import SocketInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from socketd_client.calls import Answer
    from socketd_client.exchange import Exchange
    from socketd_client.shares import Share

# A wait goes on for ever by asking again this often; below what any daemon caps a wait at.
_ROUND_S: Final = 30.0

Result = TypeVar("Result")


class NotYetError(TimeoutError):
    """Some request came back without what was waited for, and without harm."""


def wait(ask: Callable[[float], Result], timeout_s: float | None) -> Result:
    """Ask the daemon until it has something, or the time is over.

    Args:
        ask: Makes one request that waits at most the seconds it is given.
        timeout_s: ``None`` waits for ever; 0 asks once and does not wait.

    Raises:
        TimeoutError: The time is over. Nothing was taken from the socket.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    left_s = _ROUND_S if timeout_s is None else timeout_s
    while True:
        try:
            return ask(min(left_s, _ROUND_S))
        except (ApiTimeoutError, NotYetError) as error:
            # The same errno for a dead connection (TCP_USER_TIMEOUT) is final.
            if isinstance(error, ApiTimeoutError) and error.code != TIMED_OUT:
                raise
            if deadline is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise


class HeldSocket:
    """A reference to one socket of the daemon, by number and cookie: it can never act on another.

    Attributes:
        snapshot: What the daemon last said about the socket; ``info()`` of the handle asks again.
    """

    snapshot: SocketInfo
    _exchange: Exchange
    _share: Share
    _timeout_s: float | None
    _is_closed: bool
    _proto: int | None = None

    def _hold(self, exchange: Exchange, snapshot: SocketInfo) -> None:
        """Begin to refer to a socket; every way to make a handle comes through here."""
        self.snapshot = snapshot
        self._exchange = exchange
        self._timeout_s = socket.getdefaulttimeout()

    @property
    def fd(self) -> int:
        """The descriptor's number in the daemon's process."""
        return self.snapshot.fd

    @property
    def pid(self) -> int:
        """The daemon's process, so that ``/proc/<pid>/fd/<fd>`` is the socket."""
        return self.snapshot.pid

    @property
    def cookie(self) -> int:
        """``SO_COOKIE``: the socket's identity, never reused."""
        return self.snapshot.cookie

    @property
    def name(self) -> str | None:
        """The name it was created with."""
        return self.snapshot.name

    @property
    def family(self) -> int:
        """The address family, as ``socket.AF_INET``."""
        return constants.family_number(self.snapshot.family)

    @property
    def type(self) -> int:
        """The socket type, as ``socket.SOCK_STREAM``; never with flags."""
        return constants.type_number(self.snapshot.type)

    @property
    def proto(self) -> int:
        """The protocol's number: of the constructor's, as locally, 0 for the usual; else the kernel's."""
        if self._proto is not None:
            return self._proto
        return constants.protocol_number(self.snapshot.protocol)

    def settimeout(self, value: float | None, /) -> None:
        """Set how long the calls of this handle wait: ``None`` for ever, 0 not at all.

        Raises:
            OSError: EBADF, it is closed; it remembers the timeout all the same, as a local one does.
        """
        self._timeout_s = arguments.seconds("settimeout", value)
        self._must_be_open()

    def gettimeout(self) -> float | None:
        """Return what ``settimeout`` set."""
        return self._timeout_s

    @property
    def timeout(self) -> float | None:
        """What ``settimeout`` set."""
        return self._timeout_s

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the socket module's signature
        """Wait for ever, or not at all."""
        self._timeout_s = arguments.seconds("setblocking", flag)
        self._must_be_open()

    def getblocking(self) -> bool:
        """Tell whether calls wait, for ever or for a time."""
        return self._timeout_s != 0

    def _check(self, method: str, *given: Any) -> None:
        """Raise what the method of a local socket says to its arguments; there is no address among them."""
        arguments.check(self.family, method, *given)

    def _check_address(self, method: str, *given: Any) -> None:
        """Raise what the method of a local socket says to its arguments; the last of them is an address."""
        *others, address = given
        arguments.check(self.family, method, *others, arguments.without_name(address))

    def _must_be_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _call(
        self,
        method: str,
        op: str = "",
        body: Mapping[str, Any] | memoryview | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        accept: str = JSON,
        into: memoryview | None = None,
    ) -> Answer:
        """Send one request about this socket, and for this socket only.

        The seconds the daemon is asked to wait are the ``timeout`` of ``query`` or ``body``.
        """
        self._must_be_open()
        self._exchange.shares.flush()
        path = f"/v1/sockets/{self.fd}{op}"
        given = query if isinstance(body, memoryview) or body is None else body
        wait_s = float((given or {}).get("timeout") or 0)
        call = Call(method, path, query, body, accept=accept, if_match=self.cookie, wait_s=wait_s, into=into)
        return self._exchange.send(call)

    def _refresh(self, method: str, op: str = "", body: Mapping[str, Any] | None = None) -> SocketInfo:
        """Send a request that is answered with the socket's representation, and remember that."""
        self.snapshot = SocketInfo.from_json(self._call(method, op, body).json())
        return self.snapshot
