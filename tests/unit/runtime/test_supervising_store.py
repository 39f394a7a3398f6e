"""The descriptor store: what is asked of it by sd_notify(3), and that it is given back by LISTEN_FDS."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from socketd.runtime.supervising.mailbox import Mailbox, Notification
from socketd.runtime.supervising.store import DescriptorStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store() -> Iterator[DescriptorStore]:
    """A store for two."""
    made = DescriptorStore(2)
    yield made
    made.close()


def put(store: DescriptorStore, **fields: str) -> tuple[int, int]:
    """Store a new file; return our descriptor of it, and the store's own."""
    ours = os.memfd_create("test")
    theirs = os.dup(ours)
    store.obey(Notification({"FDSTORE": "1", **fields}, (theirs,)))
    return ours, theirs


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")  # noqa: PTH110


def test_descriptors_are_listed_by_name_in_their_order(store):
    first, first_held = put(store, FDNAME="s64")
    second, second_held = put(store, FDNAME="notes")
    assert store.listing() == [("s64", first_held), ("notes", second_held)]
    os.close(first)
    os.close(second)


@pytest.mark.parametrize("name", ["", "a:b", "a\x07", "ü", "x" * 256])
def test_name_that_cannot_be_listed_is_stored(store, name):
    ours, held = put(store, FDNAME=name)
    assert store.listing() == [("stored", held)]
    os.close(ours)


def test_descriptor_without_a_name_is_stored(store):
    ours, held = put(store)
    assert store.listing() == [("stored", held)]
    os.close(ours)


def test_one_too_many_is_closed(store):
    for name in ("a", "b", "c"):
        ours, held = put(store, FDNAME=name)
        os.close(ours)
    assert [name for name, _ in store.listing()] == ["a", "b"]
    assert not is_open(held)


def test_same_file_under_the_same_name_is_kept_once(store):
    ours, _ = put(store, FDNAME="a")
    again = os.dup(ours)
    store.obey(Notification({"FDSTORE": "1", "FDNAME": "a"}, (again,)))
    assert len(store) == 1
    assert not is_open(again)
    os.close(ours)


def test_other_file_under_the_same_name_is_kept_too(store):
    for _ in range(2):
        ours, _ = put(store, FDNAME="a")
        os.close(ours)
    assert [name for name, _ in store.listing()] == ["a", "a"]


def test_removal_closes_all_of_the_name_and_makes_room(store):
    held = []
    for _ in range(2):
        ours, theirs = put(store, FDNAME="a")
        os.close(ours)
        held.append(theirs)
    store.obey(Notification({"FDSTOREREMOVE": "1", "FDNAME": "a"}))
    assert [fd for fd in held if is_open(fd)] == []
    ours, _ = put(store, FDNAME="b")
    os.close(ours)
    assert [name for name, _ in store.listing()] == ["b"]


def test_removal_of_what_is_not_there_is_harmless(store):
    store.obey(Notification({"FDSTOREREMOVE": "1", "FDNAME": "a"}))
    assert len(store) == 0


def test_descriptor_that_is_not_to_be_stored_is_closed(store):
    reading, writing = os.pipe()
    store.obey(Notification({"BARRIER": "1"}, (writing,)))
    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mailbox of this process."""
    made = Mailbox()
    yield made
    made.close()


def send(mailbox: Mailbox, data: bytes, fds: list[int]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))  # send_fds ignores an address
        sender.sendmsg([data], [rights], 0, mailbox.address.replace("@", "\0"))


def test_message_brings_its_fields_and_descriptors_close_on_exec(mailbox):
    reading, writing = os.pipe()
    send(mailbox, b"FDSTORE=1\nFDNAME=a=b\nnonsense\n", [reading, writing])
    message = mailbox.receive()
    assert message.fields == {"FDSTORE": "1", "FDNAME": "a=b"}
    assert [os.get_inheritable(fd) for fd in message.descriptors] == [False, False]
    for fd in (reading, writing, *message.descriptors):
        os.close(fd)
    assert mailbox.receive() is None


def test_message_that_is_too_long_is_dropped_with_its_descriptors(mailbox):
    reading, writing = os.pipe()
    send(mailbox, b"FDSTORE=1\n" + b"x" * 65536, [writing])
    send(mailbox, b"READY=1", [])
    os.close(writing)
    assert mailbox.receive().fields == {"READY": "1"}
    assert os.read(reading, 1) == b""
    os.close(reading)


STRANGER = """
import array, os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [int(sys.argv[2])]))
    sender.sendmsg([b"FDSTORE=1"], [rights], 0, "\\0" + sys.argv[1])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_message_of_another_user_is_dropped_with_its_descriptors(mailbox):
    reading, writing = os.pipe()
    command = [sys.executable, "-c", STRANGER, mailbox.address[1:], str(writing)]
    subprocess.run(command, pass_fds=[writing], check=True, timeout=60)
    os.close(writing)
    assert mailbox.receive() is None
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_what_the_keeper_stored_is_given_to_the_next_one(supervised):
    supervisor = supervised()
    keeper, _ = supervisor.both()
    assert keeper.do("given") == {}
    stored = {name: keeper.do("store", name) for name in ("s64", "s65", "notes")}
    keeper.do("say", "FDSTOREREMOVE=1\nFDNAME=s64")
    keeper.do("barrier")
    for _ in range(2):
        keeper.kill()
        keeper = supervisor.next("keeper")
        assert keeper.environ["LISTEN_PID"] == str(keeper.pid)
        assert keeper.do("given") == {name: stored[name] for name in ("s65", "notes")}
        keeper.ready()


def test_what_the_keeper_stored_with_its_last_breath_is_not_lost(supervised):
    supervisor = supervised()
    keeper, _ = supervisor.both()
    inode = keeper.do("store", "s64")
    keeper.kill()
    assert supervisor.next("keeper").do("given") == {"s64": inode}


def test_store_is_not_for_the_daemon(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    daemon.do("store", "s64")
    daemon.do("barrier")
    keeper.kill()
    assert supervisor.next("keeper").do("given") == {}


def test_store_is_full_at_its_capacity(supervised):
    supervisor = supervised(capacity=1)
    keeper, _ = supervisor.both()
    first = keeper.do("store", "s64")
    keeper.do("store", "s65")
    keeper.kill()
    keeper = supervisor.next("keeper")
    assert keeper.do("given") == {"s64": first}
    assert "the descriptor store is full (1); s65 is not taken" in supervisor.log
