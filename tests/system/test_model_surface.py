"""Every method of ``socket.socket``, at random, on the drop-in and on the real one: both answer the same."""

from __future__ import annotations

import io
import math
import socket
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule, run_state_machine_as_test

import socketd_client
from socketd_client import Client
from tests.soak import IS_SOAK
from tests.system.model_manners import STREAM_KINDS, Manners
from tests.system.test_model import Lives
from tests.system.twins import SETTLED_S, Twins, agree

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

# Shrinking takes minutes, more than a test has in the usual run; the steps are printed in any case.
PHASES = tuple(Phase) if IS_SOAK else (Phase.explicit, Phase.reuse, Phase.generate)
TIMEOUTS = (None, 0, 0.0, 0.01, 1, 2.5, -1, math.nan, 1e300, "1", b"1", [1])


class Surface(Manners):
    """Every method, with arguments that are right and such that are not."""

    @rule(family=st.sampled_from([-1, 2, 1, 10, 99]), kind=st.sampled_from([-1, 1, 2, 5, 99]))
    def construct_anything(self, family: int, kind: int) -> None:
        def facts(made: Any) -> Any:
            with made:
                return made.family, made.type, made.proto, made.gettimeout()

        self._agree_outcome(
            lambda: facts(socketd_client.Socket(family, kind, client=self.client)),
            lambda: facts(socket.socket(family, kind)),
        )

    @rule(each=Lives.twins, timeout=st.sampled_from(TIMEOUTS))
    def set_timeout(self, each: Twins, timeout: Any) -> None:
        self._both(each, "settimeout", timeout)
        self.look(each)
        self._still(each)

    @rule(each=Lives.twins, flag=st.sampled_from([True, False, 0, 1, "", "x"]))
    def set_blocking(self, each: Twins, flag: Any) -> None:
        self._both(each, "setblocking", flag)
        self.look(each)
        self._still(each)

    @rule(each=Lives.twins, flag=st.booleans())
    def set_inheritable(self, each: Twins, flag: bool) -> None:  # noqa: FBT001 - a value that is passed on
        self._both(each, "set_inheritable", flag)

    @rule(each=Lives.twins, data=st.binary(max_size=64))
    def send_all(self, each: Twins, data: bytes) -> None:
        self._both(each, "sendall", data)
        each.settle()

    @rule(each=Lives.twins, parts=st.lists(st.binary(max_size=16), max_size=4), is_lazy=st.booleans())
    def send_message(self, each: Twins, parts: list[bytes], is_lazy: bool) -> None:  # noqa: FBT001 - as above
        def buffers() -> Any:
            return (memoryview(part) for part in parts) if is_lazy else parts

        agree(lambda: each.ours.sendmsg(buffers()), lambda: each.theirs.sendmsg(buffers()))
        each.settle()

    @rule(each=Lives.twins, size=st.sampled_from([1, 5, 4096]), flags=st.sampled_from([0, socket.MSG_PEEK]))
    def receive_into(self, each: Twins, size: int, flags: int) -> None:
        self._compare_filled(each, "recv_into", size, flags)

    @rule(each=Lives.twins, size=st.sampled_from([1, 5, 4096]))
    def receive_from_into(self, each: Twins, size: int) -> None:
        self._compare_filled(each, "recvfrom_into", size, 0)

    @rule(each=Lives.twins, size=st.sampled_from([0, 1, 5, 4096]), room=st.sampled_from([0, 64]))
    def receive_message(self, each: Twins, size: int, room: int) -> None:
        if each.kind == socket.SOCK_STREAM:
            return  # in how many pieces bytes come is not the same twice
        both = each.agree("recvmsg", size, room)
        if both is not None:
            assert both[0][:3] == both[1][:3]

    @rule(each=Lives.twins, sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3))
    def receive_message_into(self, each: Twins, sizes: list[int]) -> None:
        if each.kind == socket.SOCK_STREAM:
            return
        ours, theirs = ([bytearray(size) for size in sizes] for _ in "ot")
        both = agree(lambda: each.ours.recvmsg_into(ours), lambda: each.theirs.recvmsg_into(theirs))
        if both is not None:
            assert both[0][:3] == both[1][:3]
            assert ours == theirs

    @rule(each=Lives.twins, other=Lives.twins)
    def connect_ex(self, each: Twins, other: Twins) -> None:
        # Of datagrams: a stream's handshake would have to be waited for.
        if self._can_address(each, other) and each.kind == socket.SOCK_DGRAM:
            each.ours.settimeout(SETTLED_S)
            agree_number = agree(
                lambda: each.ours.connect_ex(other.local[0]), lambda: each.theirs.connect_ex(other.local[1])
            )
            assert agree_number is None or agree_number[0] == agree_number[1]
            self._still(each)
            each.settle()

    @rule(target=Lives.twins, each=Lives.twins)
    def duplicate(self, each: Twins) -> Any:
        both = each.agree("dup")
        assert both is not None
        made = Twins(*both, self.client, each.local)
        assert (both[0].gettimeout(), both[1].gettimeout()) == (0, 0)
        return self._added(made)

    @rule(target=Lives.twins, each=Lives.twins)
    def let_go_and_take_up(self, each: Twins) -> Any:
        self._both(each, "set_inheritable", 0)  # the flag is the descriptor's, and ours is the object's
        numbers = each.agree("detach")
        assert numbers is not None
        assert each.ours.fileno() == each.theirs.fileno() == -1
        self.living.remove(each)
        each.ours = socketd_client.Socket(fileno=numbers[0], client=self.client)
        each.theirs = socket.socket(fileno=numbers[1])
        self.look_at_kind(each)
        self._still(each)
        self.living.append(each)
        return multiple()

    def look_at_kind(self, each: Twins) -> None:
        """Compare what an object knows of the socket whose number it was given."""
        assert (each.ours.family, each.ours.type, each.ours.proto) == (
            each.theirs.family,
            each.theirs.type,
            each.theirs.proto,
        )

    @rule(kind=st.sampled_from(STREAM_KINDS), lines=st.lists(st.binary(max_size=40), max_size=5))
    def read_lines(self, kind: tuple[int, int], lines: list[bytes]) -> None:
        """Write a file and read it; how it is buffered makes no difference to what is read."""
        near, far = self._joined(kind)
        text = b"\n".join(lines)
        for sender, receiver in ((near.ours, far.ours), (near.theirs, far.theirs)):
            sender.settimeout(SETTLED_S)
            receiver.settimeout(SETTLED_S)
            with sender.makefile("wb") as out:
                out.write(text)
            sender.shutdown(socket.SHUT_WR)
        with far.ours.makefile("rb") as ours, far.theirs.makefile("rb", buffering=0) as theirs:
            assert isinstance(ours, io.BufferedReader)
            assert ours.readlines() == theirs.readlines() == text.splitlines(keepends=True) or b"\r" in text

    @rule(each=Lives.twins, mode=st.sampled_from(["r", "w", "rw", "rb", "a", "", "x", "rb+"]))
    def make_a_file(self, each: Twins, mode: str) -> None:
        def kind(sock: Any) -> str:
            with sock.makefile(mode) as file:
                return type(file).__name__

        self._agree_outcome(lambda: kind(each.ours), lambda: kind(each.theirs))

    @rule(each=Lives.twins)
    def use_what_is_closed(self, each: Twins) -> None:
        """Close duplicates: the socket itself goes on."""
        both = each.agree("dup")
        assert both is not None
        for one in both:
            one.close()
            one.close()
        closed = Twins(*both, self.client)
        assert both[0].fileno() == both[1].fileno() == -1
        self.look(closed)
        self._agree_outcome(closed.ours.detach, closed.theirs.detach)
        for method, *arguments in (
            ("recv", 1),
            ("send", b""),
            ("sendall", b"x"),
            ("getsockname",),
            ("getpeername",),
            ("accept",),
            ("listen",),
            ("shutdown", 2),
            ("dup",),
            ("getsockopt", 1, 3),
            ("setsockopt", 1, 9, 1),
            ("recvmsg", 1),
            ("sendmsg", [b"x"]),
            ("get_inheritable",),
        ):
            self._both(closed, method, *arguments)

    def _compare_filled(self, each: Twins, method: str, size: int, flags: int) -> None:
        if each.kind == socket.SOCK_STREAM:
            return
        ours, theirs = bytearray(size), bytearray(size)
        both = agree(
            lambda: getattr(each.ours, method)(ours, size, flags),
            lambda: getattr(each.theirs, method)(theirs, size, flags),
        )
        if both is not None:
            assert ours == theirs


def test_the_drop_in_and_a_plain_socket_agree(daemon: DaemonProcess):
    with Client(daemon.url) as client:

        class SurfaceHere(Surface):
            pass

        SurfaceHere.client = client
        run_state_machine_as_test(
            SurfaceHere,
            settings=settings(
                max_examples=1000 if IS_SOAK else 60,
                phases=PHASES,
                stateful_step_count=60 if IS_SOAK else 40,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert [sock.info().state for sock in client.sockets.list()] == []
