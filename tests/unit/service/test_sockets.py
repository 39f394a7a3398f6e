"""Held sockets come and go: bulk is all or nothing, ensure is the same every time, accept loses nothing."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import (
    ClientGoneError,
    DiffersError,
    InvalidRequestError,
    KernelRefusedError,
    NameTakenError,
    OutOfDescriptorsError,
    SocketdError,
    StaleError,
    WaitTimeoutError,
    WouldBlockError,
)
from socketd.service import Limits
from socketd.service.listing import Filter
from tests.held import (
    ANN,
    BOB,
    FIRST,
    LOOPBACK,
    FailingFactory,
    FixedResolver,
    Held,
    free_tcp_port,
    open_numbers,
    specification,
    where,
)
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from socketd.core.creation import Specification
    from socketd.core.entry import Entry

FRESH = specification()


class GoneWaiter(PollWaiter):
    """A client that has gone when others are given way."""

    def give_way(self) -> None:
        raise ClientGoneError


def create_many(
    held: Held, wanted: Specification, count: int, name: str | None = None, waiter: PollWaiter | None = None
) -> list[Entry]:
    call = held.call(waiter=waiter)
    return held.service.sockets.create_many(call, wanted, Origin(Owner(0), name), count, 1)


def ensure(
    held: Held, wanted: Specification, uid: int = ANN, expected: frozenset[int] | None = None
) -> tuple[Entry, bool]:
    call = held.call(uid, expected=expected)
    return held.service.sockets.ensure(call, wanted, Origin(Owner(uid), "web"), 1)


def test_more_than_may_be_made_at_once_is_refused():
    held = Held(limits=Limits(max_count=2))
    with pytest.raises(InvalidRequestError) as caught:
        create_many(held, FRESH, 3)
    assert caught.value.member == "count"


@pytest.mark.parametrize("nth", [1, 5, 70])
def test_a_bulk_create_that_fails_tells_which_and_leaves_nothing(nth: int):
    held = Held(factory=FailingFactory(nth, errno.ENOBUFS))
    before = open_numbers()
    with pytest.raises(KernelRefusedError) as caught:
        create_many(held, FRESH, 100, "web")
    assert (caught.value.symbol, caught.value.index) == ("ENOBUFS", nth - 1)
    assert len(held.table) == 0
    assert open_numbers() == before
    assert not held.table.has_name("web.0")


def test_a_bulk_create_of_one_port_fails_at_the_second(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        create_many(held, specification(bind=f"127.0.0.1:{free_tcp_port()}", backlog=1), 3)
    assert (caught.value.symbol, caught.value.index) == ("EADDRINUSE", 1)
    assert len(held.table) == 0


def test_a_bulk_create_under_a_taken_name_leaves_nothing_but_that(held: Held):
    held.tcp(name="web.2")
    with pytest.raises(NameTakenError) as caught:
        create_many(held, FRESH, 5, "web")
    assert caught.value.index == 2
    assert len(held.table) == 1


def test_a_bulk_create_beyond_the_table_leaves_nothing():
    held = Held(limits=Limits(descriptors=FIRST + 10))
    with pytest.raises(OutOfDescriptorsError) as caught:
        create_many(held, FRESH, 11)
    assert caught.value.index == 10
    assert len(held.table) == 0


def test_a_bulk_create_for_a_client_that_goes_leaves_nothing(held: Held):
    with pytest.raises(ClientGoneError):
        create_many(held, FRESH, 100, waiter=GoneWaiter())
    assert len(held.table) == 0


def test_a_bulk_create_numbers_the_names_and_lets_others_run(held: Held):
    made = create_many(held, specification(bind=LOOPBACK, backlog=1), 130, "web")
    assert [entry.name for entry in made] == [f"web.{n}" for n in range(130)]
    assert [entry.fd for entry in made] == sorted(entry.fd for entry in made)
    assert held.waiter.gave_way == 2


def test_a_pair_of_one_name_is_refused(held: Held):
    with pytest.raises(NameTakenError):
        held.service.sockets.pair(held.call(), socket.AF_UNIX, socket.SOCK_STREAM, 0, ("a", "a"))
    assert len(held.table) == 0


@pytest.mark.parametrize(
    ("wanted", "members"),
    [
        (specification(bind="[::1]:0", backlog=1), ("family", "bind")),
        (specification(kind=socket.SOCK_DGRAM, bind=LOOPBACK), ("type", "listen")),
        (specification(protocol=262, bind=LOOPBACK, backlog=1), ("protocol",)),
        (specification(bind="127.0.0.2:0", backlog=1), ("bind",)),
        (specification(bind=LOOPBACK), ("listen",)),
        (specification(bind=LOOPBACK, backlog=1, options={"SO_KEEPALIVE": True}), ("options.SO_KEEPALIVE",)),
        (specification(connect="127.0.0.1:1"), ("connect", "listen")),
    ],
)
def test_ensure_of_what_differs_tells_in_what(held: Held, wanted: Specification, members: tuple[str, ...]):
    existing, _ = ensure(held, specification(bind=LOOPBACK, backlog=16))
    with pytest.raises(DiffersError) as caught:
        ensure(held, wanted)
    assert caught.value.members == members
    assert not existing.closed


def test_ensure_of_somebody_elses_name_is_taken_and_not_a_comparison(held: Held):
    held.tcp(uid=BOB, name="web")
    with pytest.raises(NameTakenError):
        ensure(held, FRESH)


def test_ensure_with_an_if_match_of_another_is_stale(held: Held):
    with pytest.raises(StaleError):
        ensure(held, FRESH, expected=frozenset({1}))
    ensure(held, FRESH)
    with pytest.raises(StaleError):
        ensure(held, FRESH, expected=frozenset({1}))


def test_ensure_of_what_cannot_be_made_leaves_nothing(held: Held):
    with pytest.raises(KernelRefusedError):
        ensure(held, specification(bind="203.0.113.1:0", backlog=1))
    assert len(held.table) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        specification(),
        specification(bind=LOOPBACK, backlog=5),
        specification(bind="localhost:0", backlog=5),
        specification(bind=":0", backlog=5, options={"SO_REUSEADDR": True, "SO_RCVBUF": 8192}),
        specification(socket.AF_UNIX, bind="@socketd-test-ensure", backlog=5),
        specification(protocol=socket.IPPROTO_TCP),
    ],
)
def test_ensure_makes_it_once_and_finds_it_after(held: Held, wanted: Specification):
    made, is_new = ensure(held, wanted)
    assert is_new
    again = ensure(held, wanted, expected=frozenset({made.cookie}))
    assert again == (made, False)
    assert len(held.table) == 1


def test_ensure_of_a_connection_finds_it(held: Held):
    listener = held.listener()
    made, _ = ensure(held, specification(connect=where(listener)))
    assert ensure(held, specification(connect=where(listener))) == (made, False)


def test_ensure_is_the_same_at_any_address_of_a_name():
    held = Held(resolver=FixedResolver({"two": ["203.0.113.1", "127.0.0.1"]}))
    wanted = specification(bind="two:0", backlog=1)
    made, _ = ensure(held, wanted)
    assert ensure(held, wanted) == (made, False)
    held.service.close()


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
