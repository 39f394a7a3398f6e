"""The selector: held sockets and files of this process in one wait."""

from __future__ import annotations

import os
import selectors
import threading
from typing import TYPE_CHECKING

import pytest

from socketd_client.selector import Selector
from tests.client.http_stand_in import WAIT_S
from tests.client.readiness import READ, WRITE, pipe, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd_client import Client

__all__ = ["pipe"]  # fixtures

LOCALS = [selectors.DefaultSelector, selectors.PollSelector, selectors.SelectSelector]


@pytest.fixture(params=LOCALS, ids=lambda kind: kind.__name__)
def selector(client: Client, request: pytest.FixtureRequest) -> Iterator[Selector]:
    with Selector(client, request.param()) as selector:
        yield selector


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
