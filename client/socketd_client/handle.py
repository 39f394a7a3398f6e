"""The socket handle: a socket of the daemon with the method names of ``socket.socket``."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from socketd_client import constants
from socketd_client.addresses import Address
from socketd_client.arguments import integer
from socketd_client.calls import Call
from socketd_client.defaults import default_client
from socketd_client.errors import TIMED_OUT, ApiError, ApiTimeoutError, ConnectionLostError, TransportError
from socketd_client.files import Files
from socketd_client.making import create, find
from socketd_client.messages import Messages
from socketd_client.naming import unbound, wire_address
from socketd_client.options import Options
from socketd_client.passing import take
from socketd_client.polling import poll_call, ready_in
from socketd_client.records import KernelView, SocketInfo
from socketd_client.reference import NotYetError, wait
from socketd_client.repeating import MOST_BROKEN, is_leaving
from socketd_client.tunnel import open_tunnel
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.addresses import SocketAddress
    from socketd_client.client import Client

_SHORTEST_WAIT_S: Final = 0.001  # 0 would not wait, and be answered otherwise
_CONNECTIONLESS: Final = ("dgram", "raw")  # connect(2) only notes the peer there: again is as once
DEFAULT_BACKLOG: Final = min(socket.SOMAXCONN, 128)


class Socket(Messages, Files, Options):
    """A socket that the daemon holds, with the methods and manners of ``socket.socket``.

    Made here it is this program's: dropping it closes it, as a local one. What ``client.sockets`` returns is
    the daemon's: closing ends it and so does leaving a ``with`` block, dropping the object does not, and
    ``client.sockets.get`` finds it again. Every request names the socket's cookie, so the object never acts
    on another socket that has the number later. Several threads may use one handle. Example::

        with Socket(socket.AF_INET, socket.SOCK_STREAM, client=client) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.settimeout(30)
            connection, address = listener.accept()
            connection.sendall(b"hello")

    Args:
        family: As ``socket.socket`` takes it; -1 is ``AF_INET``, or the held socket's of ``fileno``.
        type: -1 is ``SOCK_STREAM``; with ``SOCK_NONBLOCK`` the calls do not wait.
        proto: -1 is 0.
        fileno: What ``fileno()`` or ``detach()`` gave: refer to that held socket. A local descriptor's number
            is given to the daemon and closed here.
        client: Whose daemon; by default that of ``installed``, else ``Client.from_env()``.

    Raises:
        OSError: What the kernel says; EBADF, ``fileno`` is nobody's.
    """

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the socket module's name for it
        proto: int = -1,
        fileno: int | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        if fileno is not None and not self._is_closed and fileno == self.fileno():
            return  # ``dup`` made it: only a derived class has more to do
        exchange = (client or default_client()).exchange
        found = create(exchange, family, type, proto) if fileno is None else find(exchange, fileno)
        self._hold(exchange, found)
        self._begin(is_owned=True)
        if proto != -1 or fileno is None:
            self._proto = max(proto, 0)
        if type != -1 and constants.is_nonblocking(type):
            self._timeout_s = 0.0

    def bind(self, address: SocketAddress | Address, /) -> None:
        """Give the socket a local address."""
        self._check_name("bind", address)
        self._refresh("POST", "/bind", {"address": wire_address(address, self.snapshot.family, "bind")})

    def listen(self, backlog: int = DEFAULT_BACKLOG, /) -> None:
        """Let connections come, ``backlog`` of them waiting to be accepted."""
        self._check("listen", backlog)
        self._refresh("POST", "/listen", {"backlog": constants.backlog(backlog)})

    def accept(self) -> tuple[Socket, SocketAddress]:
        """Wait for a connection; return a blocking handle for it, and the peer's address.

        If the HTTP connection breaks it is sent again, also to the daemon's successor where there is a
        keeper: both know the request by its key, and answer with the connection that it accepted.
        """

        def ask(timeout_s: float) -> SocketInfo:
            answer = self._call("POST", "/accept", {"timeout": timeout_s}).json()
            first = listed(answer, "sockets")[:1]
            return SocketInfo.from_json(first[0] if first else {})

        accepted = wait(ask, self._timeout_s)
        peer = "" if accepted.peer is None else accepted.peer.as_tuple()
        connection = Socket.of(self._exchange, accepted, is_owned=self._is_owned)
        connection._proto = self._proto  # noqa: SLF001 - one of us
        return connection, peer

    def _accept(self) -> tuple[int, SocketAddress]:
        """Accept as what is below ``socket.accept``, for derived classes that write that anew."""
        connection, address = Socket.accept(self)
        return connection.detach(), address

    def connect(self, address: SocketAddress | Address, /) -> None:
        """Connect to a peer.

        If the daemon goes away meanwhile and a keeper is there, the attempt goes on in the kernel: when the
        successor answers, it is asked how far that got, and connects only if it never began.

        Raises:
            TimeoutError: The time is over; the attempt goes on in the daemon, as it would locally.
            BlockingIOError: EINPROGRESS, with a timeout of 0.
        """
        self._check_name("connect", address)
        to = wire_address(address, self.snapshot.family, "connect")
        rounds = itertools.count()

        def ask(wait_s: float) -> None:
            # A second connect(2) would be EALREADY, except where a Unix socket never got into the queue.
            if next(rounds) and self.snapshot.family != "unix":
                self._finish_connect(wait_s)
            else:
                self._begin_connect(to, wait_s)

        wait(ask, self._timeout_s)

    def connect_ex(self, address: SocketAddress | Address, /) -> int:
        """Connect as ``connect`` does, but return the errno, 0 for success."""
        self._check_name("connect_ex", address)
        try:
            self.connect(address)
        except (TransportError, socket.gaierror):
            raise
        except (NotYetError, ApiTimeoutError) as error:
            return errno.ETIMEDOUT if getattr(error, "code", TIMED_OUT) != TIMED_OUT else errno.EAGAIN
        except OSError as error:
            if error.errno is None:
                raise
            return error.errno
        return 0

    def shutdown(self, how: int, /) -> None:
        """Shut one direction or both, for everybody who has the socket."""
        self._check("shutdown", how)
        self._must_be_open()
        self._refresh("POST", "/shutdown", {"how": constants.how_name(integer(how))})

    def take(self, *, blocking: bool = False) -> socket.socket:
        """Return the socket itself, as an object of this process: from here on at the kernel's own speed.

        The daemon keeps its descriptor, and both are one socket: what is shut down, set or received here is
        so there. It comes non-blocking; ``settimeout`` on it makes its calls wait and leaves that as it is.
        With ``blocking`` the daemon refuses to accept or connect on it (EBUSY) until it is taken again.

        Raises:
            OSError: EOPNOTSUPP over TCP; EMFILE, this process has no descriptor left.
        """
        return self._take(release=False, blocking=blocking)

    def release(self, *, blocking: bool = False) -> socket.socket:
        """Return the socket itself, as ``take``, and have the daemon forget its own; ends this handle.

        Nothing is shut down, and a Unix socket's path stays.
        """
        taken = self._take(release=True, blocking=blocking)
        self._is_closed = True
        return taken

    def tunnel(self) -> socket.socket:
        """Return a connection to the daemon that carries this socket's bytes, as an object of this process.

        It is a real socket, and works over TCP, too: what is sent into it the peer gets, and its end of file
        is passed on, both ways. Nothing else sends or receives on the socket meanwhile (EBUSY); closed, it
        leaves the held socket as it is, over TCP except for an end of file.

        Raises:
            OSError: ENOTCONN; EOPNOTSUPP, it is no stream socket; EBUSY.
        """
        made = open_tunnel(self._exchange, self.fd, self.cookie)
        made.settimeout(self._timeout_s)
        return made

    def getsockname(self) -> SocketAddress:
        """Return the local address."""
        local = self.info().local
        return unbound(self.snapshot.family) if local is None else local.as_tuple()

    def getpeername(self) -> SocketAddress:
        """Return the peer's address.

        Raises:
            OSError: ENOTCONN.
        """
        peer = self.info().peer
        if peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return peer.as_tuple()

    def info(self) -> SocketInfo:
        """Ask what the socket is now."""
        return self._refresh("GET")

    def inspect(self) -> KernelView:
        """Ask what the kernel knows about the socket: queues, memory, TCP_INFO."""
        return KernelView.from_json(self._call("GET", "/info").json())

    def __repr__(self) -> str:
        """Show what the daemon last said; asks nothing."""
        shot = self.snapshot
        words = [f"fd={-1 if self._is_closed else shot.fd}", shot.family, shot.type, shot.state]
        words += [f"name={shot.name!r}"] if shot.name else []
        words += [f"local={shot.local}"] if shot.local else []
        words += [f"peer={shot.peer}"] if shot.peer else []
        return f"<{type(self).__name__} {' '.join(words)}>"

    def _check_name(self, method: str, address: object) -> None:
        if not isinstance(address, Address):
            self._check_address(method, address)

    def _take(self, *, release: bool, blocking: bool) -> socket.socket:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        body = {"release": release, "blocking": blocking}
        call = Call("POST", f"/v1/sockets/{self.fd}/take", body=body, if_match=self.cookie)
        answer, (taken,) = take(self._exchange, call, 1)
        try:
            if answer is not None:
                self.snapshot = SocketInfo.from_json(answer.json())
        except BaseException:
            taken.close()
            raise
        return taken

    def _begin_connect(self, to: Mapping[str, Any] | str, wait_s: float) -> None:
        """Connect; where the daemon went away, go on from what has become of the attempt."""
        deadline = time.monotonic() + wait_s
        for left in reversed(range(MOST_BROKEN)):
            try:
                self._refresh("POST", "/connect", {"address": to, "timeout": wait_s})
            except (ApiError, ConnectionLostError) as error:
                if not left or (isinstance(error, ApiError) and not is_leaving(error)):
                    raise
            else:
                return
            wait_s = max(deadline - time.monotonic(), _SHORTEST_WAIT_S) if wait_s else 0.0
            # Asked with If-Match: EBADF or ESTALE if the socket ended with the daemon.
            state = self.info().state
            if self.snapshot.type in _CONNECTIONLESS or state in ("created", "bound"):
                continue
            if not wait_s and state == "connecting":
                raise OSError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
            self._finish_connect(wait_s)
            return

    def _finish_connect(self, timeout_s: float) -> None:
        """Wait for an attempt that is under way, and raise what became of it."""
        if not ready_in(self._exchange.json(poll_call([(self.fd, select.POLLOUT)], timeout_s))):
            raise NotYetError("timed out")
        number = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        self._refresh("GET")
