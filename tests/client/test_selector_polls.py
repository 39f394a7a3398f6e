"""The selector's poll of the held sockets: pending while it serves, broken, refused and given up."""

from __future__ import annotations

import select
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
from tests.client.readiness import READ, WRITE, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY = {"socket": 64, "fd": 64, "events": ["POLLIN"]}


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
