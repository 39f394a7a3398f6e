"""Held sockets come and go: accept loses nothing, waits are bounded, listings are by page and filter."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.errors import SocketdError, WaitTimeoutError, WouldBlockError
from socketd.service import Limits
from socketd.service.listing import Filter
from tests.held import ANN, Held, specification, where
from tests.unit.service.creating import create_many
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from socketd.core.entry import Entry


def test_accept_takes_what_is_there_up_to_the_most(held: Held):
    listener = held.listener()
    near = [held.make(specification(connect=where(listener))) for _ in range(3)]
    accept = held.service.sockets.accept
    two = accept(held.call(), listener.reference, 1, 2, "in")
    assert [entry.name for entry in two] == ["in.0", "in.1"]
    (third,) = accept(held.call(), listener.reference, 1, 2, None)
    assert [entry.sock.getpeername() for entry in (*two, third)] == [n.sock.getsockname() for n in near]
    with pytest.raises(WouldBlockError):
        accept(held.call(), listener.reference, 0, 2, None)


def test_accept_stops_before_a_name_that_is_taken_and_leaves_the_connection(held: Held):
    listener = held.listener()
    held.tcp(name="in.1")
    near = [held.make(specification(connect=where(listener))) for _ in range(2)]
    (first,) = held.service.sockets.accept(held.call(), listener.reference, 1, 2, "in")
    (second,) = held.service.sockets.accept(held.call(), listener.reference, 0, 1, "late")
    assert [first.name, second.name] == ["in.0", "late"]
    assert second.sock.getpeername() == near[1].sock.getsockname()


def test_a_wait_is_cut_to_the_longest_there_is():
    held = Held(limits=Limits(max_timeout_s=0.01))
    with pytest.raises(WaitTimeoutError):
        held.service.sockets.accept(held.call(), held.listener().reference, 1e9, 1, None)
    held.service.close()


def test_a_wait_that_says_nothing_has_the_default():
    held = Held(limits=Limits(default_timeout_s=0.01))
    with pytest.raises(WaitTimeoutError) as caught:
        held.service.sockets.accept(held.call(), held.listener().reference, None, 1, None)
    assert "0.01" in str(caught.value)
    held.service.close()


def test_closing_with_its_duplicates_ends_those_too(held: Held):
    near, far = held.connection()
    with socket.socket(fileno=os.dup(near.fd)) as duplicate:
        held.service.sockets.close(held.call(), near.reference, shut_duplicates=True)
        assert far.sock.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            duplicate.send(b"x")


def test_closing_leaves_the_duplicates_alone(held: Held):
    near, far = held.connection()
    with socket.socket(fileno=os.dup(near.fd)) as duplicate:
        held.service.sockets.close(held.call(), near.reference, shut_duplicates=False)
        duplicate.send(b"still here")
        assert far.sock.recv(20) == b"still here"


def test_a_listing_is_by_page_and_by_filter(held: Held):
    listener, udp, fresh = held.listener(name="web"), held.udp(), held.tcp()
    page = held.service.sockets.page
    first = page(held.call(), Filter(), 0, 2)
    assert (first.entries, first.next_after) == ((listener, udp), udp.fd)
    assert page(held.call(), Filter(), udp.fd, 2).entries == (fresh,)
    for wanted, expected in (
        (Filter(type=socket.SOCK_DGRAM), (udp,)),
        (Filter(family=socket.AF_INET6), ()),
        (Filter(state="listening"), (listener,)),
        (Filter(name="web"), (listener,)),
        (Filter(port=udp.sock.getsockname()[1]), (udp,)),
        (Filter(owner=Owner(ANN)), ()),
    ):
        assert page(held.call(), wanted, 0, 9).entries == expected


def test_a_refusal_of_bind_names_who_is_there(held: Held):
    listener = held.listener()
    for refused in (
        lambda: held.make(specification(bind=where(listener), backlog=1)),
        lambda: held.service.operations.bind(
            held.call(), held.tcp().reference, specification(bind=where(listener)).bind
        ),
    ):
        with pytest.raises(SocketdError) as caught:
            refused()
        assert f"inode {listener.inode}" in (caught.value.hint or "")


class ClosingWaiter(PollWaiter):
    """While it lets others run, one of them closes a socket."""

    def __init__(self, held: Held, entry: Entry) -> None:
        super().__init__()
        self._held = held
        self._entry = entry

    def give_way(self) -> None:
        super().give_way()
        if not self._entry.closed:
            self._held.table.close(self._entry)


def test_a_long_listing_lets_others_run_and_leaves_out_what_they_close(held: Held):
    made = create_many(held, specification(family=socket.AF_UNIX), 130)
    waiter = ClosingWaiter(held, made[100])
    page = held.service.sockets.page(held.call(waiter=waiter), Filter(state="created"), -1, 1000)
    assert waiter.gave_way == 2
    assert page.entries == tuple(entry for entry in made if entry is not made[100])
