"""What an IP address really means: the one behind a tunnel, this host, or a range out of reach."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.access import networks

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("2002:7f00:1::", "127.0.0.1"),  # 6to4
        ("2002:a9fe:a9fe::1", "169.254.169.254"),
        ("2001:0:0:0:0:0:80ff:fffe", "127.0.0.1"),  # Teredo: the client's address is inverted
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),  # NAT64
        ("64:ff9b::", "0.0.0.0"),
        ("::ffff:0:7f00:1", "127.0.0.1"),  # stateless translation
        ("::7f00:1", "127.0.0.1"),  # IPv4-compatible
        ("fe80::5efe:7f00:1", "127.0.0.1"),  # ISATAP, of a private address
        ("2001:db8::200:5efe:102:304", "1.2.3.4"),  # of a global one
        ("::", None),
        ("::1", None),
        ("2001:db8::1", None),
        ("fe80::1", None),
        ("1.2.3.4", None),
    ],
)
def test_the_address_behind_a_tunnel_is_found(text, behind):
    found = networks.embedded(networks.plain(text))
    assert (None if found is None else str(found)) == behind


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:0.0.0.0", "0.0.0.0"),
        ("fe80::1%lo", "fe80::1"),
        ("fe80::1%17", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_a_mapped_address_is_the_ipv4_one_and_a_scope_does_not_count(text, meant):
    assert str(networks.plain(text)) == meant


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3", "0x7f.1", "2130706433", "127.1", "[::1]", "1.2.3.4/8"]
)
def test_what_is_no_numeric_address_is_refused(text):
    with pytest.raises(ValueError, match="does not appear"):
        networks.plain(text)


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.0.1"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "239.255.255.250"),
        *("255.255.255.255", "::", "::1", "fe80::1", "febf::1", "fd00:ec2::254", "fd20:ce::254"),
        *("ff02::1", "64:ff9b:1::7f00:1"),
    ],
)
def test_ranges_out_of_reach(text):
    assert networks.special(networks.plain(text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "10.0.0.1",
        "192.168.0.1",
        "128.0.0.1",
        "126.255.255.255",
        "fd00::1",
        "2001:db8::1",
        "fec0::1",
    ],
)
def test_ordinary_addresses_are_not_special(text):
    assert networks.special(networks.plain(text)) is None


@given(V4)
def test_every_form_of_an_ipv4_address_leads_back_to_it(address):
    number = int(address)
    assert networks.plain(f"::ffff:{address}") == address
    assert networks.embedded(networks.plain(f"64:ff9b::{address}")) == address
    assert networks.embedded(ipaddress.IPv6Address(0x2002 << 112 | number << 80)) == address


@given(V4 | V6, V4 | V6)
def test_a_network_lies_within_another_if_all_of_it_does(inner, outer):
    one, other = (ipaddress.ip_network(each) for each in (inner, outer))
    assert networks.lies_within(one, other) is (inner == outer)
    assert networks.lies_within(one, networks.EVERY[inner.version])
    assert not networks.lies_within(networks.EVERY[inner.version], one)
