"""What the policy does not grant is refused before anything is done, and nothing of it is left."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core import address_text
from socketd.core.owner import Owner
from socketd.core.table import Origin
from socketd.errors import (
    KernelRefusedError,
    NotPermittedError,
    QuotaError,
    ResolveError,
    SocketdError,
    UnknownSocketError,
)
from socketd.service.attaching import Message
from socketd.service.donation import Offer
from socketd.service.guard import Fixed
from socketd.service.passing import Taking
from socketd.service.rates import Rates
from tests.held import ANN, BOB, ROOT, FixedResolver, Held, ManualClock, open_numbers, specification
from tests.policies import policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALL = (
    'see = "all"\n'
    + "".join(
        f'{grant} = "*"\n'
        for grant in ("families", "types", "protocols", "bind", "connect", "options", "names")
    )
    + "".join(f"{grant} = true\n" for grant in ("take", "give", "adopt_pid", "persist", "api"))
)
NARROW = f"""
[[rule]]
name = "ann"
uid = {ANN}
families = ["inet", "inet6", "unix"]
types = ["stream", "dgram"]
bind = ["127.0.0.1:1024-65535"]
connect = ["127.0.0.1:1024-65535", "unix:@ann.*"]
options = ["SO_KEEPALIVE", "SO_REUSEADDR"]
names = "ann.*"
quota = {{ sockets = 3, waits = 1, requests_per_s = 2, burst = 2 }}
[[rule]]
name = "root"
uid = [0]
{ALL}
"""
NAMES = FixedResolver(
    {
        "here": ["127.0.0.1"],
        "both": ["127.0.0.2", "127.0.0.1"],
        "there": ["192.0.2.1"],
        "inner": ["127.0.0.9"],
    }
)


@pytest.fixture
def held() -> Iterator[Held]:
    """A service where Ann may little, Bob nothing, and root everything."""
    made = Held(policies=Fixed(policy(NARROW)), resolver=NAMES)
    yield made
    made.service.close()


def made_by(**wanted: Any) -> Callable[[Held, Any], object]:
    name = wanted.pop("name", None)

    def act(held: Held, call: Any) -> object:
        origin = Origin(call.caller.owner, name)
        return held.service.sockets.create(call, specification(**wanted), origin, 1.0)

    return act


def many(held: Held, call: Any) -> object:
    origin = Origin(call.caller.owner, "bob")
    return held.service.sockets.create_many(call, specification(), origin, 2, 1.0)


def ensured(held: Held, call: Any) -> object:
    return held.service.sockets.ensure(call, specification(), Origin(call.caller.owner, "bob.x"), 1.0)


def pair(held: Held, call: Any) -> object:
    return held.service.sockets.pair(call, socket.AF_UNIX, socket.SOCK_STREAM, 0, ("ann.l", "bob.r"))


def seqpacket_pair(held: Held, call: Any) -> object:
    return held.service.sockets.pair(call, socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, (None, None))


def on_own(act: Callable[[Held, Any, str], object], **wanted: Any) -> Callable[[Held, Any], object]:
    """Do something to a socket that Ann has made; ``mine`` is made before the state is looked at."""

    def acting(held: Held, call: Any) -> object:
        return act(held, call, "ann.mine")

    acting.wanted = wanted  # type: ignore[attr-defined]
    return acting


def bind(to: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.bind(c, ref, address_text.parse(to)))


def connect(to: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.connect(c, ref, address_text.parse(to), 1.0))


def send(to: str) -> Callable[[Held, Any], object]:
    messages = [Message(b"x", address_text.parse("127.0.0.1:9999")), Message(b"x", address_text.parse(to))]
    return on_own(
        lambda h, c, ref: h.service.transfers.send(c, ref, messages, 0, 1.0), kind=socket.SOCK_DGRAM
    )


def option(name: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.set_option(c, ref, name, 1))


def listen(held: Held, call: Any, ref: str) -> object:
    return held.service.operations.listen(call, ref, 1)


def take(held: Held, call: Any, ref: str) -> object:
    return held.service.passing.take(call, -1, Taking((ref,), b""))


def give(held: Held, call: Any) -> object:
    return held.service.passing.donation(call, [Offer()], existing_ok=False)


def give_from(held: Held, call: Any) -> object:
    return held.service.passing.give_from(call, os.getpid(), 0, Offer())


def look_up(held: Held, call: Any) -> object:
    del call
    return held.service.guard.require_lookup(held.call(BOB).caller)


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


INODE_COLUMN = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "unix": 6, "netlink": 9}
"""Where proc_net(5) has it; other tests run in the same network namespace."""
ADDRESSES = slice(1, 4)  # local, remote, state; behind them are timers


def kernel_state() -> set[tuple[str, ...]]:
    """Everything that a call might leave behind: our descriptors, and what the kernel says of our sockets."""
    found = {(number, link_of(number)) for number in open_numbers()}
    ours = {link[8:-1] for _, link in found if link.startswith("socket:[")}
    for name, column in INODE_COLUMN.items():
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[column] in ours:
                found.add((name, words[column], *(words[6:] if name == "unix" else words[ADDRESSES])))
    return {each for each in found if each[1] != GONE}


GONE = "gone"


def link_of(number: str) -> str:
    """Where a descriptor leads; the one that listed them is closed by now."""
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return GONE


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


def test_no_more_sockets_than_the_quota(held: Held):
    made = [held.tcp(uid=ANN) for _ in range(3)]
    before = kernel_state()
    for act in (
        made_by(),
        lambda h, c: h.service.sockets.pair(c, socket.AF_UNIX, socket.SOCK_STREAM, 0, (None, None)),
    ):
        with pytest.raises(QuotaError) as caught:
            act(held, held.call(ANN))
        assert caught.value.symbol == "EDQUOT"
    assert kernel_state() == before
    held.tcp(uid=ROOT)
    held.table.close(made[0])
    held.tcp(uid=ANN)


def test_of_many_sockets_none_is_made_if_not_all_have_room(held: Held):
    with pytest.raises(QuotaError):
        held.service.sockets.create_many(held.call(ANN), specification(), Origin(Owner(ANN)), 4, 1.0)
    assert held.table.tally.of(Owner(ANN)) == 0


def test_nothing_is_accepted_that_has_no_room(held: Held):
    listener = held.listener(uid=ANN)
    held.tcp(uid=ANN)
    held.tcp(uid=ANN)
    with socket.create_connection(listener.sock.getsockname()) as near:
        with pytest.raises(QuotaError):
            held.service.sockets.accept(held.call(ANN), listener.reference, 1.0, 1, None)
        held.table.close(held.table.entries()[-1])
        (far,) = held.service.sockets.accept(held.call(ANN), listener.reference, 10.0, 1, None)
        assert far.sock.getpeername() == near.getsockname()


def test_requests_come_as_often_as_granted():
    clock = ManualClock()
    rates, quota = Rates(clock), policy(NARROW).document.rules[0].quota
    none = policy("").total
    for _ in range(2):
        rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError) as caught:
        rates.count(Owner(ANN), quota, none)
    assert caught.value.retry_after_s == 1
    rates.count(Owner(BOB), quota, none)
    clock.now += 0.5
    rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError):
        rates.count(Owner(ANN), quota, none)
    clock.now += 1e6  # no more than a burst is saved up
    for _ in range(2):
        rates.count(Owner(ANN), quota, none)
    with pytest.raises(QuotaError):
        rates.count(Owner(ANN), quota, none)


def test_requests_of_all_together_are_bounded():
    rates, total = Rates(ManualClock()), policy("[total]\nrequests_per_s = 1").total
    none = policy("").total
    rates.count(Owner(ANN), none, total)
    with pytest.raises(QuotaError):
        rates.count(Owner(BOB), none, total)


def test_no_more_calls_wait_than_the_quota(held: Held):
    caller = held.call(ANN).caller
    waiter = held.service.guard.waiter(caller, held.waiter)
    with waiter.pause():
        assert held.service.guard.used(caller.owner)["waits"] == 1
        with pytest.raises(QuotaError), held.service.guard.waiter(caller, held.waiter).pause():
            pass
        with held.service.guard.waiter(held.call(ROOT).caller, held.waiter).pause():
            pass
    assert held.service.guard.used(caller.owner)["waits"] == 0


def test_the_daemons_own_processes_are_not_copied_from():
    held = Held(policies=Fixed(policy(NARROW)))
    try:
        with pytest.raises(KernelRefusedError):
            held.service.passing.give_from(held.call(ROOT), 2**22 + 1, 0, Offer())
    finally:
        held.service.close()


def test_who_has_a_port_is_told_to_those_only_who_see_all(held: Held):
    taken = held.listener(uid=ROOT)
    where = address_text.text(address_text_of(taken))
    told = {}
    for uid in (ANN, ROOT):
        with pytest.raises(KernelRefusedError) as caught:
            held.make(specification(bind=where), uid=uid)
        told[uid] = str(caught.value.hint)
    assert "inode" in told[ROOT]
    assert "inode" not in told[ANN]
    assert "uid" not in told[ANN]


def address_text_of(entry: Any) -> Any:
    host, port = entry.sock.getsockname()
    return address_text.parse(f"{host}:{port}")


def test_anothers_socket_is_missing_also_to_who_may_everything_else(held: Held):
    theirs = held.tcp(uid=ROOT)
    for refer in (theirs.reference, "64"):
        with pytest.raises(UnknownSocketError) as caught:
            held.service.operations.bind(held.call(ANN), refer, address_text.parse("0.0.0.0:1"))
        assert str(caught.value) == f"no held socket {refer!r}"


def test_a_narrower_policy_is_in_force_for_sockets_that_are_there():
    class Replaceable:
        policy = policy(NARROW)

    source = Replaceable()
    held = Held(policies=source)
    try:
        entry = held.tcp(uid=ANN)
        source.policy = policy("")
        with pytest.raises(SocketdError):
            held.service.operations.bind(held.call(ANN), entry.reference, address_text.parse("127.0.0.1:0"))
        assert held.service.sockets.get(held.call(ANN), entry.reference) is entry
    finally:
        held.service.close()
