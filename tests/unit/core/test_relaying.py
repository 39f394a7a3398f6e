"""The relay: both directions at once, each end passed on, and what it tells of its own end."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from socketd.core.relaying import Relay
from socketd.errors import ClientGoneError, KernelRefusedError
from socketd.runtime.line import PlainLine
from tests.held import Held
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry
    from socketd.core.pumping import Ending, Flow
    from socketd.core.relaying import Line

    def conforms(relay: Relay, line: PlainLine) -> tuple[Flow, Line]:
        return relay, line


MANY = 4 * 1024 * 1024
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.service.close()


class Running:
    """A relay in a thread of its own, between a held socket and a client."""

    def __init__(
        self, entry: Entry, client: socket.socket, server: socket.socket, early: bytes = b""
    ) -> None:
        self.client = client
        self.line = PlainLine(server, early)
        self._waiter = PollWaiter()
        self.relay = Relay(self.line, entry, self._waiter, os.close)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._waiter.pause() as pause:
            self.relay.run(pause)

    def ending(self) -> Ending:
        """Wait for its end."""
        self._thread.join(30)
        assert self.relay.ending is not None
        return self.relay.ending


@contextmanager
def running(
    held: Held, *, is_tcp: bool = False, early: bytes = b""
) -> Iterator[tuple[Running, socket.socket]]:
    """Relay between a client and one of a held pair; give the other of that pair, held no more."""
    near, far = held.pair()
    peer = socket.socket(fileno=os.dup(far.fd))
    held.table.close(far)
    server, client = _tcp() if is_tcp else socket.socketpair()
    with server, client, peer:
        client.settimeout(30)
        peer.settimeout(30)
        made = Running(near, client, server, early)
        try:
            yield made, peer
        finally:
            made.relay.stop()
            made.ending()
            made.line.close()


def fill(sock: socket.socket) -> None:
    """Send until nobody takes anything any more."""
    sock.settimeout(0.2)
    with suppress(TimeoutError):
        while sock.send(b"z" * 65536):
            pass


def _tcp() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


def said(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def all_of(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_what_was_read_before_comes_first_and_both_ends_are_passed_on(held):
    with running(held, early=b"early ") as (made, peer):
        made.client.sendall(b"late")
        made.client.shutdown(socket.SHUT_WR)
        assert all_of(peer) == b"early late"
        peer.sendall(b"answer")
        peer.shutdown(socket.SHUT_WR)
        assert all_of(made.client) == b"answer"
        ending = made.ending()
        assert (ending.is_whole, ending.error, ending.undelivered) == (True, None, (0, 0))
        assert made.relay.moved == (10, 6)


def test_slow_reader_gets_all_after_both_have_ended(held):
    """With both directions ended the client's connection looks hung up (POLLHUP), and it is not."""
    with running(held) as (made, peer):
        peer.shutdown(socket.SHUT_WR)
        assert made.client.recv(1) == b""
        made.client.sendall(b"x" * 100_000)
        made.client.shutdown(socket.SHUT_WR)
        assert all_of(peer) == b"x" * 100_000
        assert made.ending().is_whole


def test_megabytes_go_both_ways_at_once(held):
    with running(held, is_tcp=True) as (made, peer):
        heard: list[int] = []
        threads = [
            threading.Thread(target=said, args=(made.client, b"x" * MANY)),
            threading.Thread(target=said, args=(peer, b"y" * MANY)),
            threading.Thread(target=lambda: heard.append(len(all_of(peer)))),
        ]
        for thread in threads:
            thread.start()
        assert len(all_of(made.client)) == MANY
        for thread in threads:
            thread.join(30)
        assert heard == [MANY]
        assert made.ending().is_whole


def test_client_that_closes_is_gone_and_the_peer_is_told_no_end(held):
    with running(held) as (made, peer):
        made.client.sendall(b"last words")
        made.client.close()
        assert isinstance(made.ending().error, ClientGoneError)
        assert peer.recv(100) == b"last words"
        peer.settimeout(0)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


def test_client_that_closes_after_its_own_end_is_seen_while_nothing_moves(held):
    with running(held) as (made, peer):
        made.client.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
        made.client.close()
        assert isinstance(made.ending().error, ClientGoneError)


def test_reset_of_a_client_is_no_end_of_file_for_the_peer(held):
    with running(held, is_tcp=True) as (made, peer):
        made.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        made.client.close()
        assert isinstance(made.ending().error, ClientGoneError)
        peer.settimeout(0)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


def test_peer_that_has_closed_is_told_by_its_errno_after_its_last_words(held):
    with running(held) as (made, peer):
        peer.sendall(b"no, thank you")
        peer.close()
        assert all_of(made.client) == b"no, thank you"
        made.client.sendall(b"too late")
        made.client.shutdown(socket.SHUT_WR)
        ending = made.ending()
        assert isinstance(ending.error, KernelRefusedError)
        assert (ending.error.symbol, ending.undelivered) == ("EPIPE", (8, 0))


def test_stop_tells_what_was_taken_and_not_delivered(held):
    with running(held) as (made, peer):
        fill(peer)
        made.relay.stop()
        ending = made.ending()
        assert not ending.is_whole
        assert ending.error is None
        assert ending.undelivered[1] > 0


def test_finish_delivers_what_was_taken_and_takes_no_more(held):
    with running(held) as (made, peer):
        peer.sendall(b"some")
        assert made.client.recv(10) == b"some"
        made.relay.finish()
        ending = made.ending()
        assert (ending.is_whole, ending.error, ending.undelivered) == (False, None, (0, 0))


def test_close_of_the_socket_stops_it(held):
    with running(held) as (made, _):
        entry = next(iter(held.table.entries()))
        entry.flow = made.relay
        held.table.close(entry)
        assert made.ending().error is None
