"""A narrower policy never grants more: whatever is taken out of it, no answer turns from no to yes."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from socketd.access.caller import Owner
from socketd.access.policy_file import PolicyError
from socketd.access.questions import RIGHTS, Act, Bind, Connect, Create, See, SetOption, UseName
from socketd.access.reserved import Reserved
from socketd.access.rules import Quota
from tests.policies import ANN, BOB, DAEMON, certificate, policy, token, user, where

if TYPE_CHECKING:
    from socketd.access.policy import Policy

PATTERNS = [
    *(
        "*",
        "*:*",
        "*:443",
        "inet:*",
        "0.0.0.0/0:443",
        "0.0.0.0:80",
        "127.0.0.0/8:1024-",
        "127.0.0.1:*",
        "[::]:80",
    ),
    *("[::/0]:*", "[::1]:443", "169.254.0.0/16:*", "10.0.0.0/8:1-1023", "unix:*", "unix:/srv/"),
    *("unix:/srv/{user}/", "unix:@*", "unix:@{user}.*", "vsock:*:1024-", "netlink:*"),
]
ADDRESSES = [
    where(text)
    for text in (
        *(
            "0.0.0.0:80",
            "0.0.0.0:443",
            "127.0.0.1:0",
            "127.0.0.1:443",
            "127.0.0.1:8080",
            "1.1.1.1:443",
            "10.1.2.3:80",
        ),
        *("169.254.169.254:80", "[::]:80", "[::1]:443", "[::ffff:127.0.0.1]:443", "[64:ff9b::101:101]:443"),
        *("[2002:a9fe:a9fe::]:80", "[2001:db8::1]:443", "/srv/x", "/srv/ann/x", "/srv/../x", "/run/api.sock"),
        *("@x", "@ann.x", "vsock:2:80", "vsock:2:2000", "netlink:0:0"),
    )
]
OPTIONS = ["SO_*", "?*", "*", "SO_MARK", "SO_KEEPALIVE", "TCP_*", "TCP_NODELAY"]
OWNERS = [Owner(ANN), Owner(BOB), Owner(0), Owner(token="ci"), Owner(certificate="ci")]
QUESTIONS = [
    *(
        Create(family, kind, protocol)
        for family in (1, 2, 10, 16, 17)
        for kind in (1, 2, 3)
        for protocol in (0, 1, 6)
    ),
    *(Bind(address, is_dual) for address in ADDRESSES for is_dual in (False, True)),
    *map(Connect, ADDRESSES),
    *map(SetOption, ("SO_MARK", "SO_KEEPALIVE", "TCP_NODELAY", "IP_TTL", "1:12345")),
    *map(UseName, ("web", "web.0", "ann.web", "bob.web", "ci.x")),
    *map(See, OWNERS),
    *map(Act, RIGHTS),
]
CALLERS = [
    *(user(ANN), user(ANN, 2000), user(BOB, 2000), user(0), user(DAEMON), user(4000)),
    *(token("ci"), token("*"), certificate("ci")),
]
RESERVED = Reserved([where("/run/api.sock"), where("127.0.0.1:8080")])

Words = dict[str, Any]


def some(*words: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(words), unique=True, max_size=4)


QUOTAS = st.fixed_dictionaries(
    {},
    optional={
        "sockets": st.integers(0, 9),
        "waits": st.integers(0, 9),
        "buffered_bytes": st.integers(0, 9),
        "requests_per_s": st.integers(1, 9),
    },
)
MATCHERS = {
    "user": some("ann", "bob", "root"),
    "uid": some(ANN, BOB, 0, DAEMON),
    "group": some("web", "socketd"),
    "gid": some(2000, ANN),
    "token": some("ci", "*", "cd"),
    "certificate": some("ci", "*"),
    "daemon_user": st.booleans(),
    "anyone": st.booleans(),
}
GRANTS = {
    "families": st.just("*") | some("*", "inet", "inet6", "unix", "netlink", "packet"),
    "types": some("*", "stream", "dgram", "raw"),
    "protocols": some("*", "icmp", "tcp", "route"),
    "bind": some(*PATTERNS),
    "connect": some(*PATTERNS),
    "options": some(*OPTIONS),
    "names": some("*", "{user}.*", "web", "web*"),
    "see": some("own", "all", "uid:0", "user:bob", "token:ci"),
    "quota": QUOTAS,
    **dict.fromkeys(RIGHTS, st.booleans()),
}
RULES = st.tuples(
    st.fixed_dictionaries({}, optional=MATCHERS), st.fixed_dictionaries({}, optional=GRANTS)
).map(lambda parts: parts[0] | parts[1])
POLICIES = st.lists(RULES.filter(lambda rule: any(rule.get(key) for key in MATCHERS)), min_size=1, max_size=4)


def written(rules: list[Words], total: Words | None = None) -> str:
    """Write a policy as TOML, whose strings, lists, numbers and truths are those of JSON."""
    lines = [] if total is None else ["[total]", *(f"{key} = {value}" for key, value in total.items())]
    for number, rule in enumerate(rules):
        lines += ["[[rule]]", f'name = "{number}"']
        for key, value in rule.items():
            inner = ", ".join(f"{name} = {bound}" for name, bound in value.items()) if key == "quota" else ""
            lines.append(f"{key} = {{ {inner} }}" if key == "quota" else f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def narrowings(rules: list[Words]) -> list[list[Words]]:
    """Make every policy that has one thing less: a rule, a key, a word of a list, some of a bound."""
    found = []
    for index, rule in enumerate(rules):
        found.append(rules[:index] + rules[index + 1 :])
        for key, value in rule.items():
            less: list[Any] = []
            if isinstance(value, list):
                less = [[each for each in value if each != word] for word in value]
            elif value is True:
                less = [False]
            elif key == "quota":
                less = lowered(value)
            for changed in less:
                narrower = deepcopy(rules)
                narrower[index][key] = changed
                found.append(narrower)
            if key != "quota":  # which is a bound: without it there is none
                narrower = deepcopy(rules)
                del narrower[index][key]
                found.append(narrower)
    return found


def lowered(quota: Words) -> list[Words]:
    least = {"sockets": 0, "waits": 0, "buffered_bytes": 0, "requests_per_s": 1}
    lower = [{**quota, name: quota[name] - 1} for name in quota if quota[name] > least[name]]
    return lower + [{**quota, name: 5} for name in least if name not in quota]


def is_for_somebody(rules: list[Words]) -> bool:
    return all(any(rule.get(key) for key in MATCHERS) for rule in rules)


def check_narrower(wide: Policy, narrow: Policy) -> None:
    for caller in CALLERS:
        for question in QUESTIONS:
            if narrow.decide(caller, question).is_allowed:
                assert wide.decide(caller, question).is_allowed, (caller, question)
        check_bounds(wide, narrow, caller)


def check_bounds(wide: Policy, narrow: Policy, caller: Any) -> None:
    if not narrow.grants(caller).rules:
        return  # nothing is left that could be bounded
    for bound in fields(Quota):
        before, after = (getattr(each.grants(caller).quota, bound.name) for each in (wide, narrow))
        assert (math.inf if after is None else after) <= (math.inf if before is None else before), bound.name


@settings(max_examples=60, deadline=None)
@given(POLICIES, st.data())
@example([{"anyone": True, "bind": ["*"]}, {"anyone": True, "quota": {"sockets": 3}}], None)
def test_what_is_taken_out_of_a_policy_never_makes_a_no_a_yes(rules, data):
    wide = policy(written(rules), RESERVED)
    narrower = [each for each in narrowings(rules) if is_for_somebody(each)]
    assume(narrower)
    for each in narrower if data is None else [data.draw(st.sampled_from(narrower)) for _ in range(3)]:
        check_narrower(wide, policy(written(each), RESERVED))


@settings(max_examples=40, deadline=None)
@given(POLICIES)
def test_the_order_of_rules_changes_no_answer(rules):
    forwards, backwards = policy(written(rules)), policy(written(rules[::-1]))
    for caller in CALLERS:
        assert forwards.grants(caller).quota == backwards.grants(caller).quota
        for question in QUESTIONS:
            one, other = forwards.decide(caller, question), backwards.decide(caller, question)
            assert one.is_allowed is other.is_allowed


@settings(max_examples=40, deadline=None)
@given(POLICIES)
def test_more_reserved_addresses_never_make_a_no_a_yes(rules):
    check_narrower(policy(written(rules)), policy(written(rules), RESERVED))


def test_the_property_can_fail():
    """It is no property of everything: a network that is all loopback is not a part of one that is not."""
    wide = policy(written([{"anyone": True, "connect": ["0.0.0.0/0:443"]}]))
    other = policy(written([{"anyone": True, "connect": ["127.0.0.0/8:443"]}]))
    with pytest.raises(AssertionError):
        check_narrower(wide, other)


def test_rules_for_nobody_are_no_policy():
    with pytest.raises(PolicyError, match="it is for nobody"):
        policy(written([{"user": [], "anyone": False, "bind": ["*"]}]))
