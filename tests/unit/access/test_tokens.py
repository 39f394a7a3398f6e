"""Tokens: what the file may hold, how one is found, and what is never taken for one."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.access import tokens
from socketd.access.tokens import TokenFileError, Tokens
from socketd.core.owner import Owner, is_name

HASH = "a" * 64
OTHER = "b" * 64


def entry(name: str = "ci", sha256: str = HASH, more: str = "") -> str:
    return f'[[token]]\nname = "{name}"\nsha256 = "{sha256}"\n{more}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no [[token]]"),
        ("# nothing\n", "no [[token]]"),
        ("tokens = 1", "unknown key 'tokens'"),
        ("token = 1", "two brackets"),
        ("token = [1]", "two brackets"),
        ("[token]\nname = 'ci'", "two brackets"),
        ("[[token]]\n", "token 1: its name"),
        (entry("") + "", "token 1: its name"),
        (entry("x" * 256), "token 1: its name"),
        (entry("a\\nb"), "token 1: its name"),
        ("[[token]]\nname = 7\n", "token 1: its name"),
        ('[[token]]\nname = "ci"\n', "token 1 (ci): its sha256"),
        (entry(sha256=HASH[:-1]), "token 1 (ci): its sha256"),
        (entry(sha256=HASH + "a"), "token 1 (ci): its sha256"),
        (entry(sha256="g" * 64), "token 1 (ci): its sha256"),
        (entry(sha256="\u0661" * 64), "token 1 (ci): its sha256"),
        (entry(more="sha265 = 1"), "token 1: unknown key 'sha265'; did you mean sha256?"),
        (entry(more="expires = '2030-01-01'"), "token 1 (ci): its expires"),
        (entry(more="expires = 2030-01-01T00:00:00"), "token 1 (ci): its expires"),
        (entry(more="expires = 1893456000"), "token 1 (ci): its expires"),
        (entry() + entry("b"), "token 2 (b): its sha256 is that of token 1"),
        (entry() + entry(sha256=HASH.upper()), "token 2 (ci): its sha256 is that of token 1"),
        (entry() + '[[token]]\nname = "b"\nsha256 = "bb', "not TOML"),
        (f"{entry()}x = {'[' * 5000}", "not TOML"),
    ],
)
def test_what_is_no_token_file_is_refused_in_one_line(text, says):
    with pytest.raises(TokenFileError) as caught:
        tokens.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", range(1, len(entry("b", OTHER)) - 2))
def test_file_that_ends_too_early_is_refused_or_has_fewer_tokens(cut):
    whole = entry() + entry("b", OTHER)
    try:
        found = tokens.parse(whole[: len(entry()) + cut])
    except TokenFileError:
        return
    assert [token.owner.token for token in found] == ["ci"]


def test_expiry_is_a_day_or_a_time():
    text = entry(more="expires = 2030-01-31") + entry("b", OTHER, "expires = 2030-01-31T02:00:00+02:00")
    expected = datetime(2030, 1, 31, tzinfo=UTC).timestamp()
    assert [token.expires for token in tokens.parse(text)] == [expected, expected]


def test_several_entries_of_one_name_are_one_caller():
    old, new = tokens.new(), tokens.new()
    known = Tokens(tokens.parse(tokens.lines("ci", old) + tokens.lines("ci", new)))
    for token in (old, new):
        assert known.find(token).owner == Owner(token="ci")


@pytest.mark.parametrize("given", ["", "x", "sd_", HASH, bytes.fromhex(HASH).decode("latin-1"), "\udcff"])
def test_what_is_no_token_is_not_found_not_even_its_hash(given):
    assert Tokens(tokens.parse(entry())).find(given) is None
    assert Tokens().find(given) is None


def test_token_that_differs_in_one_character_is_not_found():
    token = tokens.new()
    known = Tokens(tokens.parse(tokens.lines("ci", token)))
    for wrong in (token[:-1], token + "A", token.swapcase(), " " + token, token + "\n"):
        assert known.find(wrong) is None
    assert known.find(token) is not None


def test_new_tokens_differ_and_have_what_scanners_look_for():
    made = {tokens.new() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("sd_") and len(token) == 46 and tokens.is_bare(token) for token in made)


@given(st.text(min_size=1, max_size=100).filter(is_name), st.datetimes(timezones=st.just(UTC)))
def test_lines_are_read_back_as_they_were_meant(name, expires):
    text = tokens.lines(name, "secret", expires.replace(year=max(expires.year, 1000), microsecond=0))
    (found,) = tokens.parse(text)
    assert found.owner == Owner(token=name)
    assert found.digest == hashlib.sha256(b"secret").digest()
    assert found.expires == expires.replace(year=max(expires.year, 1000), microsecond=0).timestamp()
    assert "secret" not in text


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "\x00"])
def test_no_lines_for_what_is_no_name(name):
    with pytest.raises(ValueError, match="no name"):
        tokens.lines(name, "secret")


@given(st.text(max_size=300))
def test_any_text_is_tokens_or_refused(text):
    try:
        assert tokens.parse(text)
    except TokenFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either will do


def test_a_bare_token_is_told_from_a_file_of_hashes():
    assert tokens.is_bare("sesame\n")
    assert tokens.is_bare(tokens.new())
    assert not tokens.is_bare(entry())
    assert not tokens.is_bare("two words")
    assert not tokens.is_bare("")
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads("sesame\n")
