"""What the policy that socketd comes with lets whom do."""

from __future__ import annotations

import socket

import pytest

from socketd.access.caller import Owner
from socketd.access.policy import Policy
from socketd.access.policy_file import built_in_text, parse
from socketd.access.questions import Act, Bind, Connect, Create, See, SetOption, UseName
from socketd.access.rules import Quota
from tests.policies import (
    ANN,
    BOB,
    DAEMON,
    GROUPS,
    KnownPeople,
    allows,
    certificate,
    name_of,
    token,
    user,
    where,
)

BUILT_IN = Policy(parse(built_in_text(), "built-in", KnownPeople()), daemon_uid=DAEMON, name_of=name_of)
MEMBER = user(ANN, GROUPS["socketd"])
MEMBERS_MAY = [
    Create(int(socket.AF_INET), int(socket.SOCK_STREAM)),
    Create(int(socket.AF_UNIX), int(socket.SOCK_SEQPACKET)),
    Bind(where("127.0.0.1:0")),
    Bind(where("[::1]:8080"), is_dual=True),
    Bind(where("/run/socketd/sockets/ann/web")),
    Bind(where("@ann.web")),
    Connect(where("127.0.0.1:8080")),
    SetOption("SO_REUSEADDR"),
    SetOption("TCP_NODELAY"),
    UseName("web"),
    Act("take"),
    Act("give"),
]
MEMBERS_MAY_NOT = [
    Create(int(socket.AF_INET), int(socket.SOCK_RAW), 1),
    Create(int(socket.AF_PACKET), int(socket.SOCK_RAW), 768),
    Create(int(socket.AF_NETLINK), int(socket.SOCK_RAW)),
    Create(int(socket.AF_VSOCK), int(socket.SOCK_STREAM)),
    Bind(where("127.0.0.1:80")),
    Bind(where("0.0.0.0:8080")),
    Bind(where("[::]:8080"), is_dual=True),
    Bind(where("192.168.1.1:8080")),
    Bind(where("/run/socketd/sockets/bob/web")),
    Bind(where("/run/socketd/sockets/web")),
    Bind(where("/run/socketd/api.sock")),
    Bind(where("/tmp/web")),
    Bind(where("@bob.web")),
    Connect(where("127.0.0.1:22")),
    Connect(where("1.1.1.1:443")),
    Connect(where("169.254.169.254:80")),
    Connect(where("/run/systemd/private")),
    SetOption("SO_MARK"),
    SetOption("SO_REUSEPORT"),
    SetOption("SO_BINDTODEVICE"),
    SetOption("IP_TRANSPARENT"),
    SetOption("PACKET_FANOUT"),
    SetOption("1:12345"),
    See(Owner(BOB)),
    See(Owner(0)),
    *map(Act, ("adopt_pid", "persist", "metrics", "api")),
]


@pytest.mark.parametrize("question", [*MEMBERS_MAY, *MEMBERS_MAY_NOT], ids=str)
def test_the_policy_socketd_comes_with(question):
    assert allows(BUILT_IN, MEMBER, question) is (question in MEMBERS_MAY)
    for everything in (user(0), user(DAEMON)):
        assert allows(BUILT_IN, everything, question)
    for nothing in (user(BOB), token("root"), certificate("root"), user(65534)):
        assert not allows(BUILT_IN, nothing, question) or question == See(nothing.owner)


def test_the_policy_socketd_comes_with_bounds_members_and_not_root():
    assert BUILT_IN.grants(user(0)).quota == Quota()
    assert None not in {
        getattr(BUILT_IN.grants(MEMBER).quota, name)
        for name in ("sockets", "waits", "buffered_bytes", "requests_per_s", "burst")
    }
    assert BUILT_IN.document.warnings == ()
