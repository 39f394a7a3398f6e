"""Who a keeper has to do with, for its tests: a bare daemon and a service manager."""

from __future__ import annotations

import array
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from socketd.keeper import protocol
from socketd.keeper.protocol import Ack, Batch, Hello, Kept, Mode, Record, Refused, Store, Welcome
from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.keeper.protocol import FromDaemon, FromKeeper

PATIENCE_S = 30.0  # for what takes milliseconds
Kind = TypeVar("Kind")


def wait_for(fd: int, what: str) -> None:
    """Wait until ``fd`` is readable."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(PATIENCE_S * 1000), f"{what} did not come"


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a condition that no descriptor tells of."""
    for _ in range(int(PATIENCE_S * 100)):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"never: {what}")


def inode(fd: int) -> int:
    """Return what tells one socket from all others."""
    return os.fstat(fd).st_ino


def has_ended(sock: socket.socket) -> bool:
    """Whether nobody holds the other end any more."""
    try:
        return sock.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


class Daemon:
    """Speaks the protocol like a daemon.

    Attributes:
        kept: What it was told of the supervisor's store.
        had: What a fetch brought: note and descriptor by number; closed with it.
    """

    def __init__(self, path: str, mode: Mode | None = Mode.RESUME) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(path)
        self.sequence = 0
        self.kept: dict[int, bool] = {}
        self.had: dict[int, tuple[bytes, int]] = {}
        if mode is not None:
            self.say(Hello(protocol.VERSION, mode))
            self.welcome = self.hear(Welcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End; the keeper sees a daemon that is gone."""
        self.sock.close()
        scm.close(fd for _, fd in self.had.values())
        self.had = {}

    def send(self, packet: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send these bytes, whatever they are."""
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        self.sock.sendmsg([packet], rights)

    def say(self, message: FromDaemon, descriptors: Sequence[int] = ()) -> int:
        """Send a message; return its sequence."""
        self.sequence += 1
        self.send(protocol.encode(message, self.sequence), descriptors)
        return self.sequence

    def receive(self) -> tuple[int, FromKeeper, tuple[int, ...]]:
        """Return the next message; ``ConnectionError`` when there will be none."""
        for _ in range(3):
            wait_for(self.sock.fileno(), "an answer")
            try:
                arrived = scm.receive(self.sock.fileno(), protocol.MOST_BYTES + 1)
            except ConnectionResetError:
                continue  # said once; what was queued comes after it
            if not arrived.data:
                break
            return *protocol.from_keeper(arrived.data, len(arrived.descriptors)), arrived.descriptors
        raise ConnectionError("the keeper has closed")

    def hear(self, kind: type[Kind]) -> Kind:
        """Return the next message, which is of this kind; what is kept may be told before it."""
        while True:
            _, message, _ = self.receive()
            if isinstance(message, kind):
                return message
            assert isinstance(message, Kept), message
            self.kept.update(message.changes)

    def do(self, message: FromDaemon, descriptors: Sequence[int] = ()) -> None:
        """Say it and wait until it is done."""
        sequence = self.say(message, descriptors)
        assert self.hear(Ack) == Ack(sequence)

    def store(self, number: int, fd: int, note: bytes = b"", group: int = 0) -> None:
        """Have one socket held."""
        self.do(Store(group, (Record(number, note),)), [fd])

    def hear_kept(self, number: int, *, is_kept: bool) -> None:
        """Wait until it was told so."""
        while self.kept.get(number) is not is_kept:
            _, message, _ = self.receive()
            assert isinstance(message, Kept), message
            self.kept.update(message.changes)

    def fetch(self) -> dict[int, tuple[bytes, int]]:
        """Take in all batches, acknowledging each."""
        is_last = False
        while not is_last:
            sequence, batch, descriptors = self.receive()
            assert isinstance(batch, Batch), batch
            for record, fd in zip(batch.records, descriptors, strict=True):
                self.had[record.number] = (record.note, fd)
            self.say(Ack(sequence))
            is_last = batch.is_last
        return self.had

    def refusal(self) -> Refused:
        """Return why the keeper ends the connection, which it then does."""
        refused = self.hear(Refused)
        wait_for(self.sock.fileno(), "the end")
        assert has_ended(self.sock)
        return refused


def fetched(path: str) -> dict[int, bytes]:
    """Return the notes of all that is held, as a daemon would find them that comes now."""
    with Daemon(path, Mode.FETCH) as daemon:
        return {number: note for number, (note, _) in daemon.fetch().items()}


class Manager:
    """Plays systemd: reads one notification at a time, when the test says so.

    Attributes:
        stored: Its descriptor store, by name.
        barriers: Those that it was asked to pass and has not yet.
        said: Every message without a descriptor, and every name that came with one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.stored: dict[str, list[int]] = {}
        self.barriers: list[int] = []
        self.said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        self.pass_barriers()
        for descriptors in self.stored.values():
            scm.close(descriptors)

    def read(self) -> str:
        """Take in one message and do what it asks for, but for barriers; return its first lines."""
        wait_for(self.sock.fileno(), "a notification")
        arrived = scm.receive(self.sock.fileno(), 4096)
        fields = dict(line.split("=", 1) for line in arrived.data.decode().splitlines())
        name = fields.get("FDNAME", "stored")
        if "FDSTORE" in fields:
            assert len(arrived.descriptors) == 1
            assert fields["FDPOLL"] == "0"
            self.stored.setdefault(name, []).extend(arrived.descriptors)
            self.said.append(f"+{name}")
        elif "FDSTOREREMOVE" in fields:
            assert not arrived.descriptors
            scm.close(self.stored.pop(name, []))
            self.said.append(f"-{name}")
        elif "BARRIER" in fields:
            assert arrived.data == b"BARRIER=1"
            self.barriers.extend(arrived.descriptors)
            self.said.append("barrier")
        else:
            self.said.append(arrived.data.decode().strip())
        return self.said[-1]

    def read_until(self, wanted: str) -> list[str]:
        """Read until one message contains ``wanted``; return all that were read."""
        start = len(self.said)
        for _ in range(10_000):
            if wanted in self.read():
                return self.said[start:]
        raise AssertionError(f"never said: {wanted}")

    def pass_barriers(self) -> None:
        """Say that all before them is done."""
        scm.close(self.barriers)
        self.barriers = []

    def inodes(self) -> dict[str, int]:
        """Return which sockets are stored under which names."""
        return {name: inode(descriptors[0]) for name, descriptors in self.stored.items()}
