"""What a policy answers: who is meant, what is granted, and above all what is not."""

from __future__ import annotations

import socket

import pytest

from socketd.access.caller import Owner
from socketd.access.questions import RIGHTS, Act, Bind, Connect, Create, See, SetOption, UseName
from socketd.access.rules import FAR_REACHING, Quota
from socketd.core import constants
from socketd.core.address import UNSPEC
from socketd.core.options import OPTIONS
from tests.policies import (
    ANN,
    BOB,
    DAEMON,
    allows,
    certificate,
    for_ann,
    policy,
    token,
    user,
    where,
)

QUESTIONS = [
    Create(int(socket.AF_INET), int(socket.SOCK_STREAM)),
    Bind(where("127.0.0.1:8080")),
    Connect(where("127.0.0.1:8080")),
    SetOption("SO_KEEPALIVE"),
    UseName("web"),
    See(Owner(BOB)),
    *(Act(right) for right in RIGHTS),
]
ANYBODY = [user(ANN), user(0), user(DAEMON), token("ci"), certificate("web1"), user(65534)]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("caller", ANYBODY, ids=lambda caller: str(caller.owner))
def test_what_no_rule_grants_is_refused_to_root_too(caller, question):
    for text in ("", '[[rule]]\nname = "empty"\nanyone = true\n'):
        decision = policy(text).decide(caller, question)
        assert (decision.is_allowed, decision.rule) == (False, None)
        assert str(question) in decision.reason


@pytest.mark.parametrize(
    ("matcher", "who", "others"),
    [
        ('user = "ann"', [user(ANN)], [user(BOB), token("ann"), certificate("ann"), user(BOB, ANN)]),
        ("uid = 1000", [user(ANN)], [user(BOB), user(0)]),
        ("uid = [1000, 1001]", [user(ANN), user(BOB)], [user(0), token("1000")]),
        ('group = "web"', [user(ANN, 2000), user(2000)], [user(ANN), token("web"), user(ANN, 2001)]),
        ("gid = 2000", [user(ANN, 2000)], [user(ANN, 200)]),
        ('token = "ci"', [token("ci")], [token("CI"), token("ci2"), certificate("ci"), user(ANN)]),
        ('token = "*"', [token("ci"), token("x")], [certificate("ci"), user(0)]),
        ('certificate = "web1"', [certificate("web1")], [token("web1"), certificate("web"), user(0)]),
        ("daemon_user = true", [user(DAEMON)], [user(0), user(ANN, DAEMON), token("socketd")]),
        ("anyone = true", ANYBODY, []),
        ('user = "ann"\ntoken = "ci"', [user(ANN), token("ci")], [user(BOB), token("cd")]),
    ],
)
def test_a_rule_is_for_those_whom_it_names(matcher, who, others):
    asked = policy(f'[[rule]]\nname = "r"\ntake = true\n{matcher}\n')
    assert [allows(asked, caller, Act("take")) for caller in who] == [True] * len(who)
    assert [allows(asked, caller, Act("take")) for caller in others] == [False] * len(others)


CREATE = [
    ("", "inet", "stream", 0, False),
    ('families = "inet"', "inet", "stream", 0, False),
    ('types = "stream"', "inet", "stream", 0, False),
    ('families = "inet"\ntypes = "stream"', "inet", "stream", 0, True),
    ('families = "inet"\ntypes = "stream"', "inet", "stream", "tcp", True),
    ('families = "inet"\ntypes = "stream"', "inet", "stream", "mptcp", True),
    ('families = "inet"\ntypes = "stream"', "inet", "stream", "sctp", False),
    ('families = "inet"\ntypes = "stream"', "inet", "stream", 200, False),
    ('families = "inet"\ntypes = "stream"', "inet6", "stream", 0, False),
    ('families = "inet"\ntypes = "stream"', "inet", "dgram", 0, False),
    ('families = "inet"\ntypes = ["stream", "dgram"]', "inet", "dgram", "udp", True),
    ('families = "inet"\ntypes = ["stream", "dgram"]', "inet", "dgram", "icmp", False),
    ('families = "inet"\ntypes = "dgram"\nprotocols = "icmp"', "inet", "dgram", "icmp", True),
    ('families = "*"\ntypes = "*"', "inet", "raw", "icmp", False),
    ('families = "*"\ntypes = "*"', "inet", "raw", 255, False),
    ('families = "*"\ntypes = "*"', "packet", "raw", 0, False),
    ('families = "*"\ntypes = "*"', "packet", "dgram", 3, False),
    ('families = "*"\ntypes = "*"', "netlink", "raw", 0, False),
    ('families = "*"\ntypes = "*"', "alg", "seqpacket", 0, False),
    ('families = "*"\ntypes = "*"', "unix", "seqpacket", 0, True),
    ('families = "*"\ntypes = "*"', "vsock", "stream", 0, True),
    ('families = "*"\ntypes = "*"\nprotocols = "icmp"', "inet", "raw", "icmp", True),
    ('families = "*"\ntypes = "*"\nprotocols = "icmp"', "inet", "raw", "tcp", False),
    ('families = "netlink"\ntypes = "raw"\nprotocols = "inet_diag"', "netlink", "raw", "sock_diag", True),
    ('families = "netlink"\ntypes = "raw"\nprotocols = "route"', "netlink", "raw", "audit", False),
    ('families = "*"\ntypes = "stream"\nprotocols = "*"', "inet", "raw", "tcp", False),
    ('families = "*"\ntypes = "*"\nprotocols = "*"', "inet", "raw", 255, True),
]


@pytest.mark.parametrize(("grants", "family", "kind", "protocol", "is_allowed"), CREATE)
def test_kinds_of_sockets(grants, family, kind, protocol, is_allowed):
    number, type_ = constants.family(family), constants.socket_type(kind)
    question = Create(number, type_, constants.protocol(protocol, number, type_))
    assert allows(for_ann(grants), user(ANN), question) is is_allowed


BIND = [
    ("", "127.0.0.1:8080", False, False),
    ('connect = "*"', "127.0.0.1:8080", False, False),
    ('bind = "127.0.0.0/8:1024-"', "127.0.0.1:8080", False, True),
    ('bind = "127.0.0.0/8:1024-"', "127.0.0.1:80", False, False),
    ('bind = "127.0.0.0/8:1024-"', "0.0.0.0:8080", False, False),
    ('bind = "[::/0]:80"', "[::]:80", False, True),
    ('bind = "[::/0]:80"', "[::]:80", True, False),  # it would have 0.0.0.0:80 as well
    ('bind = ["[::/0]:80", "0.0.0.0:80"]', "[::]:80", True, True),
    ('bind = ["[::/0]:80", "0.0.0.0:81"]', "[::]:80", True, False),
    ('bind = "*:80"', "[::]:80", True, True),
    ('bind = "[::/0]:80"', "[::1]:80", True, True),
    ('bind = "[::/0]:80"', "[::ffff:0.0.0.0]:80", True, False),
    ('bind = "0.0.0.0/0:80"', "[::ffff:127.0.0.1]:80", True, True),
    ('bind = "unix:/srv/{user}/"', "/srv/ann/x", False, True),
    ('bind = "unix:/srv/{user}/"', "/srv/bob/x", False, False),
    ('bind = "unix:/srv/{user}/"', "/srv/ann/../bob/x", False, False),
]


@pytest.mark.parametrize(("grants", "text", "is_dual", "is_allowed"), BIND)
def test_local_addresses(grants, text, is_dual, is_allowed):
    assert allows(for_ann(grants), user(ANN), Bind(where(text), is_dual)) is is_allowed


CONNECT = [
    ("", "1.1.1.1:443", False),
    ('bind = "*"', "1.1.1.1:443", False),
    ('connect = "*:443"', "1.1.1.1:443", True),
    ('connect = "*:443"', "1.1.1.1:80", False),
    ('connect = "*:443"', "169.254.169.254:443", False),
    ('connect = "*:443"', "[2002:a9fe:a9fe::]:443", False),  # 6to4 of that
    ('connect = "*:443"', "[64:ff9b::a9fe:a9fe]:443", False),
    ('connect = "*:443"', "[64:ff9b::7f00:1]:443", False),
    ('connect = "*:443"', "[2001::80ff:fffe]:443", False),  # Teredo of 127.0.0.1
    ('connect = "*:443"', "[64:ff9b::101:101]:443", True),
    ('connect = "[::/0]:443"', "[64:ff9b::101:101]:443", False),  # the IPv4 address is not granted
    ('connect = "0.0.0.0/0:443"', "[64:ff9b::101:101]:443", False),  # the IPv6 address is not granted
    ('connect = ["[::/0]:443", "1.1.1.1:443"]', "[64:ff9b::101:101]:443", True),
    ('connect = ["[::/0]:443", "1.1.1.1:80"]', "[64:ff9b::101:101]:443", False),
    ('connect = ["[64:ff9b:1::/48]:443"]', "[64:ff9b:1::101:101]:443", True),
    ('connect = "*:443"', "[64:ff9b:1::101:101]:443", False),
    ('connect = ["*:80", "169.254.0.0/16:80"]', "[64:ff9b::a9fe:a9fe]:80", True),
    ('connect = "*"', "169.254.169.254:80", True),
    ('connect = "*"', "[64:ff9b::7f00:1]:80", True),
    ('connect = "127.0.0.1:80"', "0.0.0.0:80", True),
    ('connect = "0.0.0.0:80"', "0.0.0.0:80", False),
    ('connect = "unix:@{user}.*"', "@ann.db", True),
    ('connect = "unix:@{user}.*"', "@bob.db", False),
]


@pytest.mark.parametrize(("grants", "text", "is_allowed"), CONNECT)
def test_remote_addresses(grants, text, is_allowed):
    assert allows(for_ann(grants), user(ANN), Connect(where(text))) is is_allowed


def test_an_association_is_ended_by_anybody():
    assert allows(policy(""), user(ANN), Connect(UNSPEC))
    assert not allows(policy(""), user(ANN), Bind(UNSPEC))


@pytest.mark.parametrize("name", sorted(FAR_REACHING))
def test_far_reaching_options_have_to_be_named(name):
    assert name in {option.name for option in OPTIONS}
    for glob in ("?*", f"{name[:-1]}?", f"{name}*", f"[{name[0]}]{name[1:]}"):
        assert not allows(for_ann(f'options = "{glob}"'), user(ANN), SetOption(name))
    for granted in (name, "*"):
        assert allows(for_ann(f'options = "{granted}"'), user(ANN), SetOption(name))


@pytest.mark.parametrize(
    ("granted", "name", "is_allowed"),
    [
        ("SO_*", "SO_KEEPALIVE", True),
        ("so_*", "SO_KEEPALIVE", True),
        ("SO_*", "TCP_NODELAY", False),
        ("nodelay", "TCP_NODELAY", True),
        ("1:9", "SO_KEEPALIVE", True),
        ("1:36", "SO_MARK", True),
        ("TCP_NODELAY", "TCP_NODELAYED", False),
        ("1:12345", "1:12345", True),
        ("?*", "1:12345", False),
        ("1:12345", "1:12346", False),
        ("*", "1:12345", True),
    ],
)
def test_options(granted, name, is_allowed):
    assert allows(for_ann(f'options = "{granted}"'), user(ANN), SetOption(name)) is is_allowed


@pytest.mark.parametrize(
    ("granted", "caller", "name", "is_allowed"),
    [
        ("{user}.*", user(ANN), "ann.web", True),
        ("{user}.*", user(ANN), "bob.web", False),
        ("{user}.*", user(ANN), "ann", False),
        ("{user}.*", user(4000), ".web", False),  # a number without a name
        ("{user}.*", user(4000), "None.web", False),
        ("{user}.*", token("ci"), "ci.web", True),
        ("{user}.*", token("*"), "ann.web", False),
        ("{user}.*", certificate("web1"), "web1.x", True),
        ("web", user(ANN), "web", True),
        ("web", user(ANN), "Web", False),
        ("web", user(ANN), "web.0", False),
        ("web*", user(ANN), "web.0", True),
        ("*", user(ANN), "anything", True),
    ],
)
def test_names(granted, caller, name, is_allowed):
    asked = policy(f'[[rule]]\nname = "r"\nanyone = true\nnames = "{granted}"\n')
    assert allows(asked, caller, UseName(name)) is is_allowed


@pytest.mark.parametrize(
    ("granted", "owner", "is_allowed"),
    [
        ("own", Owner(BOB), False),
        ("all", Owner(BOB), True),
        ("all", Owner(token="ci"), True),
        ("uid:1001", Owner(BOB), True),
        ("user:bob", Owner(BOB), True),
        ("user:bob", Owner(0), False),
        ("uid:1001", Owner(token="1001"), False),
        ("token:ci", Owner(token="ci"), True),
        ("token:ci", Owner(certificate="ci"), False),
        ("certificate:ci", Owner(token="ci"), False),
        ("token:all", Owner(BOB), False),
        ("own", Owner(ANN), True),
    ],
)
def test_others_sockets(granted, owner, is_allowed):
    assert allows(for_ann(f'see = "{granted}"'), user(ANN), See(owner)) is is_allowed


def test_ones_own_sockets_are_seen_without_any_rule():
    for caller in ANYBODY:
        assert allows(policy(""), caller, See(caller.owner))
        assert not allows(policy(""), caller, See(Owner(4321)))


@pytest.mark.parametrize("right", RIGHTS)
def test_a_right_is_given_by_its_own_word_only(right):
    others = "\n".join(f"{each} = true" for each in RIGHTS if each != right)
    assert not allows(for_ann(others), user(ANN), Act(right))
    assert not allows(for_ann(f"{right} = false"), user(ANN), Act(right))
    assert allows(for_ann(f"{right} = true"), user(ANN), Act(right))


def test_rules_add_up_and_the_one_that_grants_is_named():
    asked = policy(
        '[[rule]]\nname = "a"\nuid = 1000\nbind = "127.0.0.1:80"\nquota = { sockets = 5 }\n'
        '[[rule]]\nname = "b"\nanyone = true\nbind = "127.0.0.1:81"\nquota = { sockets = 9, waits = 2 }\n'
    )
    assert asked.decide(user(ANN), Bind(where("127.0.0.1:80"))).rule == "a"
    assert asked.decide(user(ANN), Bind(where("127.0.0.1:81"))).rule == "b"
    assert asked.decide(user(BOB), Bind(where("127.0.0.1:80"))).reason == (
        "no rule that is for you ('b') lets you bind 127.0.0.1:80"
    )
    assert asked.grants(user(ANN)).quota == Quota(sockets=9)  # "a" does not bound waits
    assert asked.grants(user(BOB)).quota == Quota(sockets=9, waits=2)
    assert [rule.words["bind"] for rule in asked.grants(user(ANN)).rules] == ["127.0.0.1:80", "127.0.0.1:81"]


def test_no_two_rules_together_grant_what_neither_does():
    asked = policy(
        '[[rule]]\nname = "a"\nanyone = true\nfamilies = "inet"\ntypes = "dgram"\nbind = "[::/0]:80"\n'
        '[[rule]]\nname = "b"\nanyone = true\nfamilies = "inet6"\ntypes = "stream"\nbind = "0.0.0.0:80"\n'
    )
    assert not allows(asked, user(ANN), Create(int(socket.AF_INET), int(socket.SOCK_STREAM)))
    assert not allows(asked, user(ANN), Bind(where("[::]:80"), is_dual=True))
