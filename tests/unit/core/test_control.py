"""Control messages: words and numbers either way, and which may be sent for others."""

from __future__ import annotations

import socket

import pytest

from socketd.core import control
from socketd.errors import InvalidRequestError, NotPermittedError


@pytest.mark.parametrize(
    ("level", "kind", "numbers"),
    [
        (None, "SCM_RIGHTS", (1, 1)),
        (1, "scm_credentials", (1, 2)),
        (None, "IP_TTL", (0, 2)),
        (0, 2, (0, 2)),
        (41, "52", (41, 52)),
        (None, "IPV6_PKTINFO", (41, 50)),
        (12345, 7, (12345, 7)),
    ],
)
def test_name_tells_its_level_and_a_number_needs_one(level, kind, numbers):
    assert control.kind(level, kind) == numbers


@pytest.mark.parametrize(
    ("level", "kind", "member"),
    [
        (None, 1, "level"),
        (None, "SCM_RIGHT", "type"),
        (0, "SCM_RIGHTS", "type"),
        (1, "-1", "type"),
        (1, "9" * 5000, "type"),
        (1, 2**31, "type"),
        (1, "²", "type"),
    ],
)
def test_what_names_none_is_refused_with_its_member(level, kind, member):
    with pytest.raises(InvalidRequestError) as caught:
        control.kind(level, kind)
    assert caught.value.member == member


def test_levels_are_read_by_name_and_number_and_shown_as_the_socket_module_has_them():
    for name in ("SOL_SOCKET", "IPPROTO_IP", "IPPROTO_IPV6", "IPPROTO_TCP", "SOL_ALG"):
        number = int(getattr(socket, name))
        assert control.level(name) == control.level(number) == number
        assert control.level_name(number) == name
    assert control.level_name(999) == 999
    assert control.type_name(1, 1) == "SCM_RIGHTS"
    assert control.type_name(1, 999) == 999


@pytest.mark.parametrize(
    "name",
    ["SCM_RIGHTS", "SCM_CREDENTIALS", "IP_TTL", "IPV6_PKTINFO", "IPV6_HOPLIMIT", "IPV6_TCLASS", "IP_TOS"],
)
def test_numbers_are_those_of_the_socket_module(name):
    assert control.kind(None, name)[1] == getattr(socket, name)


def test_credentials_are_nobodys_to_send():
    with pytest.raises(NotPermittedError) as caught:
        control.option_of(control.CREDENTIALS)
    assert caught.value.symbol == "EPERM"


@pytest.mark.parametrize("kind", [(276, 1), (1, 3), (1, 4), (0, 11), (41, 9), (1, 78)], ids=str)
def test_what_may_mean_the_daemons_memory_or_descriptors_is_not_sent(kind):
    with pytest.raises(InvalidRequestError) as caught:
        control.option_of(kind)
    assert caught.value.symbol == "EOPNOTSUPP"


@pytest.mark.parametrize(
    ("kind", "option"),
    [((1, 36), "SO_MARK"), ((0, 7), "IP_OPTIONS"), ((41, 57), "IPV6_RTHDR"), ((0, 2), "IP_TTL")],
    ids=str,
)
def test_policy_is_asked_for_the_option_of_the_same_effect(kind, option):
    assert control.option_of(kind) == option
