"""The part of the surface model about waiting, flags, files, names and what travels beside the bytes."""

from __future__ import annotations

import array
import copy
import os
import select
import shutil
import socket
import struct
import tempfile
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from tests.system.model_mistakes import Mistakes
from tests.system.test_model import FLAGS, KINDS, Lives
from tests.system.twins import AGAIN, SETTLED_S, Twins, agree, outcome

STREAM_KINDS = tuple(kind for kind in KINDS if kind[1] == socket.SOCK_STREAM)
DATAGRAM_KINDS = tuple(kind for kind in KINDS if kind[1] == socket.SOCK_DGRAM)
UNIX_KINDS = tuple(kind for kind in KINDS if kind[0] == socket.AF_UNIX)
IN_VAIN_S = 0.05
MUCH = 600_000  # more than two socket buffers take
INT_BYTES = array.array("i").itemsize
INET6_NAMES = (
    ("::1", 0),
    ("::1", 0, 0),
    ("::1", 0, 0, 0),
    ("::1", 0, 7, 0),
    ("", 0),
    ("::ffff:127.0.0.1", 0),
)


class Manners(Mistakes):
    """Mistakes, and manners that need a scene of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())

    @rule(each=Lives.twins, method=st.sampled_from(["recv", "recvfrom", "recvmsg"]))
    def wait_in_vain(self, each: Twins, method: str) -> None:
        """Wait for what may be there: it is only looked at.

        Only where poll(2) and the call say the same. With a timeout CPython polls first: an error that the
        call would give at once it then waits for, and on a datagram socket whose reading side is shut it
        spins. The daemon makes the call first, and tells the end as a call that blocks.
        """
        says = outcome(lambda: each.theirs.recv(1, socket.MSG_PEEK))
        is_waiting = says == AGAIN
        if (says[0] == "error" and not is_waiting) or is_waiting == each.is_ready(select.POLLIN):
            return
        self._patient(each)
        flags = (0, socket.MSG_PEEK) if method == "recvmsg" else (socket.MSG_PEEK,)
        self._both(each, method, 1, *flags)
        self._still(each)

    @rule(target=Lives.twins, each=Lives.twins, default_s=st.sampled_from([None, 0, 2.5]))
    def accept_and_look(self, each: Twins, default_s: float | None) -> Any:
        """Accept with a timeout, which what is accepted has not, and with a default timeout, which it has.

        Only on what listens: elsewhere CPython waits first, and the daemon says EINVAL at once.
        """
        if not each.theirs.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return multiple()
        self._patient(each)
        socket.setdefaulttimeout(default_s)
        try:
            both = each.agree("accept")
        finally:
            socket.setdefaulttimeout(None)
            self._still(each)
        if both is None:
            return multiple()
        assert both[0][1][:1] == both[1][1][:1]  # the host, or whether there is a name
        accepted = Twins(both[0][0], both[1][0], self.client)
        self.look(accepted)
        assert accepted.theirs.gettimeout() == default_s
        self._still(accepted)
        return self._added(accepted)

    @rule(
        each=Lives.twins, data=st.binary(max_size=64), flags=st.sampled_from(["DONTWAIT", "NOSIGNAL", "PEEK"])
    )
    def send_flagged(self, each: Twins, data: bytes, flags: str) -> None:
        each.agree_equal("send", data, getattr(socket, f"MSG_{flags}"))
        each.settle()

    @rule(each=Lives.twins, size=st.sampled_from([1, 4096]), flags=st.sampled_from(["DONTWAIT", "NOSIGNAL"]))
    def receive_flagged(self, each: Twins, size: int, flags: str) -> None:
        """Not wait although the socket does."""
        if flags == "DONTWAIT":
            each.ours.settimeout(None)
            each.theirs.settimeout(None)
        each.receive(size, getattr(socket, f"MSG_{flags}") | socket.MSG_PEEK)
        self._still(each)

    @rule(
        kind=st.sampled_from(STREAM_KINDS),
        size=st.sampled_from([1, 3, 4]),
        timeout_s=st.sampled_from([None, 1]),
    )
    def receive_all(self, kind: tuple[int, int], size: int, timeout_s: float | None) -> None:
        """Receive with MSG_WAITALL what has ended, or of what goes on no more than there is."""
        near, far = self._joined(kind)
        for sender, receiver in ((near.ours, far.ours), (near.theirs, far.theirs)):
            sender.sendall(b"abc")
            if timeout_s is None:
                sender.shutdown(socket.SHUT_WR)
            receiver.settimeout(timeout_s)
            assert receiver.recv(size, socket.MSG_WAITALL) == b"abc"[:size]
        self._still(far)

    @rule(kind=st.sampled_from(STREAM_KINDS[:2]), size=st.sampled_from([1, 2]))
    def send_urgently(self, kind: tuple[int, int], size: int) -> None:
        """Send with MSG_OOB: the last byte overtakes, the others are received as ever."""
        near, far = self._joined(kind)
        near.agree_equal("send", b"abc"[:size], socket.MSG_OOB)
        select.select([], [], [far.theirs], SETTLED_S)
        far.agree_on_readiness(select.POLLPRI)
        far.agree_equal("recv", 5, socket.MSG_OOB)
        far.agree_equal("recv", 5, socket.MSG_OOB)
        far.receive(5)

    @rule(each=Lives.twins, option=st.sampled_from(FLAGS), size=st.sampled_from([1, 4, 16, 1024]))
    def get_option_bytes(self, each: Twins, option: tuple[int, int], size: int) -> None:
        each.agree_equal("getsockopt", *option, size)

    @rule(each=Lives.twins, value=st.sampled_from([b"", b"\1\0\0\0", struct.pack("ii", 0, 5), b"\1" * 16]))
    def set_option_bytes(self, each: Twins, value: bytes) -> None:
        for name in (socket.SO_LINGER, socket.SO_KEEPALIVE):
            each.agree("setsockopt", socket.SOL_SOCKET, name, value)
            each.agree_equal("getsockopt", socket.SOL_SOCKET, name, 8)
        each.agree("setsockopt", socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))

    @rule(each=Lives.twins, other=Lives.twins, parts=st.lists(st.binary(max_size=16), max_size=3))
    def send_message_to(self, each: Twins, other: Twins, parts: list[bytes]) -> None:
        if self._can_address(each, other):
            agree(
                lambda: each.ours.sendmsg(parts, [], 0, other.local[0]),
                lambda: each.theirs.sendmsg(parts, [], 0, other.local[1]),
            )
            each.settle()

    @rule(kind=st.sampled_from(UNIX_KINDS), count=st.integers(0, 3), room=st.integers(0, 3))
    def pass_descriptors(self, kind: tuple[int, int], count: int, room: int) -> None:
        """Send sockets, and take up as many as there is room for; the others are closed."""
        told = []
        with socket.socket() as some:
            beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [some.fileno()] * count))]
            for near, far in (self.client.sockets.pair(*kind), socket.socketpair(*kind)):
                with near, far:
                    near.sendmsg([b"x"], beside if count else [])
                    space = socket.CMSG_LEN(room * INT_BYTES) if room else 0
                    data, items, flags, source = far.recvmsg(1, space)
                    numbers = [taken_up(item) for item in items]
                    assert all(each == os.fstat(some.fileno()).st_ino for found in numbers for each in found)
                    told.append((data, [len(each) for each in numbers], flags, source))
        assert told[0] == told[1]

    @rule(
        kind=st.sampled_from(UNIX_KINDS[:1]),
        method=st.sampled_from(["send", "sendall"]),
        is_patient=st.booleans(),
    )
    def send_too_much(self, kind: tuple[int, int], method: str, is_patient: bool) -> None:  # noqa: FBT001 - as told
        """Send more than there is room for; how much of it goes is the kernel's affair."""
        told = []
        for near, far in (self.client.sockets.pair(*kind), socket.socketpair(*kind)):
            with near, far:
                near.settimeout(IN_VAIN_S if is_patient else 0)
                kind_of, value = outcome(lambda near=near: getattr(near, method)(bytes(MUCH)))
                told.append((kind_of, value if kind_of == "error" else None))
        assert told[0] == told[1]

    @rule(
        kind=st.sampled_from(STREAM_KINDS),
        content=st.binary(max_size=5000),
        offset=st.integers(0, 10),
        count=st.sampled_from([None, 1, 100, 10_000]),
    )
    def send_file(self, kind: tuple[int, int], content: bytes, offset: int, count: int | None) -> None:
        near, far = self._joined(kind)
        told = []
        for sender, receiver in ((near.ours, far.ours), (near.theirs, far.theirs)):
            sender.settimeout(SETTLED_S)
            receiver.settimeout(SETTLED_S)
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.flush()
                sent = sender.sendfile(file, offset, count)
                sender.shutdown(socket.SHUT_WR)
                with receiver.makefile("rb") as reader:
                    told.append((sent, file.tell(), reader.read()))
        assert told[0] == told[1]
        self._still(near)
        self._still(far)

    @rule(
        kind=st.sampled_from(STREAM_KINDS),
        buffering=st.sampled_from([-1, 0, 16]),
        timeout_s=st.sampled_from([0, IN_VAIN_S]),
    )
    def read_a_file_that_has_nothing(self, kind: tuple[int, int], buffering: int, timeout_s: float) -> None:
        """After a timeout a file reads no more; one that does not wait goes on."""
        near, far = self._joined(kind)
        told = []
        for sender, receiver in ((near.ours, far.ours), (near.theirs, far.theirs)):
            receiver.settimeout(timeout_s)
            with receiver.makefile("rb", buffering) as reader:
                vain = [outcome(lambda reader=reader: reader.read(1)) for _ in "12"]
                sender.sendall(b"x")
                receiver.settimeout(SETTLED_S)
                told.append((vain, outcome(lambda reader=reader: reader.read(1))))
        assert told[0] == told[1]
        self._still(far)

    @rule(target=Lives.twins, kind=st.sampled_from(DATAGRAM_KINDS[1:2]), name=st.sampled_from(INET6_NAMES))
    def bind_ipv6(self, kind: tuple[int, int], name: Any) -> Any:
        """Bind by two to four members; four are what comes back, also as the source of a datagram."""
        made = self.construct(kind)
        made.agree("bind", name)
        made.settle()
        for sock in (made.ours, made.theirs):
            sock.settimeout(SETTLED_S)
            port = sock.getsockname()[1]
            host = "::ffff:127.0.0.1" if "ffff" in name[0] else "::1"
            sock.sendto(b"to itself", (host, port, 0, 0))
            assert sock.recvfrom(100) == (b"to itself", (host, port, 0, 0))
        self._still(made)
        return multiple()

    @rule(
        target=Lives.twins,
        kind=st.sampled_from(UNIX_KINDS),
        form=st.sampled_from(["str", "bytes", "odd", "auto"]),
    )
    def bind_unix(self, kind: tuple[int, int], form: str) -> Any:
        """Bind to a path, as text, as bytes or not UTF-8, or let the kernel find an abstract name."""
        made = self.construct(kind)
        names = [self.path(form) for _ in "ot"]
        agree(lambda: made.ours.bind(names[0]), lambda: made.theirs.bind(names[1]))
        made.settle()
        if form != "auto":
            assert made.local == tuple(os.fsdecode(name) for name in names)
        return multiple(made)

    def path(self, form: str) -> str | bytes:
        """Make a new name of a form."""
        if form == "auto":
            return ""
        name = os.fsencode(self.folder / f"{next(self.names)}") + (b"\xff\xfe" if form == "odd" else b"")
        return name if form == "bytes" else os.fsdecode(name)

    @rule(each=Lives.twins)
    def be_an_object(self, each: Twins) -> None:
        """Be hashable, by identity; weakly referable; printable; no value that could be copied."""
        for sock in (each.ours, each.theirs):
            twin = sock.dup()
            assert {sock, twin, sock} == {twin, sock}
            assert sock != twin
            assert weakref.ref(sock)() is sock
            assert repr(sock).startswith("<")
            assert sock
            with twin as entered:
                assert entered is twin
            assert (twin.fileno(), repr(twin)[:1]) == (-1, "<")
        for sock in (each.ours, each.theirs):
            with pytest.raises(TypeError, match="cannot pickle"):
                copy.copy(sock)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    @staticmethod
    def _patient(each: Twins) -> None:
        each.ours.settimeout(IN_VAIN_S)
        each.theirs.settimeout(IN_VAIN_S)


def taken_up(item: tuple[int, int, bytes]) -> list[int]:
    """Close the descriptors that came in a control message; say which sockets they were."""
    assert item[:2] == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
    numbers = array.array("i", item[2])
    inodes = [os.fstat(number).st_ino for number in numbers]
    for number in numbers:
        os.close(number)
    return inodes
