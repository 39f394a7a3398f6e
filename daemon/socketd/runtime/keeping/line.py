"""One connection to the keeper: messages out and in, none of which blocks the loop."""

from __future__ import annotations

import _socket
import errno
import os
from array import array
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gevent import monkey
from gevent.hub import get_hub
from gevent.socket import wait_read, wait_write

from socketd.keeper import protocol
from socketd.keeper.messages import Hello, Mode, Refused, Welcome
from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.keeper.messages import FromDaemon, FromKeeper

READ: Final = 1  # libev's EV_READ
ANSWER_S: Final = 5.0
"""How long the keeper may be silent when an answer is due; it may itself wait 2 s for its supervisor."""
_LAST_WORDS: Final = 4
# ETOOMANYREFS: as many descriptors are under way in this user's connections as RLIMIT_NOFILE says (unix(7)).
NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})

select_poll = monkey.get_original("select", "poll")  # gevent's would yield


class LineError(Exception):
    """There is no connection to the keeper, or none any more; the message says why."""


class BusyError(LineError):
    """Another daemon is connected to the keeper."""


class NoRoomError(Exception):
    """The kernel takes no more for now."""


class Heard(NamedTuple):
    """A message of the keeper; the descriptors belong to whoever heard it."""

    sequence: int
    message: FromKeeper
    descriptors: tuple[int, ...]


class Letter:
    """A packet that lacks nothing but its descriptor.

    Attributes:
        data: Its bytes.
        sequence: That the acknowledgement will name.
        rights: Gets the descriptor.
        arguments: Of sendmsg(2); ``rights`` is in there.
    """

    __slots__ = ("arguments", "data", "rights", "sequence")

    def __init__(self, data: bytes, sequence: int) -> None:
        self.data = data
        self.sequence = sequence
        self.rights = array("i", (-1,))
        control = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, self.rights)
        self.arguments = ((data,), (control,), _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)


class Line:
    """A connected, non-blocking socket to the keeper; made in the thread of the loop."""

    def __init__(self, sock: _socket.socket) -> None:
        """Take ownership of ``sock``."""
        self._sock = sock
        self._sequence = 0
        self._watcher: Any = None
        self._poll = select_poll()
        self._poll.register(sock.fileno(), READ)

    @classmethod
    def open(cls, path: str, mode: Mode) -> tuple[Line, Welcome]:
        """Connect, and be welcomed; waits, and lets the loop run meanwhile.

        Raises:
            BusyError: Another daemon has the keeper.
            LineError: Nobody is there, or it is no keeper that we can talk to.
        """
        line = cls(_connected(path))
        try:
            line.say(Hello(protocol.VERSION, mode))
            answer = line.hear().message
        except BaseException:
            line.close()
            raise
        if not isinstance(answer, Welcome):
            line.close()
            raise LineError(f"the keeper at {path} answered {answer!r} instead of a welcome")
        return line, answer

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the connection; harmless the second time."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        self._sock.close()

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Have the loop call ``on_readable`` when there is something to receive; it may not wait."""
        self._watcher = get_hub().loop.io(self._sock.fileno(), READ)
        self._watcher.start(on_readable)

    def send(self, message: FromDaemon, descriptors: Sequence[int] = ()) -> int:
        """Send now; return the sequence that the acknowledgement will name.

        Raises:
            NoRoomError: The keeper has to read first.
            LineError: The connection is over.
        """
        sequence = protocol.following(self._sequence)
        try:
            scm.send(self._sock.fileno(), protocol.encode(message, sequence), descriptors)
        except OSError as error:
            raise self._unsent(error) from error
        self._sequence = sequence
        return sequence

    def write(self, message: FromDaemon) -> Letter:
        """Prepare a message with one descriptor; it must be the next to be sent, if it is sent."""
        sequence = protocol.following(self._sequence)
        return Letter(protocol.encode(message, sequence), sequence)

    def send_letter(self, letter: Letter, fd: int) -> None:
        """Send ``fd`` with what was prepared; raises as ``send``."""
        letter.rights[0] = fd
        try:
            self._sock.sendmsg(*letter.arguments)
        except OSError as error:
            raise self._unsent(error) from error
        self._sequence = letter.sequence

    def receive(self) -> Heard | None:
        """Return the next message, or ``None`` if there is none yet.

        Raises:
            LineError: The connection is over, or descriptors were lost on the way to us.
        """
        try:
            came = scm.receive(self._sock.fileno(), protocol.MOST_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._over(error) from error
        return _read(came)

    def say(self, message: FromDaemon) -> None:
        """Send, waiting for room; the loop runs meanwhile.

        Raises:
            LineError: The connection is over, or the keeper does not read.
        """
        deadline = monotonic() + ANSWER_S
        while True:
            try:
                self.send(message)
            except NoRoomError:
                self._wait(wait_write, deadline)
            else:
                return

    def hear(self) -> Heard:
        """Return the next message, waiting for it; the loop runs meanwhile.

        Raises:
            LineError: The connection is over, or the keeper says nothing.
        """
        deadline = monotonic() + ANSWER_S
        while (heard := self.receive()) is None:
            self._wait(wait_read, deadline)
        return heard

    def peek(self, milliseconds: int) -> bool:
        """Whether there is something to receive, blocking the whole loop for that time at the most."""
        return bool(self._poll.poll(milliseconds))

    def has_room_within(self, milliseconds: int) -> bool:
        """Whether there is room to send, blocking the whole loop for that time at the most."""
        poll = select_poll()
        poll.register(self._sock.fileno(), 4)  # POLLOUT
        return bool(poll.poll(milliseconds))

    def _wait(self, wait: Callable[..., None], deadline: float) -> None:
        try:
            wait(self._sock.fileno(), timeout=max(0.0, deadline - monotonic()))
        except TimeoutError:
            raise LineError(f"the keeper does not answer within {ANSWER_S:g} s") from None

    def _unsent(self, error: OSError) -> NoRoomError | LineError:
        return NoRoomError() if error.errno in NO_ROOM else self._over(error)

    def _over(self, error: OSError) -> LineError:
        """Say why it is over: what the keeper still said is readable after ECONNRESET and EPIPE."""
        if isinstance(error, scm.TruncatedError):
            return _truncated()
        for _ in range(_LAST_WORDS):
            try:
                _read(scm.receive(self._sock.fileno(), protocol.MOST_BYTES))
            except BlockingIOError:
                break
            except OSError:
                continue
            except LineError as last_word:
                return last_word
        return LineError(f"the connection to the keeper broke: {error.strerror}")


def _connected(path: str) -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(0)
        sock.connect(path)
    except OSError as error:
        sock.close()
        # Of a path longer than sun_path Python says so itself, without an errno.
        raise LineError(f"no keeper at {path}: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _read(came: scm.Message) -> Heard:
    """Turn a packet into a message; what it brought is closed if it is none.

    Raises:
        BusyError, LineError: It is the end, or says why that comes.
    """
    if not came.data:
        raise LineError("the keeper has closed the connection")
    try:
        sequence, message = protocol.from_keeper(came.data, len(came.descriptors))
    except protocol.MalformedError as error:
        scm.close(came.descriptors)
        raise LineError(f"the keeper sent what is no message: {error}") from error
    if isinstance(message, Refused):
        kind = BusyError if message.errno == errno.EBUSY else LineError
        raise kind(
            f"the keeper refuses: {message.text} ({errno.errorcode.get(message.errno, message.errno)})"
        )
    return Heard(sequence, message, came.descriptors)


def _truncated() -> LineError:
    return LineError(
        "the keeper holds more sockets than this process may have descriptors: RLIMIT_NOFILE is "
        f"{os.sysconf('SC_OPEN_MAX')}; raise LimitNOFILE= of the service or `ulimit -Hn`, and `descriptors`. "
        "Nothing is lost: the keeper has them"
    )
