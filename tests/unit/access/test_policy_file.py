"""A policy's file is read whole or refused in one line that says where, and what instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.access.policy_file import PolicyError, built_in_text, parse
from socketd.access.rules import Quota
from tests.policies import ANN, KnownPeople, policy, read

RULE = '[[rule]]\nname = "r"\nanyone = true\n'


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(text, "p.toml", KnownPeople())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("p.toml:")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it says no version; begin it with version = 1"),
        ("version = 2", "version is 2; this daemon reads version 1"),
        ('version = "1"', "version is '1'; this daemon reads version 1"),
        ("version = true", "version is True; this daemon reads version 1"),
        ("version = 1.0", "version is 1.0; this daemon reads version 1"),
        ("version = 1\nrules = []", "unknown key 'rules'; did you mean rule?"),
        (
            "version = 1\n[rule]\nname = 'x'",
            "rule is not a list of tables; write [[rule]], with two brackets",
        ),
        ("version = 1\nrule = 5", "rule is not a list of tables; write [[rule]], with two brackets"),
        ("version = 1\nrule = ['x']", "rule is not a list of tables; write [[rule]], with two brackets"),
        ("version = 1\ntotal = 5", "total is 5; it takes a table, as total = { sockets = 100 }"),
        ("version = 1\n[total]\nsocket = 5", "total: unknown key 'socket'; did you mean sockets?"),
        ("version = ", "not TOML: Invalid value (at end of document)"),
        ("version = 1\nversion = 1", "not TOML: Cannot overwrite a value"),
        ("version = 1\n\0", "not TOML: Invalid statement (at line 2, column 1)"),
        ("version = " + "9" * 5000, "not TOML: "),
        ("version = " + "[" * 5000, "not TOML: "),
    ],
)
def test_what_is_no_policy(text, message):
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a rule has no name; give it one"),
        ("name = 5", "the name of a rule is 5; it takes"),
        ('name = ""', "the name of a rule is ''; it takes"),
        ('name = "a\\nb"', "the name of a rule is 'a\\nb'; it takes"),
        (f'name = "{"x" * 256}"', "it takes 1 to 255 printable bytes"),
        ('name = "r"', "rule 'r': it is for nobody; say for whom: user, uid, group,"),
        ('name = "r"\nuser = []', "rule 'r': it is for nobody"),
        ('name = "r"\nanyone = false', "rule 'r': it is for nobody"),
        ('name = "r"\nusers = "ann"', "rule 'r': unknown key 'users'; did you mean user?"),
        ('name = "r"\nanyone = true\nbinds = "*"', "rule 'r': unknown key 'binds'; did you mean bind?"),
        ('name = "r"\nanyone = true\ndeny = "*"', "rule 'r': unknown key 'deny'"),
        ('name = "r"\nanyone = true\n"a\\nb" = 1', "rule 'r': unknown key 'a\\nb'"),
    ],
)
def test_what_is_no_rule(text, message):
    assert refusal(f"version = 1\n[[rule]]\n{text}").startswith("p.toml:2: ")
    assert message in refusal(f"version = 1\n[[rule]]\n{text}")


@pytest.mark.parametrize(
    ("grant", "message"),
    [
        ("user = 1000", "user is 1000; it takes a text or a list of texts"),
        ('user = "1000"', "user: '1000' is a number; those stand in uid and gid"),
        ('user = ["ann", 5]', "user is ['ann', 5]; it takes a text or a list of texts"),
        ('user = ""', "user is ''; it takes a text or a list of texts"),
        ('uid = "1000"', "uid is '1000'; it takes numbers from 0 to 4294967294"),
        ("uid = -1", "uid is -1; it takes numbers from 0 to 4294967294"),
        ("uid = 4294967295", "uid is 4294967295; it takes numbers from 0 to 4294967294"),
        ("uid = true", "uid is True; it takes numbers"),
        ("uid = 1.0", "uid is 1.0; it takes numbers"),
        ("gid = [2000, -1]", "gid is [2000, -1]; it takes numbers"),
        ('token = "a\\u0007b"', "token: 'a\\x07b' is no name: 1 to 255 printable bytes"),
        ('anyone = "yes"', "anyone is 'yes'; it takes true or false"),
        ("daemon_user = 1", "daemon_user is 1; it takes true or false"),
        ("take = 1", "take is 1; it takes true or false"),
        ('give = "no"', "give is 'no'; it takes true or false"),
        ('families = "intet"', "families: 'intet' is not a name Linux has; did you mean inet or inet6?"),
        ("families = 2", "families is 2; it takes a text or a list of texts"),
        ('types = "steam"', "types: 'steam' is not a name Linux has; did you mean stream?"),
        ('types = "2049"', "types: 2049 carries SOCK_NONBLOCK or SOCK_CLOEXEC"),
        ('protocols = "tpc"', "protocols: 'tpc' is a protocol of no address family"),
        ('bind = "0.0.0.0"', "bind: '0.0.0.0' is no address: write HOST:PORTS"),
        ('bind = "localhost:80"', "bind: 'localhost' is no numeric address or network"),
        ('bind = "0.0.0.0:http"', "bind: 'http' is no port: write a number, a range"),
        (
            'bind = "127.0.0.1/8:80"',
            "bind: '127.0.0.1/8' has bits behind its mask; the network is 127.0.0.0/8",
        ),
        ('connect = "[127.0.0.1]:80"', "connect: '127.0.0.1': an IPv6 address stands in brackets"),
        ('connect = "intet6:*"', "connect: 'intet6' is no address family; did you mean inet6 or inet?"),
        ('connect = "unix:/a/{home}/"', "connect: '/a/{home}/': {user} is all that can stand in braces"),
        (
            'options = "SO_MARKS"',
            "options: 'so_marks' is the name of no socket options; did you mean SO_MARK",
        ),
        ('options = "TPC_*"', "options: 'TPC_*' is the name of no socket option"),
        ('options = "SO_ATTACH_FILTER"', "options: "),
        ('names = "{usr}.*"', "names: '{usr}.*': {user} is all that can stand in braces"),
        ('see = "everybody"', "see: 'everybody' is nobody; it takes own, all, user:NAME, uid:NUMBER"),
        ('see = "uid:-1"', "see: 'uid:-1' is nobody"),
        ('see = "uid:99999999999"', "see: 'uid:99999999999' is nobody"),
        ('see = "token:"', "see: 'token:' is nobody"),
        ("see = true", "see is True; it takes a text or a list of texts"),
        ("quota = 5", "quota is 5; it takes a table"),
        ("quota = { sockets = -1 }", "quota: sockets is -1; it takes a whole number from 0 to"),
        ("quota = { sockets = 1.5 }", "quota: sockets is 1.5; it takes a whole number"),
        ("quota = { sockets = true }", "quota: sockets is True; it takes a whole number"),
        ("quota = { socks = 1 }", "quota: unknown key 'socks'; did you mean sockets?"),
        ("quota = { requests_per_s = 0 }", "quota: requests_per_s is 0; it takes a number above 0"),
        ("quota = { requests_per_s = inf }", "quota: requests_per_s is inf; it takes a number above 0"),
        ("quota = { requests_per_s = nan }", "quota: requests_per_s is nan; it takes a number above 0"),
        ("quota = { requests_per_s = 1, burst = 0 }", "quota: burst is 0; it takes a whole number from 1 to"),
        ("quota = { burst = 5 }", "quota: burst says nothing without requests_per_s"),
    ],
)
def test_what_means_nothing_is_refused_where_it_stands(grant, message):
    matcher = "" if grant.startswith("anyone") else "anyone = true\n"
    text = f'version = 1\n\n[[rule]]\nname = "r"\n{matcher}{grant}\n'
    assert refusal(text).startswith(f"p.toml:3: rule 'r': {message}")


def test_a_name_stands_once():
    assert refusal(f"version = 1\n{RULE}{RULE}") == "p.toml:5: rule 'r': there is another rule of this name"


def test_a_long_value_is_told_in_part():
    assert len(refusal(f'version = 1\n{RULE}take = "{"x" * 10_000}"')) < 200
    assert len(refusal(f"version = 1\n{RULE}{'x' * 10_000} = 1")) < 200


def test_users_and_groups_that_are_not_there_mean_nobody_and_are_told():
    found = read(
        '[[rule]]\nname = "r"\nuser = ["ann", "nann"]\ngroup = "wheel"\nsee = ["user:bob", "user:bib"]\n'
    )
    (rule,) = found.rules
    assert (rule.who.uids, rule.who.gids, rule.see) == ({ANN}, frozenset(), {"uid:1001"})
    assert [warning.partition("there is no ")[2] for warning in found.warnings] == [
        "user 'nann' here, so it means nobody",
        "group 'wheel' here, so it means nobody",
        "user 'bib' here, so it means nobody",
    ]


def test_one_text_is_a_list_of_one():
    one, other = (read(f"{RULE}bind = {bind}").rules for bind in ('"*:80"', '["*:80"]'))
    assert one == other


def test_a_rate_without_burst_has_that_of_a_second():
    quotas = [read(f"{RULE}quota = {{ requests_per_s = {rate} }}").rules[0].quota for rate in (0.5, 10, 2.5)]
    assert quotas == [
        Quota(requests_per_s=rate, burst=burst) for rate, burst in ((0.5, 1), (10.0, 10), (2.5, 3))
    ]


def test_bounds_for_all_together():
    assert policy("[total]\nsockets = 5\nrequests_per_s = 2\n").total == Quota(
        sockets=5, requests_per_s=2.0, burst=2
    )
    assert policy("").total == Quota()


def test_rules_know_their_lines():
    text = f'# [[rule]]\n\n{RULE}\n[[ rule ]]  # two\nname = "s"\nanyone = true\n'
    assert [rule.line for rule in read(text).rules] == [4, 8]


def test_a_line_that_cannot_be_told_is_left_out():
    hidden = f'{RULE}names = ["""\n[[rule]]\n"""]\n'
    with pytest.raises(PolicyError, match=r"^policy\.toml: rule 'r': names: "):
        read(hidden)
    inline = 'rule = [{ name = "r", anyone = true }]'
    assert [rule.line for rule in read(inline).rules] == [None]


def test_the_words_of_a_rule_are_its_grants_as_they_stand():
    (rule,) = read(f'{RULE}bind = "*:80"\ntake = true\nquota = {{ sockets = 5 }}\n').rules
    assert rule.words == {"bind": "*:80", "take": True, "quota": {"sockets": 5}}


@given(st.text(max_size=200) | st.text("[]{}=\"'\n#*:., \\abrulenameversion0123", max_size=120))
def test_any_text_is_a_policy_or_refused_in_one_line(text):
    for before in ("", "version = 1\n", f"version = 1\n{RULE}", f"version = 1\n{RULE}bind = "):
        refused = ""
        try:
            parse(before + text, "p.toml", KnownPeople())
        except PolicyError as error:
            refused = str(error)
        assert not refused or refused.startswith("p.toml:")
        assert "\n" not in refused


def test_the_built_in_policy_is_the_one_of_the_package():
    assert parse(built_in_text(), "built-in", KnownPeople()).warnings == ()
