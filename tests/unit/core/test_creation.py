"""Making a socket is all or nothing: whatever fails, no descriptor, name, number or file is left."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, NoReturn

import pytest

from socketd.core import creation
from socketd.core.address import Address
from socketd.core.creation import Plan
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import (
    InvalidRequestError,
    KernelRefusedError,
    NameTakenError,
    OutOfDescriptorsError,
    ResolveError,
    WaitTimeoutError,
)
from socketd.service import Limits
from tests.held import (
    FIRST,
    LOOPBACK,
    FailingFactory,
    FixedResolver,
    Held,
    open_numbers,
    specification,
    where,
)
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from socketd.core.creation import Specification

TWO = FixedResolver({"two": ["::1", "127.0.0.1"], "near": ["127.0.0.2", "127.0.0.3"]})


def unasked(*_: object) -> NoReturn:
    raise AssertionError("no resolver is needed for this")


def test_a_kernel_without_the_family_is_eafnosupport(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        held.make(specification(9))  # X.25
    assert (caught.value.symbol, caught.value.syscall) == ("EAFNOSUPPORT", "socket")


def test_a_family_without_the_type_is_esocktnosupport(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        held.make(specification(socket.AF_INET, 99))
    assert caught.value.symbol in ("ESOCKTNOSUPPORT", "EINVAL")


def test_no_descriptor_left_for_socket_is_emfile():
    held = Held(factory=FailingFactory(1, errno.EMFILE))
    with pytest.raises(KernelRefusedError) as caught:
        held.tcp()
    assert (caught.value.symbol, caught.value.syscall) == ("EMFILE", "socket")
    assert "LimitNOFILE=" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("wanted", "symbol"),
    [
        (specification(options={"TCP_MAXSEG": 1}), "EINVAL"),
        (specification(bind="203.0.113.1:0"), "EADDRNOTAVAIL"),
        (specification(kind=socket.SOCK_DGRAM, bind=LOOPBACK, backlog=1), "EOPNOTSUPP"),
        (specification(connect="127.0.0.1:1"), "ECONNREFUSED"),
        (specification(bind=LOOPBACK, connect="127.0.0.1:1"), "ECONNREFUSED"),
    ],
)
def test_whatever_step_fails_nothing_is_left(held: Held, wanted: Specification, symbol: str):
    before = open_numbers()
    with pytest.raises(KernelRefusedError) as caught:
        held.make(wanted, name="web")
    assert caught.value.symbol == symbol
    assert open_numbers() == before
    assert len(held.table) == 0
    assert not held.table.has_name("web")


def test_a_connect_that_times_out_leaves_nothing(held: Held):
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()) as first,
        pytest.raises(WaitTimeoutError),
    ):
        held.make(specification(connect=f"127.0.0.1:{first.getpeername()[1]}"), timeout_s=0.01)
    assert len(held.table) == 0


def test_a_full_table_leaves_nothing_and_no_socket_file(tmp_path: Path):
    held = Held(limits=Limits(descriptors=FIRST))
    before = open_numbers()
    with pytest.raises(OutOfDescriptorsError):
        held.make(specification(bind=str(tmp_path / "x.sock")))
    assert open_numbers() == before
    assert not (tmp_path / "x.sock").exists()


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": socket.SOCK_DGRAM, "backlog": 1},
        {"connect": "/nowhere/at all"},
    ],
)
def test_a_later_step_that_fails_removes_the_socket_file(held: Held, tmp_path: Path, wanted: dict[str, int]):
    path = tmp_path / "x.sock"
    with pytest.raises(KernelRefusedError):
        held.make(specification(bind=str(path), **wanted))
    assert not path.exists()


def test_a_bind_that_fails_leaves_the_file_that_was_there(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    held.make(specification(bind=str(path), backlog=1))
    with pytest.raises(KernelRefusedError):
        held.make(specification(bind=str(path), backlog=1))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_taken_name_is_refused_before_anything_is_made():
    held = Held(factory=FailingFactory(2, errno.EPERM))
    held.tcp(name="web")
    with pytest.raises(NameTakenError):
        held.tcp(name="web")
    held.service.close()


def test_addresses_of_two_families_are_refused(held: Held):
    with pytest.raises(InvalidRequestError) as caught:
        held.make(specification(bind=LOOPBACK, connect="[::1]:80"))
    assert caught.value.symbol == "EAFNOSUPPORT"


def test_a_name_without_address_is_the_resolvers_refusal(held: Held):
    with pytest.raises(ResolveError):
        held.make(specification(bind="127.0.0.1:nosuchservice"))
    assert len(held.table) == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (specification(), [Plan(socket.AF_INET, None, None)]),
        (specification(socket.AF_UNIX), [Plan(socket.AF_UNIX, None, None)]),
        (specification(bind="[::1]:1"), [Plan(10, Address(10, ("::1", 1, 0, 0)), None)]),
        (specification(connect="@x"), [Plan(1, None, Address(1, b"\0x"))]),
    ],
)
def test_the_family_is_as_the_addresses_say(wanted: Specification, expected: list[Plan]):
    assert list(creation.plans(wanted, unasked)) == expected


def test_every_address_of_a_name_is_a_plan_of_its_family():
    found = creation.plans(specification(bind="two:80"), TWO)
    assert [plan.family for plan in found] == [socket.AF_INET6, socket.AF_INET]


def test_a_literal_to_connect_to_decides_which_addresses_are_bound():
    resolver = FixedResolver({"two": ["127.0.0.1"]})
    (plan,) = creation.plans(specification(bind="two:0", connect="127.0.0.1:80"), resolver)
    assert plan.family == socket.AF_INET


def test_the_first_address_that_works_wins():
    held = Held(resolver=TWO)
    taken = held.make(specification(bind="127.0.0.2:0", backlog=1))
    port = taken.sock.getsockname()[1]
    entry = held.make(specification(bind=f"near:{port}", backlog=1))
    assert entry.sock.getsockname() == ("127.0.0.3", port)
    held.service.close()


def test_when_no_address_works_the_first_refusal_is_the_one_told():
    held = Held(resolver=FixedResolver({"bad": ["203.0.113.1", "127.0.0.1"]}))
    taken = held.listener()
    with pytest.raises(KernelRefusedError) as caught:
        held.make(specification(bind=f"bad:{taken.sock.getsockname()[1]}", backlog=1))
    assert caught.value.symbol == "EADDRNOTAVAIL"
    assert len(held.table) == 1
    held.service.close()


def test_connecting_to_a_name_goes_on_to_its_next_address():
    held = Held(resolver=TWO)
    listener = held.make(specification(bind="127.0.0.3:0", backlog=1))
    entry = held.make(specification(connect=f"near:{listener.sock.getsockname()[1]}"))
    assert entry.sock.getpeername() == listener.sock.getsockname()
    assert len(held.table) == 2
    held.service.close()


def test_options_are_set_before_bind(held: Held):
    port = free_port()
    wanted = specification(bind=f"127.0.0.1:{port}", backlog=7, options={"SO_REUSEPORT": True})
    first, second = held.make(wanted), held.make(wanted)
    assert first.sock.getsockname() == second.sock.getsockname()
    assert where(first).endswith(str(port))


def test_a_socket_file_goes_with_its_socket(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    entry = held.make(specification(bind=str(path), backlog=1))
    assert path.is_socket()
    held.table.close(entry)
    assert not path.exists()


def test_a_socket_file_that_is_no_longer_ours_stays(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    entry = held.make(specification(bind=str(path), backlog=1))
    path.rename(tmp_path / "old")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        held.table.close(entry)
        assert path.is_socket()


def test_a_socket_file_that_somebody_removed_does_not_keep_close_from_working(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    entry = held.make(specification(bind=str(path), backlog=1))
    path.unlink()
    held.table.close(entry)
    assert entry.closed


def test_a_socket_file_stays_for_whoever_took_a_duplicate(held: Held, tmp_path: Path):
    path = tmp_path / "x.sock"
    entry = held.make(specification(bind=str(path), backlog=1))
    entry.taken = 1
    held.table.close(entry)
    assert path.exists()


def test_a_pair_of_a_family_without_pairs_is_eopnotsupp(held: Held):
    with pytest.raises(KernelRefusedError) as caught:
        creation.pair(held.table, socket.AF_INET, socket.SOCK_STREAM, 0, (Origin(Owner(0)), Origin(Owner(0))))
    assert (caught.value.symbol, caught.value.syscall) == ("EOPNOTSUPP", "socketpair")


@pytest.mark.parametrize("names", [("web", "b"), ("a", "web")])
def test_a_pair_with_a_taken_name_leaves_nothing(held: Held, names: tuple[str, str]):
    held.tcp(name="web")
    before = open_numbers()
    with pytest.raises(NameTakenError):
        creation.pair(
            held.table,
            socket.AF_UNIX,
            socket.SOCK_STREAM,
            0,
            (Origin(Owner(0), names[0]), Origin(Owner(0), names[1])),
        )
    assert open_numbers() == before
    assert len(held.table) == 1


@pytest.mark.parametrize("room", [0, 1])
def test_a_pair_without_room_for_both_leaves_nothing(room: int):
    held = Held(limits=Limits(descriptors=FIRST + room))
    before = open_numbers()
    with pytest.raises(OutOfDescriptorsError):
        creation.pair(held.table, socket.AF_UNIX, socket.SOCK_STREAM, 0, (Origin(Owner(0)), Origin(Owner(0))))
    assert open_numbers() == before
    assert len(held.table) == 0


def test_a_pair_is_connected(held: Held):
    left, right = held.pair()
    left.sock.send(b"x")
    assert right.sock.recv(9) == b"x"
    assert right.fd > left.fd
