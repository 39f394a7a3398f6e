"""What every operation on a held socket needs: which one is meant, how long to wait, is it still ours."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from socketd_client import constants
from socketd_client.calls import JSON, Call
from socketd_client.errors import ApiTimeoutError
from socketd_client.records import SocketInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from socketd_client.calls import Answer
    from socketd_client.exchange import Exchange

# A wait goes on for ever by asking again this often; below what any daemon caps a wait at.
_ROUND_S: Final = 30.0
TIMED_OUT: Final = "timed_out"  # the code of a wait that ran out; the kernel's ETIMEDOUT has another
_TIMEOUT_MOST_S: Final = 2**63 / 1e9  # what PyTime_t holds; the socket module refuses more

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

    def __init__(self, exchange: Exchange, snapshot: SocketInfo) -> None:
        self.snapshot = snapshot
        self._exchange = exchange
        self._timeout_s = socket.getdefaulttimeout()
        self._is_closed = False

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
        """The protocol's number."""
        return constants.protocol_number(self.snapshot.protocol)

    def settimeout(self, value: float | None) -> None:
        """Set how long the calls of this handle wait: ``None`` for ever, 0 not at all."""
        if value is not None:
            value = float(value)
            if value < 0 or value != value:  # noqa: PLR0124 - NaN
                raise ValueError("Timeout value out of range")
            if value > _TIMEOUT_MOST_S:
                raise OverflowError("timestamp too large to convert to C PyTime_t")
        self._timeout_s = value

    def gettimeout(self) -> float | None:
        """Return what ``settimeout`` set."""
        return self._timeout_s

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the socket module's signature
        """Wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Tell whether calls wait, for ever or for a time."""
        return self._timeout_s != 0

    def _call(
        self,
        method: str,
        op: str = "",
        body: Mapping[str, Any] | memoryview | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        accept: str = JSON,
    ) -> Answer:
        """Send one request about this socket, and for this socket only.

        The seconds the daemon is asked to wait are the ``timeout`` of ``query`` or ``body``.
        """
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        path = f"/v1/sockets/{self.fd}{op}"
        given = query if isinstance(body, memoryview) or body is None else body
        wait_s = float((given or {}).get("timeout") or 0)
        call = Call(method, path, query, body, accept=accept, if_match=self.cookie, wait_s=wait_s)
        return self._exchange.send(call)

    def _refresh(self, method: str, op: str = "", body: Mapping[str, Any] | None = None) -> SocketInfo:
        """Send a request that is answered with the socket's representation, and remember that."""
        self.snapshot = SocketInfo.from_json(self._call(method, op, body).json())
        return self.snapshot
