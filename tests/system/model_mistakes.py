"""The part of the surface model that makes sockets as a program does, and calls their methods wrongly."""

from __future__ import annotations

import array
import socket
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

import socketd_client
from tests.system.test_model import KINDS, Lives
from tests.system.twins import Twins, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_BUFFERS = ("text", None, 7, object())
NOT_SIZES = (-1, "1", 1.5, None)
NOT_ADDRESSES = (None, 7, [], ["127.0.0.1", 1], ("127.0.0.1",), ("127.0.0.1", 70000), ("127.0.0.1", -1))


class Mistakes(Lives):
    """The lives of ``test_model``, with objects that are made and used as a program does its own."""

    twins = Lives.twins

    @rule(target=twins, kind=st.sampled_from(KINDS))
    def construct(self, kind: tuple[int, int]) -> Twins:
        ours = socketd_client.Socket(*kind, client=self.client)
        theirs = socket.socket(*kind)
        made = Twins(ours, theirs, self.client)
        for each in (ours, theirs):
            assert each.gettimeout() is None
            each.settimeout(0)
        return self._added(made)

    @rule(target=twins, kind=st.sampled_from(KINDS))
    def create(self, kind: tuple[int, int]) -> Twins:
        made: Twins = self.construct(kind)
        return made

    @rule(each=Lives.twins)
    def look(self, each: Twins) -> None:
        for name in ("family", "type", "proto", "timeout"):
            facts = getattr(each.ours, name), getattr(each.theirs, name)
            assert facts[0] == facts[1], (name, facts)
        for method in ("gettimeout", "getblocking", "get_inheritable"):
            each.agree_equal(method)
        assert (each.ours.fileno() == -1) == (each.theirs.fileno() == -1)

    @rule(each=Lives.twins, wrong=st.sampled_from(NOT_BUFFERS))
    def send_what_is_no_buffer(self, each: Twins, wrong: Any) -> None:
        for method in ("send", "sendall"):
            self._both(each, method, wrong)
        self._both(each, "sendmsg", [wrong])
        self._both(each, "sendto", wrong, ("127.0.0.1", 1))

    @rule(each=Lives.twins, wrong=st.sampled_from(NOT_SIZES))
    def receive_sizes_that_are_none(self, each: Twins, wrong: Any) -> None:
        for method in ("recv", "recvfrom", "recvmsg"):
            self._both(each, method, wrong)
        for method in ("recv_into", "recvfrom_into"):
            self._agree_outcome(
                lambda method=method: getattr(each.ours, method)(bytearray(4), wrong),
                lambda method=method: getattr(each.theirs, method)(bytearray(4), wrong),
            )

    @rule(each=Lives.twins)
    def receive_into_what_is_too_small(self, each: Twins) -> None:
        for method in ("recv_into", "recvfrom_into"):
            for buffer, size in ((bytearray(4), 5), (b"read-only", 1), (array.array("i", [1, 2]), 9)):
                self._both(each, method, buffer, size)

    @rule(each=Lives.twins, wrong=st.sampled_from(NOT_ADDRESSES))
    def name_what_is_no_address(self, each: Twins, wrong: Any) -> None:
        for method in ("bind", "connect", "connect_ex"):
            self._both(each, method, wrong)

    @rule(each=Lives.twins, how=st.sampled_from([-1, 3, 99]))
    def shut_what_is_no_side(self, each: Twins, how: int) -> None:
        self._both(each, "shutdown", how)

    def _joined(self, kind: tuple[int, int]) -> tuple[Twins, Twins]:
        listener, near = self.construct(kind), self.construct(kind)
        self.bind(listener)
        self.listen(listener)
        near.connect(listener.local)
        far = listener.accept()
        assert far is not None
        return near, self._added(far)

    def _both(self, each: Twins, method: str, *arguments: Any) -> None:
        """Call one method of both; what is refused is refused with the same exception."""
        self._agree_outcome(
            lambda: getattr(each.ours, method)(*arguments),
            lambda: getattr(each.theirs, method)(*arguments),
            method,
            arguments,
        )

    @staticmethod
    def _agree_outcome(ours: Callable[[], Any], theirs: Callable[[], Any], *about: Any) -> None:
        left, right = refusal(ours), refusal(theirs)
        assert left == right, (*about, left, right)

    @staticmethod
    def _still(each: Twins) -> None:
        """Let neither wait, as everywhere in the model."""
        each.ours.settimeout(0)
        each.theirs.settimeout(0)


def refusal(call: Callable[[], Any]) -> Any:
    """Say how a call was refused; what it gave otherwise is compared elsewhere."""
    try:
        kind, value = outcome(call)
    except (TypeError, ValueError, OverflowError) as error:
        return type(error), str(error)
    return (kind, value) if kind == "error" else kind
