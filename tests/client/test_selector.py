"""The selector: held sockets and files of this process in one wait."""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Client, Socket, TransportError
from socketd_client.selector import Selector
from socketd_client.watch import Watch
from tests.client.http_stand_in import WAIT_S, Reply, Seen, problem, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


READY = {"socket": 64, "fd": 64, "events": ["POLLIN"]}
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
LOCALS = [selectors.DefaultSelector, selectors.PollSelector, selectors.SelectSelector]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture(params=LOCALS, ids=lambda kind: kind.__name__)
def selector(client: Client, request: pytest.FixtureRequest) -> Iterator[Selector]:
    with Selector(client, request.param()) as selector:
        yield selector


def ready(selector: Selector, timeout: float | None = WAIT_S) -> dict[object, int]:
    return {key.data: events for key, events in selector.select(timeout)}


def test_nothing_ready_is_an_empty_list(client: Client, selector: Selector, pipe: tuple[int, int]):
    assert selector.select(0) == []
    selector.register(client.sockets.pair()[0], READ)
    for timeout in (0, -1, 0.05):
        assert selector.select(timeout) == []
    selector.register(pipe[0], READ)
    for timeout in (0, -1, 0.05):
        assert selector.select(timeout) == []


def test_without_held_sockets_it_is_the_standard_one(selector: Selector, pipe: tuple[int, int]):
    selector.register(pipe[0], READ, "pipe")
    os.write(pipe[1], b"x")
    assert ready(selector) == {"pipe": READ}


def test_held_and_local_are_found_in_one_wait(client: Client, selector: Selector, pipe: tuple[int, int]):
    one, other = client.sockets.pair()
    selector.register(one, READ | WRITE, "held")
    selector.register(pipe[0], READ, "reader")
    selector.register(pipe[1], WRITE, "writer")
    other.send(b"x")
    os.write(pipe[1], b"x")
    assert ready(selector) == {"held": READ | WRITE, "reader": READ, "writer": WRITE}


@pytest.mark.parametrize("beside", [0, 1])
def test_held_socket_wakes_a_wait_that_began_before(
    client: Client, selector: Selector, pipe: tuple[int, int], beside: int
):
    one, other = client.sockets.pair()
    selector.register(one.fileno(), READ, "held")
    for local in pipe[:beside]:
        selector.register(local, READ, "pipe")
    sender = threading.Timer(0.05, other.send, [b"x"])
    sender.start()
    assert ready(selector, None) == {"held": READ}
    sender.join(WAIT_S)


def test_local_file_wakes_a_wait_that_began_before(client: Client, selector: Selector, pipe: tuple[int, int]):
    selector.register(client.sockets.pair()[0], READ, "held")
    selector.register(pipe[0], READ, "pipe")
    writer = threading.Timer(0.05, os.write, [pipe[1], b"x"])
    writer.start()
    assert ready(selector, None) == {"pipe": READ}
    writer.join(WAIT_S)


def test_local_file_that_is_always_ready_hides_no_held_socket(
    client: Client, selector: Selector, pipe: tuple[int, int]
):
    one, other = client.sockets.pair()
    other.send(b"x")
    selector.register(pipe[1], WRITE, "pipe")
    for turn in range(3):
        selector.register(one, READ, turn)  # the set is another one each time
        assert ready(selector) == {"pipe": WRITE, turn: READ}
        selector.unregister(one)
        assert ready(selector) == {"pipe": WRITE}


def test_what_was_received_since_a_pending_poll_was_answered_is_not_reported(
    client: Client, selector: Selector, pipe: tuple[int, int]
):
    one, other = client.sockets.pair()
    selector.register(one, READ, "held")
    selector.register(pipe[0], READ, "pipe")
    timer = threading.Timer(0.02, os.write, [pipe[1], b"x"])
    timer.start()
    assert ready(selector) == {"pipe": READ}
    timer.join(WAIT_S)
    os.read(pipe[0], 1)
    other.send(b"x")  # the daemon answers the poll that is still pending
    assert one.recv(1) == b"x"
    assert ready(selector, 0.2) == {}
    other.send(b"y")
    assert ready(selector) == {"held": READ}


def test_end_of_the_peer_and_a_closed_socket_are_ready(client: Client, selector: Selector):
    one, other = client.sockets.pair()
    selector.register(one, WRITE, "peer closed")
    other.close()
    assert ready(selector) == {"peer closed": WRITE}
    selector.modify(one, READ, "closed")
    client.sockets.get(one.fd).close()
    assert ready(selector) == {"closed": READ}


def test_map_has_held_and_local_by_what_they_were_registered_with(
    client: Client, selector: Selector, pipe: tuple[int, int]
):
    held, number = client.sockets.pair()
    selector.register(held, READ, "held")
    selector.register(number.fileno(), READ, "number")
    selector.register(pipe[0], READ, "pipe")
    known = selector.get_map()
    assert len(known) == len(list(known)) == 3
    assert [known[one].data for one in (held, held.fileno(), number, pipe[0])] == [
        "held",
        "held",
        "number",
        "pipe",
    ]
    assert pipe[1] not in known
    assert selector.get_key(held).events == READ
    assert selector.modify(held, WRITE, "changed").events == WRITE
    assert selector.get_key(held).data == "changed"


def test_misuse_is_told_as_by_the_standard_one(client: Client, selector: Selector):
    held = client.sockets.create()
    selector.register(held, READ)
    for wrong, error in (((held, READ), KeyError), ((held, 0), ValueError), (("x", READ), ValueError)):
        with pytest.raises(error):
            selector.register(*wrong)
    for call in (selector.unregister, selector.get_key):
        with pytest.raises(KeyError):
            call(held.fileno() + 1)
    held.close()
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        selector.register(held, READ)
    assert selector.unregister(held).fileobj is held


def test_files_that_epoll_refuses_go_to_a_selector_that_takes_them(client: Client, tmp_path: Path):
    one, other = client.sockets.pair()
    other.send(b"x")
    with (tmp_path / "file").open("w+b") as file, Selector(client, selectors.PollSelector()) as selector:
        selector.register(one, READ, "held")
        selector.register(file, READ, "file")
        assert ready(selector) == {"held": READ, "file": READ}


class Polled:
    """Answers polls only when told what with; notes them, and whose client hung up."""

    def __init__(self, *answers: Reply | None) -> None:
        self.given = list(answers)
        self.polls = 0
        self.began = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    def __call__(self, seen: Seen) -> Reply | None:
        if not seen.path.endswith("/poll"):
            return Reply(socket_json())
        if not seen.json()["timeout"]:
            return Reply({"ready": []})
        self.polls += 1
        self.began.release()
        if self.given:
            return self.given.pop(0)
        gone = select.poll()
        gone.register(seen.connection, select.POLLRDHUP)
        gone.poll(WAIT_S * 1000)
        self.left.release()
        return None


@contextmanager
def polling(path: Path, polled: Polled) -> Iterator[tuple[Selector, Client, Socket, socket.socket]]:
    """Give a selector with a held socket, and the end of a local pair that wakes it."""
    one, other = socket.socketpair()
    with (
        one,
        other,
        serving(polled, path) as server,
        Client(server.url) as client,
        Selector(client) as selector,
    ):
        held = client.sockets.get(64)
        selector.register(held, READ, "held")
        selector.register(one, READ, "local")
        yield selector, client, held, other


def wake_when_polled(polled: Polled, waker: socket.socket) -> threading.Thread:
    """Make a local socket ready as soon as the poll of the held ones has arrived."""

    def wake() -> None:
        assert polled.began.acquire(timeout=WAIT_S)
        waker.send(b"x")

    thread = threading.Thread(target=wake)
    thread.start()
    return thread


def test_poll_stays_pending_for_the_same_set_and_ends_with_it(tmp_path: Path):
    polled = Polled()
    with polling(tmp_path / "s", polled) as (selector, client, held, waker):
        thread = wake_when_polled(polled, waker)
        for _ in range(5):
            assert ready(selector) == {"local": READ}
        thread.join(WAIT_S)
        assert polled.polls == 1
        assert held.info().state == "created"  # the client's other calls have connections of their own
        selector.modify(held, WRITE, "held")
        assert ready(selector) == {"local": READ}
        assert polled.left.acquire(timeout=WAIT_S)
        assert client.sockets.get(64).fd == 64


def test_selector_that_is_closed_ends_its_poll(tmp_path: Path):
    polled = Polled()
    with polling(tmp_path / "s", polled) as (selector, _, _, waker):
        thread = wake_when_polled(polled, waker)
        assert ready(selector) == {"local": READ}
        thread.join(WAIT_S)
        selector.close()
        assert polled.left.acquire(timeout=WAIT_S)


def test_poll_that_breaks_is_made_again(tmp_path: Path):
    told = Reply({"ready": [READY]})
    nothing = Reply({"ready": []})
    polled = Polled(None, None, nothing, problem("EINTR", 503, code="shutting_down"), told)
    with polling(tmp_path / "s", polled) as (selector, _, _, _):
        assert ready(selector) == {"held": READ}
        assert polled.polls == 5


def test_poll_that_never_lives_to_its_answer_is_an_error(tmp_path: Path):
    polled = Polled(*[None] * 100)
    with polling(tmp_path / "s", polled) as (selector, _, _, _), pytest.raises(TransportError):
        selector.select(WAIT_S)


def test_poll_that_is_never_answered_is_given_up_and_made_again(tmp_path: Path):
    polled = Polled()

    def local(extra: int | None, timeout_s: float | None) -> tuple[None, bool]:
        waited = [] if extra is None else [extra]
        return None, bool(select.select(waited, [], [], timeout_s)[0])

    def answer_after_the_first() -> None:
        assert polled.left.acquire(timeout=WAIT_S)
        polled.given.append(Reply({"ready": [READY]}))

    thread = threading.Thread(target=answer_after_the_first)
    with serving(polled, tmp_path / "s") as server, Client(server.url, timeout_s=1) as client:
        thread.start()
        watch = Watch(client.exchange, round_s=0.01)
        assert watch.wait({64: select.POLLIN}, local, None) == ({64: select.POLLIN}, None)
        thread.join(WAIT_S)
        assert polled.polls > 1


def test_refusal_is_raised(tmp_path: Path):
    polled = Polled(problem("EDQUOT", 429, code="quota"))
    with polling(tmp_path / "s", polled) as (selector, _, _, _), pytest.raises(ApiError, match="refused"):
        selector.select(WAIT_S)


def test_handler_that_raises_breaks_out_and_the_poll_serves_the_next_wait(tmp_path: Path):
    class AlarmError(Exception):
        pass

    def ring(_number: int, _frame: object) -> None:
        raise AlarmError

    polled = Polled()
    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with polling(tmp_path / "s", polled) as (selector, _, _, waker):
            main = threading.main_thread().ident

            def kill() -> None:
                assert polled.began.acquire(timeout=WAIT_S)
                signal.pthread_kill(main, signal.SIGUSR1)

            thread = threading.Thread(target=kill)
            thread.start()
            with pytest.raises(AlarmError):
                selector.select(WAIT_S)
            thread.join(WAIT_S)
            waker.send(b"x")
            assert ready(selector) == {"local": READ}
            assert polled.polls == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_forked_child_leaves_the_poll_of_its_parent_alone(client: Client, pipe: tuple[int, int]):
    one, other = client.sockets.pair()
    with Selector(client) as selector:
        selector.register(one, READ, "held")
        selector.register(pipe[0], READ, "pipe")
        timer = threading.Timer(0.05, os.write, [pipe[1], b"x"])
        timer.start()
        assert ready(selector) == {"pipe": READ}
        timer.join(WAIT_S)
        os.read(pipe[0], 1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if selector.select(0.05) == [] else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        other.send(b"x")
        assert ready(selector) == {"held": READ}
