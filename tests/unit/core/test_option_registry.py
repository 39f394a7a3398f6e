"""The option registry agrees with the socket module and the headers, and finds what people write."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from socketd.core.options import OPTIONS, lookup
from socketd.errors import InvalidRequestError

_HEADERS = [
    "asm-generic/socket.h",
    *(
        f"linux/{name}.h"
        for name in ("in", "in6", "tcp", "udp", "if_packet", "netlink", "vm_sockets", "mptcp")
    ),
    *(f"linux/{name}.h" for name in ("icmp", "icmpv6", "netfilter_ipv4", "netfilter_ipv6/ip6_tables")),
]
_DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)\s+(\w+)\s*(?:/\*.*)?$", re.MULTILINE)


def _header_numbers():
    texts = [path.read_text() for name in _HEADERS if (path := Path("/usr/include", name)).exists()]
    defined = dict(pair for text in texts for pair in _DEFINE.findall(text))
    numbers = {}
    for name, value in defined.items():
        resolved = defined.get(defined.get(value, value), defined.get(value, value))
        if re.fullmatch(r"\d+|0x[0-9a-fA-F]+", resolved):
            numbers[name] = int(resolved, 0)
    return numbers


_IN_HEADERS = _header_numbers()


@pytest.mark.parametrize(
    "name", ["", "SO_", "SO_NONSENSE", "1:", ":1", "1:-1", "1:2:3", "\u0661:\u0662", "x" * 10_000]
)
def test_unknown_option_is_enoprotoopt(name):
    with pytest.raises(InvalidRequestError) as caught:
        lookup(name)
    assert (caught.value.symbol, caught.value.member) == ("ENOPROTOOPT", "option")
    assert len(str(caught.value)) < 200


def test_misspelt_option_gets_the_close_ones_as_hint():
    with pytest.raises(InvalidRequestError) as caught:
        lookup("so_reuseadr")
    assert "SO_REUSEADDR" in caught.value.hint


@pytest.mark.parametrize("name", ["MTU", "ADD_MEMBERSHIP", "transparent"])
def test_name_without_prefix_that_several_have_is_refused(name):
    with pytest.raises(InvalidRequestError) as caught:
        lookup(name)
    assert "IP_" in caught.value.hint
    assert " or " in caught.value.hint


@pytest.mark.parametrize("name", ["2147483648:1", "1:4294967295"])
def test_numbers_beyond_a_c_int_are_refused(name):
    with pytest.raises(InvalidRequestError):
        lookup(name)


@pytest.mark.parametrize(
    "name", ["1:26", "01:026", "SO_ATTACH_FILTER", "so_peerpidfd", "6:35", "283:4", "0:64"]
)
def test_option_that_means_the_callers_own_memory_or_descriptors_is_refused(name):
    with pytest.raises(InvalidRequestError) as caught:
        lookup(name)
    assert caught.value.symbol == "EOPNOTSUPP"
    assert "take the descriptor" in caught.value.hint


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_number_is_the_socket_modules_and_the_headers(option):
    name = option.name.replace("IPV6_MCAST_", "MCAST_")
    assert getattr(socket, name, option.number) == option.number
    assert _IN_HEADERS.get(name, option.number) == option.number


@pytest.mark.skipif(not _IN_HEADERS, reason="linux-libc-dev is not installed")
def test_headers_know_most_of_the_registry():
    known = [option.name for option in OPTIONS if option.name in _IN_HEADERS]
    assert len(known) > 150


def test_names_and_numbers_are_unique():
    assert len({option.name.lower() for option in OPTIONS}) == len(OPTIONS)
    assert len({(option.level, option.number) for option in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_found_by_name_and_by_number_and_described(option):
    assert lookup(option.name) is lookup(option.name.lower()) is option
    assert lookup(f"{option.level}:{option.number}") is option
    assert option.description.endswith((".", "?"))
    assert option.readable or option.writable


def test_prefix_may_be_left_out_where_nothing_else_is_meant():
    assert lookup("reuseaddr").name == "SO_REUSEADDR"
    assert lookup("NODELAY").name == "TCP_NODELAY"
    assert lookup("ipv6_add_membership").name == "IPV6_JOIN_GROUP"
