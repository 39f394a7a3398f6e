"""What the policy does not grant is refused before anything is done, and nothing of it is left."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import address_text
from socketd.errors import NotPermittedError, ResolveError
from socketd.service.guard import Fixed
from tests.held import ANN, BOB, Held, specification
from tests.policies import policy
from tests.unit.service.asked import (
    bind,
    connect,
    ensured,
    give,
    give_from,
    listen,
    look_up,
    made_by,
    many,
    on_own,
    option,
    pair,
    send,
    seqpacket_pair,
    take,
)
from tests.unit.service.kernel_state import kernel_state
from tests.unit.service.narrow_policy import held

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["held"]  # a fixture

REFUSED: list[tuple[str, Callable[[Held, Any], object]]] = [
    ("create a socket inet raw", made_by(kind=socket.SOCK_RAW)),
    ("create a socket netlink raw", made_by(family=socket.AF_NETLINK, kind=socket.SOCK_RAW)),
    ("create a socket inet stream sctp", made_by(protocol=socket.IPPROTO_SCTP)),
    ("set SO_MARK", made_by(options={"SO_MARK": 1})),
    ("set SO_REUSEPORT", made_by(bind="127.0.0.1:0", options={"SO_REUSEPORT": 1})),
    ("use the name 'bob.x'", made_by(name="bob.x")),
    ("use the name 'ann'", made_by(name="ann")),
    ("use the name 'bob.0'", made_by(name="bob.0")),
    ("bind 127.0.0.1:80", made_by(bind="127.0.0.1:80")),
    ("bind 0.0.0.0:8080", made_by(bind="0.0.0.0:8080")),
    ("bind [::]:8080", made_by(bind="[::]:8080")),
    ("bind [::1]:8080", made_by(bind="[::1]:8080")),
    ("bind there:8080", made_by(bind="there:8080")),
    ("bind /tmp/x.sock", made_by(bind="/tmp/x.sock")),
    ("bind @ann.x", made_by(bind="@ann.x")),
    ("bind 0.0.0.0:0", made_by(backlog=1)),
    ("bind [::]:0", made_by(family=socket.AF_INET6, backlog=1)),
    ("connect to 192.0.2.1:8080", made_by(connect="192.0.2.1:8080")),
    ("connect to 127.0.0.1:22", made_by(connect="127.0.0.1:22")),
    ("connect to 169.254.169.254:8080", made_by(connect="169.254.169.254:8080")),
    ("connect to there:8080", made_by(connect="there:8080")),
    ("connect to inner:8080", made_by(connect="inner:8080")),
    ("connect to @bob.x", made_by(connect="@bob.x")),
    ("use the name 'bob.0'", many),
    ("use the name 'bob.x'", ensured),
    ("use the name 'bob.r'", pair),
    ("create a socket unix seqpacket", seqpacket_pair),
    ("bind 127.0.0.1:80", bind("127.0.0.1:80")),
    ("bind 127.0.0.2:8080", bind("127.0.0.2:8080")),
    ("bind 0.0.0.0:0", bind("0.0.0.0:0")),
    ("connect to 127.0.0.1:22", connect("127.0.0.1:22")),
    ("connect to 0.0.0.0:22", connect("0.0.0.0:22")),
    ("connect to there:9", connect("there:9")),
    ("connect to 192.0.2.1:53", send("192.0.2.1:53")),
    ("connect to 127.0.0.1:53", send("127.0.0.1:53")),
    ("set SO_MARK", option("SO_MARK")),
    ("set SO_RCVBUF", option("SO_RCVBUF")),
    ("set SO_BINDTODEVICE", option("SO_BINDTODEVICE")),
    ("bind 0.0.0.0:0", on_own(listen)),
    ("take descriptors", on_own(take)),
    ("give descriptors", give),
    ("have descriptors taken from other processes", give_from),
    ("have names looked up", look_up),
]


@pytest.mark.parametrize(
    ("words", "act"), REFUSED, ids=[f"{n}-{words}" for n, (words, _) in enumerate(REFUSED)]
)
def test_what_is_not_granted_is_refused_and_nothing_is_left(held: Held, words: str, act: Any):
    wanted = getattr(act, "wanted", None)
    if wanted is not None:
        held.make(specification(**wanted), uid=ANN, name="ann.mine")
    before, done = kernel_state(), dict(held.service.journal.done)
    with pytest.raises(NotPermittedError) as caught:
        act(held, held.call(ANN))
    assert caught.value.symbol == "EACCES"
    assert caught.value.hint is not None
    assert "/v1/caller" in caught.value.hint
    who = BOB if act is look_up else ANN
    assert str(caught.value) == f"the policy does not let uid {who} {words}"
    assert kernel_state() == before
    assert dict(held.service.journal.done) == done


@pytest.mark.parametrize(
    "act", [act for _, act in REFUSED if not hasattr(act, "wanted") and act is not look_up]
)
def test_who_has_no_rule_may_nothing(held: Held, act: Any):
    with pytest.raises(NotPermittedError):
        act(held, held.call(BOB))
    assert len(held.table) == 0


@pytest.mark.parametrize(
    "act",
    [
        made_by(),
        made_by(name="ann.x", bind="127.0.0.1:0", backlog=1, options={"SO_REUSEADDR": 1}),
        made_by(bind="here:0", backlog=1),
        made_by(kind=socket.SOCK_DGRAM, connect="both:5353"),
        bind("127.0.0.1:0"),
        send("here:5353"),
        option("SO_KEEPALIVE"),
    ],
)
def test_what_is_granted_is_done(held: Held, act: Any):
    wanted = getattr(act, "wanted", None)
    if wanted is not None:
        held.make(specification(**wanted), uid=ANN, name="ann.mine")
    act(held, held.call(ANN))


def test_addresses_of_a_name_that_are_not_granted_are_left_out(held: Held):
    entry = held.make(specification(kind=socket.SOCK_DGRAM, connect="both:5353"), uid=ANN)
    assert entry.sock.getpeername() == ("127.0.0.1", 5353)


def test_a_refused_name_is_not_told_from_its_address(held: Held):
    with pytest.raises(NotPermittedError) as caught:
        held.make(specification(connect="inner:8080"), uid=ANN)
    assert "127.0.0.9" not in str(caught.value)


def test_who_may_go_nowhere_learns_of_no_name_whether_it_is_known(held: Held):
    said = set()
    for name in ("there", "no.such.name.invalid"):
        with pytest.raises(NotPermittedError) as caught:
            held.make(specification(connect=f"{name}:80"), uid=BOB)
        said.add(str(caught.value))
    assert len(said) == 1
    with pytest.raises(ResolveError):
        held.make(specification(connect="no.such.name.invalid:8080"), uid=ANN)


def test_a_dual_socket_needs_the_grant_for_both():
    held = Held(
        policies=Fixed(
            policy(f'[[rule]]\nname="a"\nuid={ANN}\nfamilies="*"\ntypes="*"\nbind="[::]:*"\noptions="*"')
        )
    )
    try:
        with pytest.raises(NotPermittedError):
            held.make(specification(bind="[::]:0"), uid=ANN)
        held.make(specification(bind="[::]:0", options={"IPV6_V6ONLY": True}), uid=ANN)
        plain = held.make(specification(socket.AF_INET6), uid=ANN)
        with pytest.raises(NotPermittedError):
            held.service.operations.bind(held.call(ANN), plain.reference, address_text.parse("[::]:0"))
        with pytest.raises(NotPermittedError):
            held.service.operations.listen(held.call(ANN), plain.reference, 1)
    finally:
        held.service.close()
