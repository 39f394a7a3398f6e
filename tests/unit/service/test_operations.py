"""What is done to one socket: each address is tried, and the first refusal is the one told."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core import address_text
from socketd.core.address import UNSPEC, Service
from socketd.core.receiving import Wanted
from socketd.core.resolve import Question
from socketd.errors import (
    InvalidRequestError,
    KernelRefusedError,
    ResolveError,
    SocketdError,
    UnknownSocketError,
)
from socketd.service import Limits
from socketd.service.attaching import Message
from tests.held import LOOPBACK, FixedResolver, Held, specification, where

if TYPE_CHECKING:
    from pathlib import Path


def test_bind_and_connect_of_another_family_are_refused(held: Held):
    entry = held.tcp()
    for refused in (
        held.service.operations.bind,
        lambda c, r, a: held.service.operations.connect(c, r, a, 1),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            refused(held.call(), entry.reference, address_text.parse("[::1]:80"))
        assert caught.value.symbol == "EAFNOSUPPORT"


def test_when_every_address_fails_the_first_refusal_is_told():
    held = Held(resolver=FixedResolver({"bad": ["203.0.113.1", "203.0.113.2"]}))
    with pytest.raises(KernelRefusedError) as caught:
        held.service.operations.bind(held.call(), held.tcp().reference, Service("bad", "80"))
    assert caught.value.symbol == "EADDRNOTAVAIL"
    held.service.close()


@pytest.mark.parametrize(
    "attempt",
    [
        lambda s, c, ref: s.operations.bind(c, ref, Service("127.0.0.1", "0")),
        lambda s, c, ref: s.operations.connect(c, ref, Service("127.0.0.1", "1"), 1),
        lambda s, c, ref: s.transfers.send(c, ref, [Message(b"x", Service("127.0.0.1", "1"))], 0, 1),
    ],
)
def test_a_socket_closed_while_its_address_is_looked_up_is_unknown(attempt: Any):
    class ClosingResolver(FixedResolver):
        def __call__(self, *question: Any) -> Any:
            held.table.close(entry)
            return super().__call__(*question)

    held = Held(resolver=ClosingResolver({}))
    entry = held.make(specification(kind=socket.SOCK_DGRAM))
    with pytest.raises(SocketdError) as caught:
        attempt(held.service, held.call(), entry.reference)
    assert caught.value.symbol == "EBADF"
    assert len(held.table) == 0


def test_bind_goes_on_to_the_next_address():
    held = Held(resolver=FixedResolver({"two": ["203.0.113.1", "127.0.0.1"]}))
    entry = held.tcp()
    held.service.operations.bind(held.call(), entry.reference, Service("two", "0"))
    assert entry.sock.getsockname()[0] == "127.0.0.1"
    held.service.close()


def test_a_socket_file_bound_later_goes_with_its_socket_too(held: Held, tmp_path: Path):
    entry = held.make(specification(socket.AF_UNIX))
    path = tmp_path / "x.sock"
    held.service.operations.bind(held.call(), entry.reference, address_text.parse(str(path)))
    assert path.is_socket()
    held.service.sockets.close(held.call(), entry.reference, shut_duplicates=False)
    assert not path.exists()


def test_bind_listen_accept_connect_shutdown_by_name(held: Held):
    operations, call = held.service.operations, held.call()
    listener, near = held.tcp(name="server"), held.tcp(name="client")
    operations.bind(call, "server", address_text.parse(LOOPBACK))
    operations.listen(call, "server", 5)
    operations.connect(call, "client", address_text.parse(where(listener)), 5)
    (far,) = held.service.sockets.accept(call, "server", 5, 1, "session")
    operations.shutdown(call, "client", socket.SHUT_WR)
    assert held.service.transfers.receive(call, "session", Wanted(10), 5)[0].is_eof
    assert far.sock.getpeername() == near.sock.getsockname()


def test_a_datagram_association_is_dissolved(held: Held):
    entry, other = held.udp(), held.udp()
    entry.sock.connect(other.sock.getsockname())
    held.service.operations.connect(held.call(), entry.reference, UNSPEC, 1)
    with pytest.raises(OSError, match="not connected"):
        entry.sock.getpeername()


def test_an_option_that_can_only_be_written_has_no_value(held: Held):
    entry = held.udp()
    set_option = held.service.operations.set_option
    assert set_option(held.call(), entry.reference, "SO_KEEPALIVE", value=True).value is True
    for name in ("SO_TYPE", "SO_RCVBUF"):
        assert held.service.operations.get_option(held.call(), entry.reference, name, None).value


def test_options_are_listed_for_every_kind_of_socket(held: Held):
    kinds = [(socket.AF_INET, 1), (socket.AF_INET6, 2), (socket.AF_UNIX, 5), (socket.AF_NETLINK, 3)]
    for family, kind in kinds:
        entry = held.make(specification(family, kind))
        found = held.service.operations.list_options(held.call(), entry.reference)
        values = {reading.option.name: reading.value for reading in found}
        assert (values["SO_DOMAIN"], values["SO_TYPE"]) == (family, kind)


def test_more_than_an_answer_may_hold_is_refused():
    held = Held(limits=Limits(max_recv_bytes=10, max_count=1))
    entry = held.udp()
    with pytest.raises(InvalidRequestError) as size:
        held.service.transfers.receive(held.call(), entry.reference, Wanted(11), 0)
    with pytest.raises(InvalidRequestError) as count:
        held.service.transfers.poll(held.call(), [(entry.reference, 1)] * 2, 0)
    assert (size.value.member, count.value.member) == ("size", "sockets")
    held.service.close()


def test_a_message_goes_to_a_name(held: Held):
    entry, other = held.udp(), held.udp()
    to = Service("localhost", str(other.sock.getsockname()[1]))
    sent = held.service.transfers.send(held.call(), entry.reference, [Message(b"hello", to)], 0, 1)
    assert sent.is_complete
    got, _ = held.service.transfers.receive(held.call(), other.reference, Wanted(100), 5)
    assert got.messages[0].data == b"hello"


def test_poll_gives_back_the_entries_and_their_places(held: Held):
    near, far = held.pair()
    far.sock.send(b"x")
    wanted = [(far.reference, 1), (near.reference, 1)]
    assert held.service.transfers.poll(held.call(), wanted, 5) == [(1, near, 1)]


def test_the_host_resolves_and_describes_itself(held: Held):
    with pytest.raises(ResolveError):
        held.service.host.addrinfo(held.call(), Question("127.0.0.1", "nosuchservice"))
    assert held.service.host.addrinfo(held.call(), Question("127.0.0.1", "80"))
    assert held.service.host.process().pid > 0


def test_closing_the_service_closes_every_socket():
    held = Held()
    entry = held.listener()
    held.service.close()
    assert entry.closed
    with pytest.raises(UnknownSocketError):
        held.table.find(entry.fd)
