"""What the keeper gives back is held as it was: number, name, owner, cookie, and what the kernel knows."""

from __future__ import annotations

import _socket
import os
import select
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from socketd.core import calls
from socketd.core.entry import Note, Taker, UnixFile
from socketd.core.numbers import Numbers
from socketd.core.owner import Owner
from socketd.core.table import Origin, SocketTable
from socketd.errors import AlreadyHeldError, KernelRefusedError, NameTakenError
from tests.held import ANN, FIRST, LOOPBACK, Held, ManualClock, specification
from tests.recording_keeper import RecordingKeeper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from socketd.core.creation import Specification
    from socketd.core.entry import Entry

NOTE = Note(owner=Owner(ANN), created_at=1.5)
NUMBER = FIRST + 20
FROM_KERNEL = ("fd", "family", "type", "protocol", "cookie", "inode")


@pytest.fixture
def keeper() -> Iterator[RecordingKeeper]:
    made = RecordingKeeper()
    yield made
    made.close()


@pytest.fixture
def kept(keeper: RecordingKeeper) -> Held:
    """Hold a table that does not outlive ``again``, which closes what it held."""
    return Held(keeper=keeper)


class Again:
    """The table of the next daemon."""

    def __init__(self, keeper: RecordingKeeper) -> None:
        self.keeper = keeper
        self.held = Held(keeper=keeper)

    def after(self, died: Held) -> SocketTable:
        self.keeper.outlive(died.table)
        self.keeper.hand_back(self.held.table)
        return self.held.table


@pytest.fixture
def again(keeper: RecordingKeeper) -> Iterator[Again]:
    made = Again(keeper)
    yield made
    made.held.service.close()


def at_number(fd: int) -> int:
    os.dup2(fd, NUMBER, inheritable=False)
    return NUMBER


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_what_is_no_socket_is_not_restored_and_closed(held: Held):
    with select.epoll() as other:
        at_number(other.fileno())
    with pytest.raises(KernelRefusedError) as caught:
        held.table.restore(NUMBER, NOTE, "keeper")
    assert caught.value.symbol == "ENOTSOCK"
    assert not is_open(NUMBER)


def test_what_is_held_already_is_not_restored_and_closed(held: Held):
    at_number(held.tcp().fd)
    with pytest.raises(AlreadyHeldError):
        held.table.restore(NUMBER, NOTE, "keeper")
    assert not is_open(NUMBER)
    assert len(held.table) == 1


def test_a_name_that_is_taken_is_not_restored_and_closed(held: Held):
    held.tcp(name="web")
    with socket.socket() as sock:
        at_number(sock.fileno())
    with pytest.raises(NameTakenError):
        held.table.restore(NUMBER, replace(NOTE, name="web"), "keeper")
    assert not is_open(NUMBER)
    assert len(held.table) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        specification(),
        specification(bind=LOOPBACK, backlog=4),
        specification(socket.AF_INET6, socket.SOCK_DGRAM, bind="[::1]:0"),
        specification(socket.AF_UNIX, socket.SOCK_SEQPACKET),
        specification(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
        specification(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP),
    ],
    ids=["fresh", "listener", "udp6", "unix", "netlink", "mptcp"],
)
def test_a_restored_socket_is_the_same(kept: Held, again: Again, wanted: Specification):
    made = kept.make(wanted, uid=ANN, name="web")
    before = [getattr(made, member) for member in FROM_KERNEL]
    note = made.note()
    restored = again.after(kept).find("web")
    assert [getattr(restored, member) for member in FROM_KERNEL] == before
    assert restored.note() == note
    assert restored.kept == "keeper"
    assert restored.sock.fileno() == made.fd
    assert not os.get_inheritable(restored.fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket is root's (CAP_NET_RAW)")
def test_a_restored_packet_socket_has_its_protocol(kept: Held, again: Again):
    protocol = socket.htons(0x0806)
    made = kept.make(specification(socket.AF_PACKET, socket.SOCK_RAW, protocol), name="arp")
    assert made.protocol == protocol
    assert again.after(kept).find("arp").protocol == protocol


def test_all_that_was_noted_is_there_again(held: Held):
    note = Note(
        owner=Owner(ANN),
        created_at=12.5,
        name="web",
        accepted_from=77,
        persist="boot",
        taken=3,
        taken_by=Taker(ANN, 4242, 13.5),
        is_blocking=True,
        socket_file=UnixFile("/nowhere/s", 1, 2),
        key="k",
    )
    with socket.socket() as sock:
        entry = held.table.restore(at_number(sock.fileno()), note, "systemd")
    assert entry.note() == note
    assert entry.kept == "systemd"
    assert entry.is_finished
    assert held.table.find(NUMBER) is held.table.find("web") is entry


def test_what_is_queued_in_a_listener_and_in_a_connection_is_still_there(kept: Held, again: Again):
    listener = kept.listener(name="web")
    with socket.create_connection(listener.sock.getsockname()) as waiting:
        waiting.sendall(b"unread")
        table = again.after(kept)
        far = calls.accept(table, table.find("web"), Origin(Owner(0)), again.held.patience())
        assert far.sock.recv(6) == b"unread"
        assert far.fd != listener.fd


def test_a_restored_listener_closes_as_one_that_was_made(kept: Held, again: Again, tmp_path: Path):
    kept.make(specification(bind=f"{tmp_path}/s", backlog=1), name="web")
    table = again.after(kept)
    table.close(table.find("web"))
    assert not (tmp_path / "s").exists()
    assert not table.has_name("web")


def test_an_unfinished_connection_is_not_restored(kept: Held, again: Again, keeper: RecordingKeeper):
    entry = kept.table.hold(_socket.socket(), Origin(Owner(0)), is_finished=False)
    keeper.confirm()
    assert not entry.is_finished
    assert len(again.after(kept)) == 0


def test_numbers_go_on_above_restored_ones():
    clock = ManualClock()
    numbers = Numbers(FIRST, FIRST + 100, 1.0, clock)
    table = SocketTable(numbers, clock)
    with socket.socket() as sock:
        restored = table.restore(at_number(sock.fileno()), NOTE, "keeper")
    numbers.start_after(restored.fd)
    made = table.hold(_socket.socket(), Origin(Owner(0)))
    assert made.fd == NUMBER + 1
    table.close_all()


def test_sockets_are_listed_under_the_key_that_made_them_while_they_are_held(held: Held):
    made: list[Entry] = []
    for offset, created_at in ((0, 3.0), (1, 1.0), (2, 2.0)):
        with socket.socket() as sock:
            os.dup2(sock.fileno(), NUMBER + offset, inheritable=False)
        note = replace(NOTE, created_at=created_at, key="k")
        made.append(held.table.restore(NUMBER + offset, note, "keeper"))
    assert held.table.made_under("k") == [made[1], made[2], made[0]]
    held.table.close(made[2])
    assert held.table.made_under("k") == [made[1], made[0]]
    held.table.close(made[1])
    held.table.close(made[0])
    assert held.table.made_under("k") == held.table.made_under("l") == held.table.made_under(None) == []
