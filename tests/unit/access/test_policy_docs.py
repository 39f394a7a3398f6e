"""docs/policy.md says what there is, and its examples are policies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from socketd.access import rule_words
from socketd.access.networks import SPECIAL
from socketd.access.policy import Policy
from socketd.access.policy_file import parse
from socketd.access.questions import Bind, Connect
from tests.policies import DAEMON, KnownPeople, name_of, token, user, where

TEXT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = [
    block for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL) if block.startswith("version")
]


class Everybody(KnownPeople):
    """Knows the web server, too."""

    def uid(self, name: str) -> int | None:
        return 33 if name == "www-data" else super().uid(name)


def example(word: str) -> Policy:
    (text,) = (block for block in EXAMPLES if f'name = "{word}"' in block)
    return Policy(parse(text, "example", Everybody()), daemon_uid=DAEMON, name_of=name_of)


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_are_policies_without_warnings(text):
    found = parse(text, "example", Everybody())
    assert (len(found.rules), found.warnings) == (1, ())


def test_every_key_is_told():
    told = set(re.findall(r"`([a-z_]+)[` ]", TEXT))
    assert {*rule_words.MATCHERS, *rule_words.GRANTS} <= told
    assert {"sockets", "waits", "buffered_bytes", "requests_per_s", "burst"} <= told


def test_every_special_range_outside_the_well_known_is_told():
    for network in SPECIAL:
        if not (network.is_multicast or network.is_loopback or str(network).startswith("255.")):
            shown = str(network).removesuffix("/32" if network.version == 4 else "/128")
            assert f"`{shown}`" in TEXT or f"`{network}`" in TEXT


@pytest.mark.parametrize(
    ("rule", "caller", "question", "is_allowed"),
    [
        ("port 80", user(33), Bind(where("[::]:80"), is_dual=True), True),
        ("port 80", user(33), Bind(where("127.0.0.1:80")), False),
        ("port 80", user(33), Bind(where("0.0.0.0:443")), False),
        ("port 80", user(33), Connect(where("127.0.0.1:80")), False),
        ("ci", token("ci"), Connect(where("10.20.0.5:5432")), True),
        ("ci", token("ci"), Connect(where("10.20.0.6:5432")), False),
        ("ci", token("ci-cleanup"), Connect(where("10.20.0.5:5432")), False),
        ("container", user(101_000), Connect(where("172.20.3.4:9")), True),
        ("container", user(101_000), Connect(where("172.21.3.4:9")), False),
        ("container", user(101_000), Connect(where("127.0.0.1:443")), False),
        ("container", user(101_000), Connect(where("169.254.169.254:443")), False),
    ],
)
def test_examples_mean_what_is_said_of_them(rule, caller, question, is_allowed):
    assert example(rule).decide(caller, question).is_allowed is is_allowed
