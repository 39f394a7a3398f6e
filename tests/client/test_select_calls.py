"""The stand-ins for ``select.select`` and ``select.poll``: the originals, but for held sockets."""

from __future__ import annotations

import os
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client.constants import FILENO_BASE
from socketd_client.selecting import replacements
from tests.client.comparing import closed_number, outcome
from tests.client.http_stand_in import WAIT_S
from tests.client.readiness import pipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client import Client

__all__ = ["pipe"]  # fixtures


@pytest.fixture
def select_(client: Client) -> Callable[..., Any]:
    return replacements(client)["select", "select"]


@pytest.fixture
def poll(client: Client) -> Any:
    return replacements(client)["select", "poll"]()


class Asked:
    """Something that has a descriptor."""

    def __init__(self, number: object) -> None:
        self._number = number

    def fileno(self) -> Any:
        return self._number


BAD_SELECTS: list[Callable[[], tuple[Any, ...]]] = [
    lambda: ([], [], [], -1),
    lambda: ([], [], [], "soon"),
    lambda: (None, [], []),
    lambda: ([], 7, []),
    lambda: (["x"], [], []),
    lambda: ([Asked("x")], [], []),
    lambda: ([-1], [], []),
    lambda: ([1024], [], []),
    lambda: ([], [], [closed_number()]),
    lambda: (iter([closed_number()]), (), {}),
    lambda: ([], [], [], 0),
    lambda: ((), (), (), 0.001),
]


@pytest.mark.parametrize("arguments", BAD_SELECTS)
def test_select_without_held_sockets_answers_as_the_original(
    select_: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]]
):
    assert outcome(select_, *arguments()) == outcome(select.select, *arguments())


def test_select_finds_held_and_local_in_each_list(
    client: Client, select_: Callable[..., Any], pipe: tuple[int, int]
):
    one, other = client.sockets.pair()
    assert select_([one, pipe[0]], [], [], 0) == ([], [], [])
    assert select_([one], [], [one, other], 0.05) == ([], [], [])
    assert select_([one, other, pipe[0]], [one, pipe[1]], [one], WAIT_S) == ([], [pipe[1], one], [])
    other.send(b"x")
    os.write(pipe[1], b"x")
    assert select_([one.fileno(), pipe[0]], [], []) == ([pipe[0], one.fileno()], [], [])
    assert select_(iter([Asked(one.fileno())]), (), (), None)[0][0].fileno() == one.fileno()


def test_select_of_a_closed_held_socket_is_ebadf(client: Client, select_: Callable[..., Any]):
    one, other = client.sockets.pair()
    number = one.fileno()
    one.close()
    for given in ([number], [number, other]):
        with pytest.raises(OSError, match="Bad file descriptor"):
            select_(given, [], [], 0)
    assert outcome(select_, [other, one], [], []) == outcome(select.select, [one], [], [])
    with pytest.raises(ValueError, match="non-negative"):
        select_([other], [], [], -1)


def test_select_with_a_bad_descriptor_beside_a_held_socket_is_ebadf(
    client: Client, select_: Callable[..., Any]
):
    with pytest.raises(OSError, match="Bad file descriptor"):
        select_([client.sockets.create(), closed_number()], [], [], WAIT_S)


def test_select_sees_the_end_of_the_peer_as_readable(client: Client, select_: Callable[..., Any]):
    one, other = client.sockets.pair()
    other.close()
    assert select_([one], [], [one], WAIT_S) == ([one], [], [])


def test_several_threads_select_at_once(client: Client, select_: Callable[..., Any]):
    def turns(_index: int) -> int:
        found = 0
        one, other = client.sockets.pair()
        mine, theirs = socket.socketpair()
        with mine, theirs:
            for turn in range(10):
                waker, awaited = ((other, one), (theirs, mine))[turn % 2]
                threading.Timer(0.01, waker.send, [b"x"]).start()
                ready, _, _ = select_([one, mine], [], [], WAIT_S)
                while awaited not in ready:
                    ready, _, _ = select_([one, mine], [], [], WAIT_S)
                found += len(awaited.recv(1))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(turns, range(4))) == [10] * 4


BAD_POLLS: list[tuple[str, tuple[Any, ...]]] = [
    ("register", ("x",)),
    ("register", (-1,)),
    ("register", (0, -1)),
    ("register", (0, 1 << 16)),
    ("register", (Asked("x"),)),
    ("modify", (0, 1)),
    ("unregister", (0,)),
    ("poll", ("soon",)),
    ("poll", (1 << 40,)),
    ("poll", (0,)),
]


@pytest.mark.parametrize(("method", "arguments"), BAD_POLLS)
def test_poll_without_held_sockets_answers_as_the_original(
    poll: Any, method: str, arguments: tuple[Any, ...]
):
    assert outcome(getattr(poll, method), *arguments) == outcome(getattr(select.poll(), method), *arguments)


def test_poll_of_what_is_not_registered_is_told_as_by_the_original(client: Client, poll: Any):
    held = client.sockets.create()
    assert outcome(poll.modify, held, 1)[0] is outcome(select.poll().modify, 0, 1)[0]
    assert outcome(poll.unregister, held)[0] is KeyError
    assert outcome(poll.register, held, -1)[0] is outcome(select.poll().register, 0, -1)[0]
    assert poll.poll(0) == []


def test_poll_finds_held_and_local(client: Client, poll: Any, pipe: tuple[int, int]):
    one, other = client.sockets.pair()
    poll.register(one, select.POLLIN)
    assert poll.poll(0) == []
    assert poll.poll(10) == []
    poll.register(pipe[0], select.POLLIN)
    assert poll.poll(10) == []
    threading.Timer(0.05, other.send, [b"x"]).start()
    assert poll.poll() == [(one.fileno(), select.POLLIN)]
    os.write(pipe[1], b"x")
    assert poll.poll(-1) == [(pipe[0], select.POLLIN), (one.fileno(), select.POLLIN)]
    poll.modify(one, select.POLLOUT)
    assert poll.poll(WAIT_S * 1000) == [(pipe[0], select.POLLIN), (one.fileno(), select.POLLOUT)]
    poll.unregister(pipe[0])
    poll.register(one)
    assert poll.poll() == [(one.fileno(), select.POLLIN | select.POLLOUT)]
    poll.unregister(one)
    assert poll.poll(0) == []


def test_poll_of_a_closed_held_socket_is_pollnval(client: Client, poll: Any):
    held = client.sockets.create()
    number = held.fileno()
    poll.register(held, select.POLLIN)
    held.close()
    assert poll.poll(0) == [(number, select.POLLNVAL)]


def test_number_that_no_socket_has_is_pollnval(poll: Any):
    poll.register(FILENO_BASE + 5, select.POLLIN)
    assert poll.poll(0) == [(FILENO_BASE + 5, select.POLLNVAL)]


def test_poll_for_nothing_tells_hang_ups(client: Client, poll: Any):
    one, other = client.sockets.pair()
    poll.register(one, 0)
    assert poll.poll(0) == []
    other.close()
    assert poll.poll() == [(one.fileno(), select.POLLHUP)]
