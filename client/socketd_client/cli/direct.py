"""HTTP over the daemon's Unix socket with descriptors in it, and without an HTTP library.

``socketctl exec`` stands in the way of a program's start: importing requests costs 150 ms, http.client 20,
dataclasses 8, this none of them. One request at a time; an answer has a Content-Length, which the daemon
always sends.
"""

from __future__ import annotations

import array
import json
import socket
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from socketd_client.cli.failures import CommandError, LostError, errno_text
from socketd_client.descriptors import MOST_DESCRIPTORS, close_all, unpack_rights
from socketd_client.unix_url import unix_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from socketd_client.errors import ApiError

_ROOM: Final = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
_CHUNK: Final = 65536
_HEAD_MOST: Final = 65536
_BODY_MOST: Final = 64 * 1024 * 1024
_FIRST_FINAL: Final = 200
_FIRST_BAD: Final = 300
# A daemon that restarts binds before it listens; with systemd's API socket connections wait in its queue
# instead.
_REFUSED_FOR_S: Final = 0.5
_PAUSE_S: Final = 0.02
_ATTEMPTS: Final = 4


class Reply(NamedTuple):
    """What the daemon answered.

    Attributes:
        fds: Descriptors that came before it, close-on-exec; the caller owns them.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    fds: tuple[int, ...]

    def json(self) -> Any:
        """Parse the body."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise CommandError("the answer is no JSON; is this URL really socketd's?") from error


def socket_path(url: str) -> str:
    """Return the Unix socket's path of a URL.

    Raises:
        CommandError: It is a TCP URL.
        ValueError: It is none.
    """
    path = unix_path(url)
    if path is None:
        from socketd_client.endpoint import Endpoint  # noqa: PLC0415 - only to tell it from a bad URL

        Endpoint.parse(url)
        raise CommandError(
            f"{url}: descriptors cannot travel over TCP",
            hint="give --url unix:///… of the daemon on this host",
        )
    return path


class Direct:
    """One kept connection.

    Args:
        path: The daemon's Unix socket.
        timeout_s: For connecting, and for each piece of an answer.
    """

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._pending = b""
        self._fds: list[int] = []
        self._sock = _connect(path, timeout_s, away_s=_REFUSED_FOR_S)

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, about: str | None = None
    ) -> Reply:
        """Send a request; return its answer, with the descriptors of its interim responses.

        It is sent again to a daemon that says that it goes away, for that did nothing; and if the connection
        breaks where twice is as once: a GET, a PUT, a take that does not release.

        Args:
            method: Of the request.
            path: Of the request.
            body: Sent as JSON.
            about: The socket that a refusal is about, as the user calls it.

        Raises:
            ApiError: The daemon refuses; descriptors that came nevertheless are closed.
            LostError: The connection broke; descriptors that came are kept, for ``rescued``.
            CommandError: There was no whole answer.
        """
        request = _request(method, path, body)
        is_take = path.endswith("/take") and not (body or {}).get("release")
        is_harmless = method in ("GET", "PUT") or is_take
        deadline = time.monotonic() + self._timeout_s
        for left in reversed(range(_ATTEMPTS)):
            try:
                status, headers, content = self._exchange(request)
            except LostError:
                if not left or not is_harmless or time.monotonic() > deadline:
                    raise
                self._begin_anew()
                continue
            if status < _FIRST_BAD:
                return Reply(status, headers, content, self._received(headers))
            self._drop()
            _wait_or_raise(_refusal(status, headers, content, about), deadline if left else 0.0)
            self._begin_anew()
        raise AssertionError("unreachable")

    def rescued(self, count: int) -> tuple[int, ...]:
        """Return the descriptors that came although the connection broke, if all ``count`` did, else none.

        The caller owns them. After a release they may be the only ones.
        """
        if len(self._fds) != count:
            return ()
        fds, self._fds = tuple(self._fds), []
        return fds

    def close(self) -> None:
        """Close the connection, and descriptors that nobody took."""
        self._drop()
        self._sock.close()

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connection."""
        self.close()

    def _begin_anew(self) -> None:
        """Connect again; waits while the daemon is away, since it was there a moment ago."""
        self._drop()
        self._pending = b""
        self._sock.close()
        self._sock = _connect(self._path, self._timeout_s, away_s=self._timeout_s)

    def _exchange(self, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
        try:
            self._sock.sendall(request)
            status, headers = self._head()
            return status, headers, self._exactly(_length(headers))
        except TimeoutError as error:
            raise CommandError(f"socketd at {self._path} did not answer in time") from error
        except OSError as error:
            raise LostError(f"the connection to {self._path} broke: {errno_text(error)}") from error

    def _head(self) -> tuple[int, dict[str, str]]:
        """Read up to the end of the final answer's head, over interim ones, which carry the descriptors."""
        while True:
            while b"\r\n\r\n" not in self._pending:
                if len(self._pending) > _HEAD_MOST:
                    raise CommandError("the answer's head does not end; is this URL really socketd's?")
                self._more()
            raw, _, self._pending = self._pending.partition(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").split("\r\n")
            version, _, rest = first.partition(" ")
            status = rest[:3]
            if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
                raise CommandError("what answered speaks no HTTP; is this URL really socketd's?")
            if int(status) >= _FIRST_FINAL:
                pairs = (line.partition(":") for line in lines)
                return int(status), {name.strip().title(): value.strip() for name, _, value in pairs}

    def _exactly(self, length: int) -> bytes:
        while len(self._pending) < length:
            self._more()
        body, self._pending = self._pending[:length], self._pending[length:]
        return body

    def _more(self) -> None:
        # recv() would drop descriptors without a word; socket.recv_fds ignores its flags (cpython#107898).
        data, controls, flags, _ = self._sock.recvmsg(_CHUNK, _ROOM, socket.MSG_CMSG_CLOEXEC)
        self._fds.extend(unpack_rights(controls))
        if flags & socket.MSG_CTRUNC:
            raise CommandError(
                "the kernel dropped descriptors on the way (MSG_CTRUNC)", hint="raise the limit: ulimit -n"
            )
        if not data:
            raise LostError(f"socketd at {self._path} ended the connection before its answer")
        self._pending += data

    def _received(self, headers: Mapping[str, str]) -> tuple[int, ...]:
        announced = headers.get("Socket-Descriptors", "0")
        if announced != str(len(self._fds)):
            raise CommandError(f"{announced} descriptors were announced and {len(self._fds)} came")
        fds, self._fds = tuple(self._fds), []
        return fds

    def _drop(self) -> None:
        close_all(self._fds)
        self._fds.clear()


def _request(method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: socketctl\r\n"
        f"Accept: application/json\r\nAccept-Descriptors: yes\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode("latin-1") + raw


def _connect(path: str, timeout_s: float, *, away_s: float) -> socket.socket:
    """Connect; for ``away_s`` a daemon that is not there is waited for."""
    deadline = time.monotonic() + min(timeout_s, away_s)
    # A daemon alone takes its socket file away at its end; a new command is told of that at once.
    # EAGAIN is a full backlog (unix(7)).
    absent: tuple[type[OSError], ...] = (ConnectionRefusedError, BlockingIOError)
    if away_s > _REFUSED_FOR_S:
        absent = (*absent, FileNotFoundError)
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(path)
        except OSError as error:
            sock.close()
            if isinstance(error, absent) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            from socketd_client.errors import connect_error  # noqa: PLC0415 - only when it failed

            raise connect_error(f"unix://{path}", error) from error
        except BaseException:
            sock.close()
            raise
        return sock


def _length(headers: Mapping[str, str]) -> int:
    text = headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit()) or int(text) > _BODY_MOST:
        raise CommandError("the answer does not say how long it is; is this URL really socketd's?")
    return int(text)


def _refusal(status: int, headers: Mapping[str, str], body: bytes, about: str | None) -> ApiError:
    from dataclasses import replace  # noqa: PLC0415 - only when it was refused

    from socketd_client.errors import api_error  # noqa: PLC0415
    from socketd_client.problem import read_problem  # noqa: PLC0415

    problem = read_problem(status, headers, body)
    return api_error(problem if about is None else replace(problem, socket=about))


def _wait_or_raise(refusal: ApiError, deadline: float) -> None:
    """Leave a daemon that goes away alone for as long as it wants; raise any other refusal."""
    from socketd_client.repeating import is_leaving, pause_s  # noqa: PLC0415 - only when it was refused

    if not is_leaving(refusal) or time.monotonic() + pause_s(refusal) > deadline:
        raise refusal
    time.sleep(pause_s(refusal))
