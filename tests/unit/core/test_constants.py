"""Families, types and protocols, by name and number, agree with the socket module and the kernel."""

from __future__ import annotations

import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core import constants
from socketd.errors import InvalidRequestError

_FAMILIES = sorted(name for name in dir(socket) if name.startswith("AF_"))
_TYPES = sorted(
    name for name in dir(socket) if name.startswith("SOCK_") and name not in {"SOCK_CLOEXEC", "SOCK_NONBLOCK"}
)
# Extension headers, not protocols a socket can have; 0 is "ip".
_PROTOCOLS = sorted(name for name in dir(socket) if name.startswith("IPPROTO_") and name != "IPPROTO_HOPOPTS")


@pytest.mark.parametrize(
    "value", [-1, 2**31, pytest.param(10**5000, id="huge"), True, "inett", "", "af_", "-2", "0x", "2.0", "٢"]
)
def test_nonsense_is_no_family(value):
    with pytest.raises(InvalidRequestError) as caught:
        constants.family(value)
    assert caught.value.member == "family"
    assert len(str(caught.value)) < 200


def test_misspelt_family_gets_the_close_ones_as_hint():
    with pytest.raises(InvalidRequestError) as caught:
        constants.family("AF_INTE6")
    assert "inet6" in caught.value.hint


@pytest.mark.parametrize("flag", [socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC])
def test_creation_flags_in_the_type_are_refused(flag):
    with pytest.raises(InvalidRequestError) as caught:
        constants.socket_type(int(socket.SOCK_STREAM | flag))
    assert caught.value.member == "type"
    assert "1 remains" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "family"),
    [
        ("tcp", socket.AF_UNIX),
        ("arp", socket.AF_INET),
        ("tcp", socket.AF_NETLINK),
        (0x10000, socket.AF_PACKET),
    ],
)
def test_protocol_of_another_family_is_refused(value, family):
    with pytest.raises(InvalidRequestError) as caught:
        constants.protocol(value, family)
    assert caught.value.member == "protocol"


@pytest.mark.parametrize("name", _FAMILIES)
def test_family_numbers_are_the_socket_modules(name):
    number = int(getattr(socket, name))
    assert constants.family(name) == constants.family(name[3:].lower()) == constants.family(number) == number
    assert constants.family(constants.family_name(number)) == number


@pytest.mark.parametrize("name", _TYPES)
def test_type_numbers_are_the_socket_modules(name):
    number = int(getattr(socket, name))
    assert constants.socket_type(name) == constants.socket_type(name[5:].lower()) == number
    assert constants.type_name(number) == name[5:].lower()


@pytest.mark.parametrize("name", _PROTOCOLS)
def test_protocol_numbers_are_the_socket_modules(name):
    number = int(getattr(socket, name))
    assert constants.protocol(name, socket.AF_INET) == constants.protocol(name[8:], socket.AF_INET6) == number


@pytest.mark.parametrize(
    ("value", "family", "number"),
    [
        ("NETLINK_ROUTE", 16, 0),
        ("sock-diag", 16, 4),
        ("kobject_uevent", 16, 15),
        ("GENERIC", 16, 16),
        ("audit", 16, 9),
        ("6", 2, 6),
        ("0x06", 2, 6),
        ("default", 1, 0),
        ("rfcomm", 31, 3),
        ("isotp", 29, 6),
    ],
)
def test_protocols_of_other_families_have_names(value, family, number):
    assert constants.protocol(value, family) == number


@pytest.mark.parametrize("value", ["all", "ETH_P_ALL", 3, "3", "0x0003"])
def test_packet_protocol_goes_to_the_kernel_in_network_order(value):
    number = constants.protocol(value, socket.AF_PACKET)
    assert number == socket.htons(3)
    assert constants.protocol_name(number, socket.AF_PACKET) == "all"


def test_obsolete_inet_packet_socket_takes_a_packet_protocol():
    assert constants.protocol("arp", socket.AF_INET, 10) == socket.htons(0x0806)
    assert constants.protocol_name(socket.htons(0x0806), socket.AF_INET, 10) == "arp"


def test_protocol_zero_is_default_but_where_it_has_a_name_of_its_own():
    assert constants.protocol_name(0, socket.AF_INET) == "default"
    assert constants.protocol_name(0, socket.AF_UNIX) == "default"
    assert constants.protocol_name(0, socket.AF_NETLINK) == "route"


@given(number=st.integers(0, 2**31 - 1))
def test_numbers_pass_and_their_names_lead_back(number):
    assert constants.family(constants.family_name(number)) == constants.family(number) == number
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK):
        assert constants.protocol(constants.protocol_name(number, family), family) == number


@given(number=st.integers(0, 0xFFFF))
def test_every_ethertype_goes_there_and_back(number):
    wire = constants.protocol(number, socket.AF_PACKET)
    assert wire == socket.htons(number)
    assert constants.protocol(constants.protocol_name(wire, socket.AF_PACKET), socket.AF_PACKET) == wire


@given(value=st.one_of(st.text(max_size=40), st.integers()))
def test_any_value_is_answered_or_refused(value):
    for ask in (constants.family, constants.socket_type, lambda value: constants.protocol(value, 17)):
        try:
            assert ask(value) >= 0
        except InvalidRequestError as error:
            assert error.member  # noqa: PT017 (both ends are right)


def test_kernel_itself_refuses_the_families_it_lacks():
    with pytest.raises(OSError, match="Address family not supported") as caught:
        socket.socket(constants.family("econet"), socket.SOCK_DGRAM)
    assert caught.value.errno == errno.EAFNOSUPPORT
