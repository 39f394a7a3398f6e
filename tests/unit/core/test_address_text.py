"""Addresses as a person types them, both ways, and a clear refusal of everything else."""

from __future__ import annotations

import ipaddress
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core import address
from socketd.core.address import UNSPEC, Address, Service
from socketd.core.address_text import parse, text
from socketd.errors import InvalidRequestError

LO = socket.if_nametoindex("lo")
PORTS = st.integers(0, 0xFFFF)
WORDS = st.integers(0, 2**32 - 1)
# Surrogates beyond U+DC80 to U+DCFF are bytes of no file name, and are refused (test_address.py).
NAMES = st.binary(max_size=60)
ADDRESSES = st.one_of(
    st.builds(lambda a, p: Address(socket.AF_INET, (str(a), p)), st.ip_addresses(v=4), PORTS),
    st.builds(
        lambda a, p, s: Address(socket.AF_INET6, (socket.inet_ntop(socket.AF_INET6, a.packed), p, 0, s)),
        st.ip_addresses(v=6),
        PORTS,
        st.sampled_from([0, 1, 2, 77]),
    ),
    st.builds(
        address.unix_path,
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=25).map("/{}".format),
    ),
    st.builds(address.unix_abstract, st.text(st.characters(codec="utf-8"), max_size=25)),
    st.builds(address.vsock, WORDS, WORDS),
    st.builds(address.netlink, WORDS, WORDS),
    st.builds(address.packet, st.just("lo"), PORTS),
)


@pytest.mark.parametrize(
    ("written", "member", "symbol"),
    [
        ("127.0.0.1:99999", "port", "EINVAL"),
        ("99999", "port", "EINVAL"),
        ("[::1]:65536", "port", "EINVAL"),
        ("::1:80", "address", "EINVAL"),
        ("::1", "address", "EINVAL"),
        ("[::1]", "address", "EINVAL"),
        ("[::1]80", "address", "EINVAL"),
        ("[::1:80", "address", "EINVAL"),
        ("[]:80", "address", "EINVAL"),
        ("localhost", "address", "EINVAL"),
        ("localhost:", "address", "EINVAL"),
        (":", "address", "EINVAL"),
        ("", "address", "EINVAL"),
        ("a\0b:80", "address", "EINVAL"),
        ("run/x.sock", "address", "EINVAL"),
        ("./x.sock", "address", "EINVAL"),
        ("/run/\0", "path", "EINVAL"),
        ("/" + "x" * 107, "path", "ENAMETOOLONG"),
        ("/\ud800", "path", "EINVAL"),
        ("@" + "x" * 108, "abstract", "ENAMETOOLONG"),
        ("@\ud800", "abstract", "EINVAL"),
        ("[fe80::1%nosuch0]:80", "interface", "ENODEV"),
        ("vsock:2:", "port", "EINVAL"),
        ("vsock::1", "cid", "EINVAL"),
        ("vsock:2:4294967296", "port", "EINVAL"),
        ("vsock:somebody:1", "cid", "EINVAL"),
        ("netlink:0:-1", "groups", "EINVAL"),
        ("netlink:x:1", "pid", "EINVAL"),
        ("netlink:99999999999:1", "pid", "EINVAL"),
        ("packet:nosuch0:all", "interface", "ENODEV"),
        ("packet:lo:nosuch", "protocol", "EINVAL"),
        ("packet:lo:65536", "protocol", "EINVAL"),
        ("packet:lo:", "protocol", "EINVAL"),
        ("127.0.0.1:80:81", "address", "EINVAL"),
    ],
)
def test_what_is_no_address_is_refused(written: str, member: str, symbol: str):
    with pytest.raises(InvalidRequestError) as caught:
        parse(written)
    assert (caught.value.member, caught.value.symbol) == (member, symbol)


def test_a_refusal_shows_how_addresses_are_written_and_no_more_of_ours_than_fits():
    with pytest.raises(InvalidRequestError) as caught:
        parse("x" * 10_000)
    assert len(str(caught.value)) < 200
    assert "[::1]:80" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("127.0.0.1:80", Address(socket.AF_INET, ("127.0.0.1", 80))),
        ("[127.0.0.1]:80", Address(socket.AF_INET, ("127.0.0.1", 80))),
        ("[::1]:80", Address(socket.AF_INET6, ("::1", 80, 0, 0))),
        ("[fe80::1%lo]:80", Address(socket.AF_INET6, ("fe80::1", 80, 0, LO))),
        ("[::ffff:192.0.2.1]:80", Address(socket.AF_INET6, ("::ffff:192.0.2.1", 80, 0, 0))),
        ("localhost:80", Service("localhost", "80")),
        ("localhost:http", Service("localhost", "http")),
        (":80", Service(None, "80")),
        ("*:80", Service(None, "80")),
        ("80", Service(None, "80")),
        ("vsock:2", Service("vsock", "2")),
        ("/run/x.sock", Address(socket.AF_UNIX, "/run/x.sock")),
        ("/with:colon:and @", Address(socket.AF_UNIX, "/with:colon:and @")),
        ("@name", Address(socket.AF_UNIX, b"\0name")),
        ("@", Address(socket.AF_UNIX, b"\0")),
        ("vsock:2:1234", Address(socket.AF_VSOCK, (2, 1234))),
        ("vsock:any:1234", Address(socket.AF_VSOCK, (2**32 - 1, 1234))),
        ("vsock:local:any", Address(socket.AF_VSOCK, (1, 2**32 - 1))),
        ("vsock:host:1", Address(socket.AF_VSOCK, (2, 1))),
        ("vsock:hypervisor:1", Address(socket.AF_VSOCK, (0, 1))),
        ("netlink:0:1", Address(socket.AF_NETLINK, (0, 1))),
        ("packet:lo:all", Address(socket.AF_PACKET, ("lo", 3, 0, 0, b""))),
        ("packet:lo:ETH_P_IP", Address(socket.AF_PACKET, ("lo", 0x0800, 0, 0, b""))),
        ("packet:lo:0x0806", Address(socket.AF_PACKET, ("lo", 0x0806, 0, 0, b""))),
    ],
)
def test_every_syntax_is_read(written: str, expected: object):
    assert parse(written) == expected


@given(ADDRESSES)
def test_what_is_written_is_read_back(made: Address):
    assert parse(text(made)) == made


@given(st.text(st.characters(codec=None), max_size=130))
def test_any_text_is_read_or_is_an_invalid_request(written: str):
    try:
        found = parse(written)
    except InvalidRequestError:
        return
    assert isinstance(found, Address | Service)


@given(NAMES)
def test_names_that_are_no_text_are_written_all_the_same(name: bytes):
    for made in (address.unix_abstract(name), Address(socket.AF_UNIX, os.fsdecode(name))):
        text(made).encode()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Address(socket.AF_INET6, ("fe80::1%lo", 80, 0, 1)), "[fe80::1%1]:80"),
        (Address(socket.AF_UNIX, ""), ""),
        (UNSPEC, "unspec:None"),
        (Address(socket.AF_INET, None), "inet:None"),
        (Address(29, ("can0",)), "can:('can0',)"),
        (Address(99, b"\xff"), "99:b'\\xff'"),
        (Address(socket.AF_PACKET, ("lo", 3, 0, 772, b"\0" * 6)), "packet:lo:3"),
    ],
)
def test_every_address_has_a_text(made: Address, expected: str):
    assert text(made) == expected


def test_the_kernels_own_addresses_are_read_back():
    for family, given_address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "")):
        with socket.socket(family) as probe:
            probe.bind(given_address)
            made = Address(family, probe.getsockname())
            assert parse(text(made)) == made


def test_ipv6_texts_are_those_of_ipaddress():
    made = parse("[2001:db8:0:0:1:0:0:1]:80")
    assert isinstance(made, Address)
    assert made.sockaddr[0] == str(ipaddress.ip_address("2001:db8:0:0:1:0:0:1"))
