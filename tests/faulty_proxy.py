"""A proxy between the SDK and the daemon that cuts, delays, truncates and duplicates HTTP at random.

Each request draws its fate from the seed and its number (``tests/faults.py``). With one client thread a run
is the same again; with several, which request gets which number is theirs to settle.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self

from tests.faults import PROBABILITY, Fault, Plan, plan
from tests.http_messages import BrokenError, Messages, is_last, length_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

MOST_COPIED = 1 << 22
"""Of a longer request the duplicate is only the beginning."""
JOIN_S = 60.0
_RESET = struct.pack("ii", 1, 0)  # l_onoff, l_linger
_INTERIM = 100

log = logging.getLogger(__name__)


class EndedError(Exception):
    """This connection is to be ended now."""


class FaultyProxy:
    """Listens until the block ends, and leads to one daemon.

    Args:
        daemon_path: The daemon's Unix socket.
        front: Where to listen: a path for a Unix socket, ``None`` for TCP on loopback.
        seed: Decides about everything.
        probability: Of a fault, for each request.
    """

    def __init__(
        self, daemon_path: str, front: Path | None, seed: int, probability: float = PROBABILITY
    ) -> None:
        self.seed = seed
        self.happened: Counter[Fault] = Counter()
        self._probability = probability
        self._daemon_path = daemon_path
        self._lock = threading.Lock()
        self._count = 0
        self._later: list[tuple[int, _Copied]] = []
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = _listen(front)
        name = self._listener.getsockname()
        self.url = f"http://{name[0]}:{name[1]}" if front is None else f"unix://{front}"
        log.info("faults at %s by seed %d", self.url, seed)
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._end(self._listener)
        with self._lock:
            for sock in self._open:
                self._end(sock)
        while (thread := self._last_thread()) is not None:  # it may still have started another
            thread.join(JOIN_S)
        self._listener.close()
        log.info("seed %d: %s", self.seed, {fault.value: count for fault, count in self.happened.items()})

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        with self._lock:
            thread.start()
            self._threads.append(thread)

    def _last_thread(self) -> threading.Thread | None:
        with self._lock:
            return self._threads.pop() if self._threads else None

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if client.family == socket.AF_INET:
                # Head and body go by one after the other; Nagle and delayed ACKs would make it 40 ms.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Carry one client's requests, on one connection to the daemon, until either ends."""
        with (
            contextlib.suppress(OSError, BrokenError, EndedError),
            self._kept(client),
            self._kept(socket.socket(socket.AF_UNIX)) as daemon,
        ):
            daemon.connect(self._daemon_path)
            carried = _Carried(Messages(client), Messages(daemon), self._is_over)
            while not self._is_over.is_set() and self._one(carried):
                pass

    def _one(self, carried: _Carried) -> bool:
        head = carried.client.head()
        if not head:
            return False
        with self._lock:
            self._count += 1
            fate = plan(self.seed, self._count, self._probability)
            self.happened[fate.fault] += 1
        message = _Copied(head, carried.client.body(head))
        if fate.fault is Fault.DUPLICATE and fate.is_in_head:
            message.read_ahead()
            self._start(self._send_copy, message)  # which of the two is first is not told
        carried.request(message, fate)
        if fate.fault is Fault.DUPLICATE and not fate.is_in_head:
            self._start(self._send_copy, message)
        is_kept = carried.answer(fate) and not is_last(head)
        self._send_late(message, fate)
        return is_kept

    def _send_late(self, message: _Copied, fate: Plan) -> None:
        with self._lock:
            due = [copy for nth, copy in self._later if nth <= self._count]
            self._later = [(nth, copy) for nth, copy in self._later if nth > self._count]
            if fate.fault is Fault.DUPLICATE_LATER:
                self._later.append((self._count + fate.later, message))
        for copy in due:
            self._start(self._send_copy, copy)

    def _send_copy(self, message: _Copied) -> None:
        """Send a request another time, and throw its answer away."""
        with self._kept(socket.socket(socket.AF_UNIX)) as daemon, contextlib.suppress(OSError, BrokenError):
            daemon.connect(self._daemon_path)
            daemon.sendall(message.start)
            if message.is_cut:
                daemon.shutdown(socket.SHUT_WR)
            answer = Messages(daemon)
            head = answer.head()
            for _ in answer.body(head):
                pass

    @contextlib.contextmanager
    def _kept(self, sock: socket.socket) -> Iterator[socket.socket]:
        """Have a connection ended with the proxy."""
        with sock:
            with self._lock:
                self._open.add(sock)
                if self._is_over.is_set():
                    self._end(sock)
            try:
                yield sock
            finally:
                with self._lock:
                    self._open.discard(sock)

    @staticmethod
    def _end(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class _Carried:
    """A client's connection and the daemon's, and one request and its answer at a time."""

    def __init__(self, client: Messages, daemon: Messages, is_over: threading.Event) -> None:
        self.client = client
        self.daemon = daemon
        self._is_over = is_over

    def request(self, message: _Copied, fate: Plan) -> None:
        """Carry a request to the daemon.

        Raises:
            EndedError: Its fate is to end here.
        """
        if fate.fault is Fault.REFUSE:
            raise self._ended(fate)
        if fate.fault is Fault.DELAY_REQUEST:
            self._is_over.wait(fate.delay_s)
        most = None
        if fate.fault is Fault.CUT_REQUEST or fate.fault is Fault.TRUNCATE_REQUEST:
            most = fate.offset(len(message.head), length_of(message.head))
        is_whole = self._pass(message, self.daemon.sock, most)
        if fate.fault is Fault.CUT_REQUEST or fate.fault is Fault.LEAVE:
            raise self._ended(fate)
        if not is_whole:
            self.daemon.sock.shutdown(socket.SHUT_WR)

    def answer(self, fate: Plan) -> bool:
        """Carry the answer to the client; tell whether both connections go on.

        Raises:
            EndedError: Its fate is to end here.
            BrokenError: A side ended in the middle.
        """
        self._await_daemon()
        head = self.daemon.head()
        while status_of(head) == _INTERIM:
            self.client.sock.sendall(head)
            head = self.daemon.head()
        if not head or fate.fault is Fault.LOSE_ANSWER:
            raise self._ended(fate)
        if fate.fault is Fault.DELAY_ANSWER:
            self._is_over.wait(fate.delay_s)
        message = _Copied(head, self.daemon.body(head))
        if fate.fault is Fault.CUT_ANSWER:
            self._pass(message, self.client.sock, fate.offset(len(head), length_of(head)))
            raise self._ended(fate)
        self._pass(message, self.client.sock, None)
        return not is_last(head) and fate.fault is not Fault.TRUNCATE_REQUEST

    def _await_daemon(self) -> None:
        """Wait until the daemon says something; a client that leaves meanwhile is gone for it, too."""
        poll = select.poll()
        poll.register(self.daemon.sock, select.POLLIN)
        poll.register(self.client.sock, select.POLLRDHUP)
        found = dict(poll.poll())
        if self.daemon.sock.fileno() not in found:
            raise EndedError

    def _ended(self, fate: Plan) -> EndedError:
        if fate.is_reset:
            # On TCP close sends a reset; on a Unix socket, what was not read makes it one.
            self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return EndedError()

    @staticmethod
    def _pass(message: _Copied, to: socket.socket, most: int | None) -> bool:
        """Pass a message on, or only its first bytes; tell whether it was whole."""
        left = most
        for piece in message:
            if left is not None and len(piece) >= left:
                to.sendall(piece[:left])
                return False
            to.sendall(piece)
            left = None if left is None else left - len(piece)
        return True


class _Copied:
    """A message on its way, of which the first bytes are remembered.

    Attributes:
        start: What has come of it, or its beginning.
        is_cut: Whether that is not all.
    """

    def __init__(self, head: bytes, body: Iterator[bytes]) -> None:
        self.head = head
        self._body = body
        self._ahead: list[bytes] = []
        self.start = bytearray(head)
        self.is_cut = False

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self._ahead
        for piece in self._body:
            self._remember(piece)
            yield piece

    def read_ahead(self) -> None:
        """Read the body before it goes on, as far as it is remembered."""
        while not self.is_cut and (piece := next(self._body, b"")):
            self._remember(piece)
            self._ahead.append(piece)

    def _remember(self, piece: bytes) -> None:
        self.is_cut = len(self.start) >= MOST_COPIED
        if not self.is_cut:
            self.start += piece


def _listen(front: Path | None) -> socket.socket:
    listener = socket.socket(socket.AF_INET if front is None else socket.AF_UNIX)
    listener.bind(("127.0.0.1", 0) if front is None else str(front))
    listener.listen(128)
    return listener
