"""The daemon's own sockets are out of reach, in whatever form their addresses are written."""

from __future__ import annotations

import pytest

from socketd.access.questions import Bind, Connect
from socketd.access.reserved import Reserved
from tests.policies import ANN, allows, for_ann, policy, user, where

EVERYTHING = 'bind = "*"\nconnect = "*"\ntake = true\nadopt_pid = true\n'
RESERVED = Reserved(
    [
        where(text)
        for text in ("/run/socketd/api.sock", "127.0.0.1:8080", "[::]:9090", "192.0.2.7:7070", "@api")
    ],
    lambda host: str(host) in {"192.0.2.7", "2001:db8::7"},
)
OWN = [
    *(
        "/run/socketd/api.sock",
        "//run/socketd//api.sock",
        "/run/./socketd/api.sock",
        "/run/socketd/x/../api.sock",
    ),
    *(
        "127.0.0.1:8080",
        "0.0.0.0:8080",
        "[::ffff:127.0.0.1]:8080",
        "[::ffff:0.0.0.0]:8080",
        "[::]:8080",
        "@api",
    ),
    *("[64:ff9b::7f00:1]:8080", "[2002:7f00:1::]:8080", "127.0.0.1:9090", "127.9.9.9:9090", "[::1]:9090"),
    *("192.0.2.7:9090", "[2001:db8::7]:9090", "[::ffff:192.0.2.7]:9090", "192.0.2.7:7070", "0.0.0.0:7070"),
]
NOT_OWN = [
    *("/run/socketd/api.sock2", "/run/socketd/other.sock", "127.0.0.1:8081", "127.0.0.2:8080", "[::1]:8080"),
    *("192.0.2.8:9090", "192.0.2.8:7070", "127.0.0.1:7070", "@api2", "/api"),
]


@pytest.mark.parametrize("text", OWN)
def test_the_daemons_own_sockets_are_not_reached_by_grants_for_everything(text):
    asked = for_ann(EVERYTHING, RESERVED)
    for question in (Bind(where(text)), Connect(where(text))):
        decision = asked.decide(user(ANN), question)
        assert (decision.is_allowed, "api = true" in decision.reason) == (False, True)
        assert allows(for_ann(f"{EVERYTHING}api = true", RESERVED), user(ANN), question)


@pytest.mark.parametrize("text", NOT_OWN)
def test_what_only_looks_like_the_daemons_own_is_reached(text):
    asked = for_ann(EVERYTHING, RESERVED)
    assert allows(asked, user(ANN), Connect(where(text)))
    assert allows(asked, user(ANN), Bind(where(text)))


def test_the_rule_that_reaches_the_api_has_to_say_so_itself():
    apart = f'[[rule]]\nname = "a"\nanyone = true\n{EVERYTHING}\n'
    apart += '[[rule]]\nname = "b"\nanyone = true\napi = true\n'
    assert not allows(policy(apart, RESERVED), user(ANN), Connect(where("127.0.0.1:8080")))


def test_a_listener_everywhere_without_a_way_to_tell_has_its_port_on_every_address():
    asked = for_ann(EVERYTHING, Reserved([where("0.0.0.0:443")]))
    assert not allows(asked, user(ANN), Connect(where("1.1.1.1:443")))
    assert allows(asked, user(ANN), Connect(where("1.1.1.1:444")))
