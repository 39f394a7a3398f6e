"""The network calculator agrees with arithmetic done on strings of bits."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.networks import describe
from socketd.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("address", "prefix", "member"),
    [
        ("", 24, "address"),
        ("300.1.1.1", 24, "address"),
        ("010.0.0.1", 8, "address"),
        ("example.org", 24, "address"),
        ("fe80::1%eth0", 64, "address"),
        ("192.0.2.1", 33, "prefix"),
        ("192.0.2.1", -1, "prefix"),
        ("192.0.2.1", True, "prefix"),
        ("192.0.2.1", "", "prefix"),
        ("192.0.2.1", "+24", "prefix"),
        ("192.0.2.1", "٢٤", "prefix"),
        ("192.0.2.1", "255.0.255.0", "prefix"),
        ("192.0.2.1", "0.0.0.255", "prefix"),
        ("192.0.2.1", "ffff::", "prefix"),
        ("2001:db8::1", 129, "prefix"),
        ("2001:db8::1", "255.255.255.0", "prefix"),
        ("2001:db8::1", "ffff::%1", "prefix"),
    ],
)
def test_nonsense_is_refused_by_member(address, prefix, member):
    with pytest.raises(InvalidRequestError) as caught:
        describe(address, prefix)
    assert caught.value.member == member


def test_wildcard_mask_as_prefix_gets_a_hint():
    with pytest.raises(InvalidRequestError) as caught:
        describe("192.0.2.1", "0.0.0.255")
    assert "wildcard" in caught.value.hint


def test_slash_24_leaves_out_network_and_broadcast():
    net = describe("192.168.1.77", 24)
    assert (net.mask, net.wildcard) == ("255.255.255.0", "0.0.0.255")
    assert (net.network, net.broadcast) == ("192.168.1.0", "192.168.1.255")
    assert (net.first_usable, net.last_usable) == ("192.168.1.1", "192.168.1.254")
    assert (net.host_count, net.address_count) == (254, 256)
    assert net.is_private
    assert net.address_bits == "11000000.10101000.00000001.01001101"
    assert net.network_bits == "11000000.10101000.00000001.00000000"


def test_slash_31_has_two_hosts_and_no_broadcast():
    net = describe("10.0.0.5", 31)
    assert (net.first_usable, net.last_usable, net.host_count) == ("10.0.0.4", "10.0.0.5", 2)
    assert net.broadcast is None


def test_slash_32_is_its_own_host():
    net = describe("10.0.0.5", "255.255.255.255")
    assert (net.first_usable, net.last_usable, net.host_count) == ("10.0.0.5", "10.0.0.5", 1)
    assert net.broadcast is None


def test_ipv6_slash_64_leaves_out_the_router_anycast_address():
    net = describe("2001:db8::42", "ffff:ffff:ffff:ffff::")
    assert (net.prefix, net.network, net.first_usable) == (64, "2001:db8::", "2001:db8::1")
    assert net.last_usable == "2001:db8::ffff:ffff:ffff:ffff"
    assert net.host_count == 2**64 - 1
    assert net.broadcast is None


def test_ipv6_slash_127_has_two_hosts_and_slash_128_one():
    assert describe("2001:db8::1", 127).first_usable == "2001:db8::"
    assert describe("2001:db8::1", 127).host_count == 2
    assert describe("2001:db8::1", 128).host_count == 1


@pytest.mark.parametrize(
    ("address", "true"),
    [
        ("127.0.0.1", "is_loopback"),
        ("169.254.0.1", "is_link_local"),
        ("224.0.0.1", "is_multicast"),
        ("0.0.0.0", "is_unspecified"),
        ("240.0.0.1", "is_reserved"),
        ("8.8.8.8", "is_global"),
        ("::1", "is_loopback"),
        ("fe80::1", "is_link_local"),
        ("ff02::1", "is_multicast"),
        ("fd00::1", "is_private"),
    ],
)
def test_address_says_what_it_is(address, true):
    assert getattr(describe(address, 8), true)


def _bits_of(family, text):
    return "".join(f"{byte:08b}" for byte in socket.inet_pton(family, text))


def _check(family, packed, prefix):
    address = socket.inet_ntop(family, packed)
    width = 8 * len(packed)
    bits = "".join(f"{byte:08b}" for byte in packed)
    net = describe(address, prefix)
    kept, free = bits[:prefix], width - prefix
    lowest, highest = kept + "0" * free, kept + "1" * free
    assert _bits_of(family, net.address) == bits
    assert _bits_of(family, net.network) == lowest
    assert _bits_of(family, net.mask) == "1" * prefix + "0" * free
    assert _bits_of(family, net.wildcard) == "0" * prefix + "1" * free
    assert net.address_count == 1 << free
    first, last = int(_bits_of(family, net.first_usable), 2), int(_bits_of(family, net.last_usable), 2)
    left_out_above = 1 if family == socket.AF_INET and free > 1 else 0
    assert first == int(lowest, 2) + (1 if free > 1 else 0)
    assert last == int(highest, 2) - left_out_above
    assert net.host_count == last - first + 1
    assert (net.broadcast is not None) == (left_out_above == 1)
    if net.broadcast is not None:
        assert _bits_of(family, net.broadcast) == highest
    group, separator = (8, ".") if family == socket.AF_INET else (16, ":")
    for row, expected in ((net.address_bits, bits), (net.network_bits, lowest)):
        assert row.replace(separator, "") == expected
        assert {len(part) for part in row.split(separator)} == {group}
    assert net.mask_bits.replace(separator, "") == "1" * prefix + "0" * free
    assert describe(address, net.mask) == describe(address, str(prefix)) == net


@given(packed=st.binary(min_size=4, max_size=4), prefix=st.integers(0, 32))
def test_ipv4_agrees_with_bit_strings(packed, prefix):
    _check(socket.AF_INET, packed, prefix)


@given(packed=st.binary(min_size=16, max_size=16), prefix=st.integers(0, 128))
def test_ipv6_agrees_with_bit_strings(packed, prefix):
    _check(socket.AF_INET6, packed, prefix)


@given(address=st.text(max_size=30), prefix=st.one_of(st.integers(), st.text(max_size=30)))
def test_any_text_is_answered_or_refused(address, prefix):
    try:
        describe(address, prefix)
    except InvalidRequestError as error:
        assert error.member in {"address", "prefix"}  # noqa: PT017 (both ends are right)
