"""Random calls, legal and not, on a socket of the daemon and on one of Python's: both answer the same."""

from __future__ import annotations

import itertools
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)

from socketd_client import Client
from tests.soak import IS_SOAK
from tests.system.twins import INET, Twins, agree

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
BACKLOG = 128  # more than one run connects: a full queue would block
KINDS = (
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET6, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM),
    (socket.AF_INET6, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
    (socket.AF_UNIX, socket.SOCK_DGRAM),
    (socket.AF_UNIX, socket.SOCK_SEQPACKET),
)
LOOPBACK = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}
FLAGS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, socket.SO_BROADCAST),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    (socket.SOL_SOCKET, socket.SO_RCVBUF),
    (socket.SOL_SOCKET, socket.SO_RCVLOWAT),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_IP, socket.IP_TTL),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    (socket.SOL_SOCKET, 9999),
)
FACTS = (
    (1, socket.SO_TYPE),
    (1, socket.SO_DOMAIN),
    (1, socket.SO_PROTOCOL),
    (1, socket.SO_ACCEPTCONN),
    (1, socket.SO_ERROR),
)
EVENTS = select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLPRI


class Lives(RuleBasedStateMachine):
    """Twins are made and led through calls; each call is compared when it is made."""

    client: Client
    names = itertools.count()
    twins = Bundle("twins")

    def __init__(self) -> None:
        super().__init__()
        self.living: list[Twins] = []

    @rule(target=twins, kind=st.sampled_from(KINDS))
    def create(self, kind: tuple[int, int]) -> Twins:
        return self._added(Twins.create(self.client, *kind))

    @rule(target=twins, kind=st.sampled_from(KINDS[4:]))
    def pair(self, kind: tuple[int, int]) -> Any:
        ours, theirs = self.client.sockets.pair(*kind), socket.socketpair(*kind)
        made = [
            self._added(Twins(left, right, self.client)) for left, right in zip(ours, theirs, strict=True)
        ]
        for each in made:
            each.ours.settimeout(0)
            each.theirs.settimeout(0)
        return multiple(*made)

    @rule(target=twins, listener_kind=st.sampled_from([KINDS[0], KINDS[1], KINDS[4], KINDS[6]]))
    def connection(self, listener_kind: tuple[int, int]) -> Any:
        listener, near = self.create(listener_kind), self.create(listener_kind)
        self.bind(listener)
        self.listen(listener)
        near.connect(listener.local)
        near.settle()
        return multiple(listener, near, self.accept(listener))

    @rule(each=twins)
    def bind(self, each: Twins) -> None:
        address = LOOPBACK.get(each.family)
        names = (address, address) if address else self._unique()
        agree(lambda: each.ours.bind(names[0]), lambda: each.theirs.bind(names[1]))
        each.settle()

    @rule(each=twins, other=twins)
    def bind_where_another_is(self, each: Twins, other: Twins) -> None:
        if self._can_address(each, other):
            agree(lambda: each.ours.bind(other.local[0]), lambda: each.theirs.bind(other.local[1]))
            each.settle()

    @rule(each=twins)
    def listen(self, each: Twins) -> None:
        each.agree("listen", BACKLOG)
        each.settle()

    @rule(each=twins, other=twins)
    def connect(self, each: Twins, other: Twins) -> None:
        if self._can_address(each, other):
            each.connect(other.local)
            each.settle()

    @rule(target=twins, each=twins)
    def accept(self, each: Twins) -> Any:
        accepted = each.accept()
        return multiple() if accepted is None else self._added(accepted)

    @rule(each=twins, data=st.binary(max_size=64))
    def send(self, each: Twins, data: bytes) -> None:
        each.agree_equal("send", data)
        each.settle()

    @rule(each=twins, other=twins, data=st.binary(max_size=64))
    def sendto(self, each: Twins, other: Twins, data: bytes) -> None:
        if self._can_address(each, other):
            agree(
                lambda: each.ours.sendto(data, other.local[0]),
                lambda: each.theirs.sendto(data, other.local[1]),
            )
            each.settle()

    @rule(each=twins, size=st.sampled_from([1, 5, 4096]), flags=st.sampled_from([0, 0, socket.MSG_PEEK]))
    def receive(self, each: Twins, size: int, flags: int) -> None:
        each.receive(size, flags)

    @rule(each=twins, how=st.sampled_from([socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR]))
    def shutdown(self, each: Twins, how: int) -> None:
        each.agree("shutdown", how)

    @rule(each=twins, option=st.sampled_from(FLAGS), value=st.sampled_from([0, 1, 7, 65536, -1]))
    def set_option(self, each: Twins, option: tuple[int, int], value: int) -> None:
        each.agree("setsockopt", *option, value)
        each.agree_equal("getsockopt", *option)

    @rule(each=twins, option=st.sampled_from(FACTS + FLAGS))
    def get_option(self, each: Twins, option: tuple[int, int]) -> None:
        each.agree_equal("getsockopt", *option)

    @rule(each=twins)
    def ask_who(self, each: Twins) -> None:
        each.settle()
        each.agree_on_peer(self.living)

    @rule(each=twins, events=st.sampled_from([EVENTS, select.POLLIN, select.POLLOUT]))
    def poll(self, each: Twins, events: int) -> None:
        each.agree_on_readiness(events)

    @rule(each=consumes(twins))
    def close(self, each: Twins) -> None:
        self.living.remove(each)
        each.close()

    def teardown(self) -> None:
        for each in self.living:
            each.close()

    def _added(self, made: Twins) -> Twins:
        self.living.append(made)
        made.settle()
        return made

    def _unique(self) -> tuple[bytes, bytes]:
        nth = next(self.names)
        return tuple(f"\0model-{os.getpid()}-{nth}-{side}".encode() for side in "ot")

    def _can_address(self, each: Twins, other: Twins) -> bool:
        """Say whether the answer is the kernel's alone: a port of another protocol may be a stranger's."""
        if each.family != other.family or not self._has_port(other) or other not in self.living:
            return False
        return each.family not in INET or each.kind == other.kind

    @staticmethod
    def _has_port(other: Twins) -> bool:
        return bool(other.local[0] and (other.family not in INET or other.local[0][1]))


def test_daemon_and_plain_sockets_agree(daemon: DaemonProcess):
    before = set(daemon.descriptors())
    with Client(daemon.url) as client:

        class LivesHere(Lives):
            pass

        LivesHere.client = client
        run_state_machine_as_test(
            LivesHere,
            settings=settings(
                max_examples=1500 if IS_SOAK else 120,
                stateful_step_count=60 if IS_SOAK else 40,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    # The daemon may not have seen yet that the client's own connection has ended.
    deadline = time.monotonic() + BOUND_S
    while left := set(daemon.descriptors()) - before:
        assert time.monotonic() < deadline, left
