"""The stand-in for ``select.epoll``: the original, but for held sockets."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client.selecting import replacements
from tests.client.comparing import closed_number, outcome
from tests.client.http_stand_in import WAIT_S
from tests.client.readiness import pipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd_client import Client

__all__ = ["pipe"]  # fixtures

BAD_EPOLLS: list[tuple[str, tuple[Any, ...]]] = [
    ("register", ("x",)),
    ("register", (-1,)),
    ("register", (closed_number(),)),
    ("modify", (0, 1)),
    ("unregister", (0,)),
    ("poll", ("soon",)),
    ("poll", (0, 0)),
    ("poll", (0, -2)),
    ("poll", (0,)),
]


@pytest.fixture
def epoll(client: Client) -> Iterator[Any]:
    kind: Any = replacements(client)["select", "epoll"]
    with kind() as epoll:
        yield epoll


@pytest.mark.parametrize(("method", "arguments"), BAD_EPOLLS)
def test_epoll_without_held_sockets_answers_as_the_original(
    epoll: Any, method: str, arguments: tuple[Any, ...]
):
    with select.epoll() as native:
        assert outcome(getattr(epoll, method), *arguments) == outcome(getattr(native, method), *arguments)


def test_epoll_finds_held_and_local(client: Client, epoll: Any, pipe: tuple[int, int]):
    one, other = client.sockets.pair()
    epoll.register(one, select.EPOLLIN)
    assert epoll.poll(0) == []
    epoll.register(pipe[0], select.EPOLLIN)
    assert epoll.poll(0.01) == []
    threading.Timer(0.05, other.send, [b"x"]).start()
    assert epoll.poll() == [(one.fileno(), select.EPOLLIN)]
    os.write(pipe[1], b"x")
    assert epoll.poll(-1) == [(one.fileno(), select.EPOLLIN), (pipe[0], select.EPOLLIN)]
    assert len(epoll.poll(WAIT_S, 1)) == 1
    epoll.modify(one, select.EPOLLOUT)
    epoll.unregister(pipe[0])
    assert epoll.poll(WAIT_S) == [(one.fileno(), select.EPOLLOUT)]
    epoll.unregister(one)
    assert epoll.poll(0) == []


def test_epoll_refuses_held_sockets_as_the_original_does_others(client: Client, epoll: Any):
    held = client.sockets.create()
    for call, error in ((epoll.modify, FileNotFoundError), (epoll.unregister, FileNotFoundError)):
        with pytest.raises(error):
            call(held, *[1] * (call == epoll.modify))
    with pytest.raises(OSError, match="level-triggered"):
        epoll.register(held, select.EPOLLIN | select.EPOLLET)
    epoll.register(held)
    with pytest.raises(FileExistsError):
        epoll.register(held)
    epoll.close()
    epoll.close()
    assert epoll.closed
    for call in (epoll.register, epoll.unregister, epoll.fileno, epoll.poll, epoll.__enter__):
        with pytest.raises(ValueError, match="closed epoll"):
            call(*[held] * (call in (epoll.register, epoll.unregister)))


def test_epoll_of_an_epolls_descriptor_is_one(client: Client, epoll: Any, pipe: tuple[int, int]):
    epoll.register(pipe[1], select.EPOLLOUT)
    kind: Any = replacements(client)["select", "epoll"]
    with kind.fromfd(os.dup(epoll.fileno())) as twin:
        assert twin.poll(0) == [(pipe[1], select.EPOLLOUT)]
