"""What comes beside a message: cut as the kernel cuts it, held before it is taken, and never left open."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core import ancillary, receiving
from socketd.core.ancillary import Closing
from socketd.core.control import CREDENTIALS, RIGHTS
from socketd.core.receiving import Incoming, Wanted
from socketd.errors import ClosedMeanwhileError, QuotaError, WouldBlockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from socketd.core.entry import Entry
    from tests.held import Held

KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
CTRUNC = socket.MSG_CTRUNC
PLENTY = 4096
SO_PEEK_OFF = 42


class Recording(Closing):
    """Closes everything, and remembers what it was asked.

    Args:
        error: Raised when something is expected.
    """

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.said: list[tuple[str, int]] = []
        self._error = error

    def expect(self, descriptors: Sequence[int]) -> None:
        self.said.append(("expect", len(descriptors)))
        super().expect(descriptors)
        if self._error is not None:
            raise self._error

    def admit(self, descriptors: Sequence[int]) -> Sequence[Entry | None]:
        self.said.append(("admit", len(descriptors)))
        return [None for each in descriptors if self.close(each) is None]


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Open three descriptors of sockets."""
    socks = [socket.socket() for _ in range(3)]
    yield [sock.fileno() for sock in socks]
    for sock in socks:
        sock.close()


def send(entry: Entry, descriptors: Sequence[int], data: bytes = b"x") -> None:
    entry.sock.sendmsg([data], [(*RIGHTS, array("i", descriptors))])


def take(held: Held, entry: Entry, space: int = PLENTY, flags: int = 0, **more: Any) -> Incoming:
    wanted = Wanted(10, flags, 1, 1000, space, **more)
    return receiving.receive(entry, wanted, held.patience(0)).messages[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [0, socket.MSG_PEEK, socket.MSG_TRUNC])
def test_what_was_not_asked_for_is_closed_and_told_as_the_kernel_does(held: Held, files, kind, flags):
    near, far = held.pair(kind)
    send(near, files)
    desk = Recording()
    message = take(held, far, 0, flags, desk=desk)
    assert (message.data, message.control, message.closed) == (b"x", (), 3)
    assert message.flags & CTRUNC
    assert desk.said == [("admit", 0)]
    if flags & socket.MSG_PEEK:
        take(held, far, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_descriptors_are_expected_before_the_message_is_taken(held: Held, files, kind):
    near, far = held.pair(kind)
    send(near, files)
    desk = Recording()
    take(held, far, desk=desk)
    assert desk.said == [("expect", 3), ("admit", 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_message_that_is_not_to_be_held_stays_where_it_is(held: Held, files, kind):
    near, far = held.pair(kind)
    send(near, files)
    with pytest.raises(QuotaError):
        take(held, far, desk=Recording(QuotaError("no")))
    assert take(held, far, 0).data == b"x"
    with pytest.raises(WouldBlockError):
        take(held, far)


def test_socket_that_was_closed_meanwhile_gives_nothing(held: Held, files):
    near, far = held.pair()
    send(near, files)

    class Slow(Recording):
        def expect(self, descriptors: Sequence[int]) -> None:
            super().expect(descriptors)
            held.table.close(far)

    desk = Slow()
    with pytest.raises(ClosedMeanwhileError):
        take(held, far, desk=desk)
    assert desk.said[-1] == ("admit", 0)


def test_message_that_another_took_meanwhile_is_waited_for(held: Held, files):
    near, far = held.pair(socket.SOCK_DGRAM)
    send(near, files)

    class Slow(Recording):
        def expect(self, descriptors: Sequence[int]) -> None:
            super().expect(descriptors)
            far.sock.recv(1)

    desk = Slow()
    with pytest.raises(WouldBlockError):
        take(held, far, desk=desk)
    assert desk.said[-1] == ("admit", 0)


def test_program_that_peeks_at_an_offset_is_not_disturbed(held: Held, files):
    near, far = held.pair()
    send(near, files, b"abc")
    far.sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 1)
    desk = Recording()
    take(held, far, desk=desk, flags=socket.MSG_PEEK)
    assert desk.said == [("admit", 3)]
    assert far.sock.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF) == 3


def test_pidfd_is_closed_and_told(held: Held):
    near, far = held.pair(socket.SOCK_DGRAM)
    try:
        far.sock.setsockopt(socket.SOL_SOCKET, 76, 1)  # SO_PASSPIDFD
    except OSError:
        pytest.skip("this kernel has no SO_PASSPIDFD")
    near.sock.send(b"x")
    message = take(held, far)
    assert (message.control, message.closed) == ((), 1)
    assert message.flags & CTRUNC


def _by_kernel(sock: Any, space: int) -> tuple[list[tuple[tuple[int, int], bytes | int]], int]:
    """Receive plainly; of descriptors their count."""
    _, items, flags, _ = sock.recvmsg(10, space)
    found: list[tuple[tuple[int, int], bytes | int]] = []
    for level, kind, data in items:
        descriptors = array("i")
        if (level, kind) == RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % 4])
            for each in descriptors:
                os.close(each)
        found.append(((level, kind), len(descriptors) if (level, kind) == RIGHTS else data))
    return found, flags & CTRUNC


class Keeping(Closing):
    """Says that all is held, and closes it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._entry = entry

    def admit(self, descriptors: Sequence[int]) -> Sequence[Entry | None]:
        super().admit(descriptors)
        return [self._entry] * len(descriptors)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("with_credentials", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_every_room_is_filled_as_the_kernel_fills_it(held: Held, files, count, with_credentials):
    near, far = held.pair(socket.SOCK_DGRAM)
    far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(with_credentials))
    for space in [0, *range(12, 84)]:
        for _ in range(2):
            near.sock.sendmsg([b"x"], [(*RIGHTS, array("i", files[:count]))] if count else [])
        kernel, cut = _by_kernel(far.sock, space)
        message = take(held, far, space, desk=Keeping(far))
        ours = [
            (each.kind, len(each.sockets) if each.kind == RIGHTS else each.data) for each in message.control
        ]
        assert (ours, message.flags & CTRUNC) == (kernel, cut), space


def test_credentials_come_as_the_kernel_wrote_them(held: Held):
    near, far = held.pair(socket.SOCK_DGRAM)
    far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    near.sock.send(b"x")
    (control,) = take(held, far).control
    assert control.kind == CREDENTIALS
    assert struct.unpack("=iII", control.data) == (os.getpid(), os.getuid(), os.getgid())


def test_closing_a_lingering_descriptor_is_the_desks_business(held: Held):
    near, far = held.pair()
    with socket.socket() as lingering:
        send(near, [lingering.fileno()])
    closed: list[int] = []
    message = take(held, far, 0, desk=Closing(closed.append))
    assert message.closed == len(closed) == 1
    os.close(closed[0])


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
def test_other_families_give_as_much_as_was_asked_for(held: Held, family):
    entry = held.udp(f"[{family}]:0" if ":" in family else f"{family}:0")
    options = (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if ":" in family else (socket.IPPROTO_IP, 8)
    entry.sock.setsockopt(*options, 1)
    for _ in range(2):
        with socket.socket(entry.family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", entry.sock.getsockname())
    message = take(held, entry, 0)
    assert (message.control, message.flags & CTRUNC) == ((), CTRUNC)
    message = take(held, entry)
    assert [each.level for each in message.control] == [options[0]]
    assert not message.flags & CTRUNC


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_alone_leave_no_descriptor_open(held: Held, files, kind):
    near, far = held.pair(kind)
    send(near, files)
    closed: list[int] = []
    assert ancillary.receive_bytes(far.sock, 10, closed.append) == b"x"
    assert len(closed) == len(files)
    for each in closed:
        os.close(each)
    with pytest.raises(BlockingIOError):
        ancillary.receive_bytes(far.sock, 10, os.close)


def test_bytes_alone_come_of_other_families_too(held: Held):
    near, far = held.connection()
    near.sock.send(b"x")
    assert ancillary.receive_bytes(far.sock, 10, os.close) == b"x"
