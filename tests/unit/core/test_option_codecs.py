"""Option values turn into the kernel's bytes and back, and wrong ones never get that far."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.option_codecs import BUFFER_MAX, Kind, buffer_size, decode, encode
from socketd.errors import InvalidRequestError

_WRONG = [
    (Kind.INT, True),
    (Kind.INT, "5"),
    (Kind.INT, 1.0),
    (Kind.INT, 2**31),
    (Kind.INT, -(2**31) - 1),
    (Kind.INT, None),
    (Kind.UINT, -1),
    (Kind.UINT, 2**32),
    (Kind.U64, -1),
    (Kind.U64, 2**64),
    (Kind.BOOL, 2),
    (Kind.BOOL, "true"),
    (Kind.BOOL, 1.0),
    (Kind.TIMEVAL, -0.1),
    (Kind.TIMEVAL, float("nan")),
    (Kind.TIMEVAL, float("inf")),
    (Kind.TIMEVAL, True),
    (Kind.TIMEVAL, "1"),
    (Kind.LINGER, 5),
    (Kind.LINGER, {"enabled": True}),
    (Kind.LINGER, {"enabled": 1, "seconds": 1}),
    (Kind.LINGER, {"enabled": True, "seconds": -1}),
    (Kind.LINGER, {"enabled": True, "seconds": 1, "minutes": 1}),
    (Kind.STRING, 5),
    (Kind.STRING, "sixteen--letters"),
    (Kind.STRING, "nul\0inside"),
    (Kind.STRING, "\ud800"),
    (Kind.BYTES, "text"),
    (Kind.BYTES, 5),
    (Kind.U32_LIST, [1]),
    (Kind.UCRED, {"pid": 1, "uid": 0, "gid": 0}),
    (Kind.MEMINFO, {}),
    (Kind.PACKET_STATS, {"packets": 0, "drops": 0}),
    (Kind.TXTIME, {"clockid": 11}),
    (Kind.IFINDEX, "no-such-interface"),
    (Kind.IFINDEX, "nul\0"),
    (Kind.IFINDEX, -1),
    (Kind.IFINDEX_BE, "no-such-interface"),
    (Kind.PORT_RANGE, {"low": 1, "high": 65536}),
    (Kind.IN_ADDR, "::1"),
    (Kind.IN_ADDR, 1),
    (Kind.IN_ADDR, {"interfase": "lo"}),
    (Kind.MREQN, {"interface": "lo"}),
    (Kind.MREQN, {"group": "ff02::1", "interface": "lo"}),
    (Kind.MREQ_SOURCE, {"group": "239.0.0.1"}),
    (Kind.IPV6_MREQ, {"group": "239.0.0.1"}),
    (Kind.IPV6_MREQ, {"group": "ff02::1%lo"}),
    (Kind.IN6_PKTINFO, {"address": None}),
    (Kind.GROUP_REQ, {"group": "nowhere"}),
    (Kind.GROUP_SOURCE_REQ, {"group": "239.0.0.1"}),
    (Kind.PACKET_MREQ, {"interface": "lo", "type": "everything"}),
    (Kind.PACKET_MREQ, {"interface": "lo", "type": "multicast", "address": "zz"}),
    (Kind.PACKET_MREQ, {"interface": "lo", "type": "multicast", "address": "00" * 9}),
]


@pytest.mark.parametrize(("kind", "value"), _WRONG)
def test_wrong_value_is_refused_by_member(kind, value):
    with pytest.raises(InvalidRequestError) as caught:
        encode(kind, value)
    assert caught.value.member == "value"


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind not in {Kind.STRING, Kind.BYTES, Kind.U32_LIST}]
)
def test_too_few_bytes_are_no_value(kind):
    for short in (b"", *([] if buffer_size(kind) <= 4 else [bytes(buffer_size(kind) - 1)])):
        with pytest.raises(ValueError, match="too few"):
            decode(kind, short)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_fits_what_cpython_can_ask_for(kind):
    assert 0 < buffer_size(kind) <= BUFFER_MAX


@given(value=st.integers(-(2**31), 2**31 - 1))
def test_int_goes_there_and_back(value):
    assert encode(Kind.INT, value) == struct.pack("=i", value)
    assert decode(Kind.INT, encode(Kind.INT, value)) == value


@given(value=st.integers(0, 2**32 - 1))
def test_uint_goes_there_and_back(value):
    assert decode(Kind.UINT, encode(Kind.UINT, value)) == value


@given(value=st.integers(0, 2**64 - 1))
def test_u64_goes_there_and_back(value):
    assert decode(Kind.U64, encode(Kind.U64, value)) == value


def test_a_single_byte_is_an_int_too():
    assert decode(Kind.INT, b"\xff") == 255


@pytest.mark.parametrize(("given_", "back"), [(True, True), (False, False), (1, True), (0, False)])
def test_bool_goes_there_and_back(given_, back):
    assert decode(Kind.BOOL, encode(Kind.BOOL, given_)) is back


def test_any_number_but_zero_reads_as_true():
    assert decode(Kind.BOOL, struct.pack("=i", 8)) is True


@given(microseconds=st.integers(0, 2**31 * 1_000_000 - 1_000_000))
def test_seconds_keep_their_microseconds(microseconds):
    raw = encode(Kind.TIMEVAL, microseconds / 1_000_000)
    assert struct.unpack("@ll", raw) == divmod(microseconds, 1_000_000)
    assert decode(Kind.TIMEVAL, raw) == pytest.approx(microseconds / 1_000_000)


def test_a_very_short_time_does_not_become_for_ever():
    assert struct.unpack("@ll", encode(Kind.TIMEVAL, 1e-9)) == (0, 1)


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15))
def test_string_goes_there_and_back(value):
    if len(value.encode()) <= 15:
        assert encode(Kind.STRING, value) == value.encode() + b"\0"
        assert decode(Kind.STRING, encode(Kind.STRING, value) + b"rest") == value


def test_list_of_numbers_leaves_a_torn_last_one_out():
    assert decode(Kind.U32_LIST, struct.pack("=II", 5, 2**32 - 1) + b"\1") == [5, 2**32 - 1]
    assert decode(Kind.U32_LIST, b"") == []


def test_nobody_is_null():
    assert decode(Kind.UCRED, struct.pack("=iII", 0, 2**32 - 1, 1000)) == {"pid": 0, "uid": None, "gid": 1000}


@given(enabled=st.booleans(), seconds=st.integers(0, 2**31 - 1))
def test_linger_goes_there_and_back(enabled, seconds):
    value = {"enabled": enabled, "seconds": seconds}
    assert encode(Kind.LINGER, value) == struct.pack("=ii", enabled, seconds)
    assert decode(Kind.LINGER, encode(Kind.LINGER, value)) == value


@given(low=st.integers(0, 65535), high=st.integers(0, 65535))
def test_port_range_is_one_number(low, high):
    raw = encode(Kind.PORT_RANGE, {"low": low, "high": high})
    assert struct.unpack("=I", raw)[0] == high << 16 | low
    assert decode(Kind.PORT_RANGE, raw) == {"low": low, "high": high}


def test_interface_goes_by_name_or_number():
    index = socket.if_nametoindex("lo")
    assert encode(Kind.IFINDEX, "lo") == encode(Kind.IFINDEX, index) == struct.pack("=i", index)
    assert encode(Kind.IFINDEX_BE, "lo") == struct.pack("!I", index)
    assert decode(Kind.IFINDEX_BE, encode(Kind.IFINDEX_BE, "lo")) == index


@given(group=st.ip_addresses(v=4), address=st.ip_addresses(v=4), interface=st.integers(0, 2**31 - 1))
def test_ipv4_membership_goes_there_and_back(group, address, interface):
    value = {"group": str(group), "address": str(address), "interface": interface}
    assert encode(Kind.MREQN, value) == struct.pack("=4s4si", group.packed, address.packed, interface)
    assert decode(Kind.MREQN, encode(Kind.MREQN, value)) == value


@given(group=st.ip_addresses(v=6), interface=st.integers(0, 2**31 - 1))
def test_ipv6_membership_goes_there_and_back(group, interface):
    value = {"group": str(group), "interface": interface}
    assert encode(Kind.IPV6_MREQ, value) == group.packed + struct.pack("=i", interface)
    assert decode(Kind.IPV6_MREQ, encode(Kind.IPV6_MREQ, value)) == value


@given(group=st.ip_addresses(), source=st.ip_addresses(), interface=st.integers(0, 2**31 - 1))
def test_source_membership_of_rfc_3678_goes_there_and_back(group, source, interface):
    value = {"interface": interface, "group": str(group), "source": str(source)}
    raw = encode(Kind.GROUP_SOURCE_REQ, value)
    assert decode(Kind.GROUP_SOURCE_REQ, raw) == value
    if group.version == 4:
        assert raw[-256:-248] == struct.pack("=HH4s", socket.AF_INET, 0, group.packed)


@given(raw=st.binary(max_size=8), kind=st.sampled_from(["multicast", "promisc", "allmulti", "unicast"]))
def test_packet_membership_goes_there_and_back(raw, kind):
    value = {"interface": 1, "type": kind, "address": raw.hex(":")}
    assert decode(Kind.PACKET_MREQ, encode(Kind.PACKET_MREQ, value)) == value


def test_multicast_interface_goes_by_address_or_by_interface():
    index = socket.if_nametoindex("lo")
    assert encode(Kind.IN_ADDR, "127.0.0.1") == ipaddress.IPv4Address("127.0.0.1").packed
    assert encode(Kind.IN_ADDR, {"interface": "lo"}) == bytes(8) + struct.pack("=i", index)


@given(
    kind=st.sampled_from(list(Kind)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    ),
)
def test_any_json_is_encoded_or_refused(kind, value):
    try:
        assert isinstance(encode(kind, value), bytes)
    except InvalidRequestError as error:
        assert error.member == "value"  # noqa: PT017 (both ends are right)


@given(kind=st.sampled_from(list(Kind)), raw=st.binary(max_size=300))
def test_any_bytes_are_decoded_or_too_few(kind, raw):
    try:
        decode(kind, raw)
    except ValueError as error:
        assert "too few" in str(error)  # noqa: PT017 (both ends are right)
