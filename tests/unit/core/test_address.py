"""Addresses are checked when they are made, so that none reaches the kernel that it has no room for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core import address
from socketd.core.address import Address, Service
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

LO = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("make", "member", "symbol"),
    [
        (lambda: address.host_and_port("127.0.0.1", 65536), "port", "EINVAL"),
        (lambda: address.host_and_port("127.0.0.1", -1), "port", "EINVAL"),
        (lambda: address.host_and_port("127.0.0.1", "99999"), "port", "EINVAL"),
        (lambda: address.host_and_port("127.0.0.1", "9" * 5000), "port", "EINVAL"),
        (lambda: address.host_and_port(None, None), "host", "EINVAL"),
        (lambda: address.host_and_port("*", None), "host", "EINVAL"),
        (lambda: address.host_and_port("fe80::1%nosuch0", 80), "interface", "ENODEV"),
        (lambda: address.host_and_port("fe80::1%", 80), "interface", "ENODEV"),
        (lambda: address.host_and_port("fe80::1%4294967296", 80), "scope_id", "EINVAL"),
        (lambda: address.inet6("127.0.0.1", 80), "host", "EINVAL"),
        (lambda: address.inet6("name", 80), "host", "EINVAL"),
        (lambda: address.inet6("::1", 65536), "port", "EINVAL"),
        (lambda: address.inet6("::1", 80, 0x100000), "flowinfo", "EINVAL"),
        (lambda: address.inet6("::1", 80, 0, 2**32), "scope_id", "EINVAL"),
        (lambda: address.unix_path(""), "path", "EINVAL"),
        (lambda: address.unix_path("run/x.sock"), "path", "EINVAL"),
        (lambda: address.unix_path("/run/\0x"), "path", "EINVAL"),
        (lambda: address.unix_path("/" + "x" * 107), "path", "ENAMETOOLONG"),
        (lambda: address.unix_path("/" + "é" * 54), "path", "ENAMETOOLONG"),
        (lambda: address.unix_path("/half a pair \ud800"), "path", "EINVAL"),
        (lambda: address.unix_abstract("x" * 108), "abstract", "ENAMETOOLONG"),
        (lambda: address.unix_abstract("\ud800"), "abstract", "EINVAL"),
        (lambda: address.vsock(2**32, 1), "cid", "EINVAL"),
        (lambda: address.vsock(1, -1), "port", "EINVAL"),
        (lambda: address.netlink(-1), "pid", "EINVAL"),
        (lambda: address.netlink(0, 2**32), "groups", "EINVAL"),
        (lambda: address.packet("nosuch0"), "interface", "ENODEV"),
        (lambda: address.packet("lo\0"), "interface", "ENODEV"),
        (lambda: address.packet("\ud800"), "interface", "ENODEV"),
        (lambda: address.packet("lo", 0x10000), "protocol", "EINVAL"),
        (lambda: address.packet("lo", 3, 256), "packet_type", "EINVAL"),
        (lambda: address.packet("lo", 3, 0, (0x10000, b"")), "hardware_type", "EINVAL"),
        (lambda: address.packet("lo", 3, 0, (1, bytes(9))), "hardware_address", "EINVAL"),
    ],
)
def test_what_the_structure_has_no_room_for_is_refused(make: Callable[[], object], member: str, symbol: str):
    with pytest.raises(InvalidRequestError) as caught:
        make()
    assert (caught.value.member, caught.value.symbol) == (member, symbol)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (address.host_and_port("127.0.0.1", 80), Address(socket.AF_INET, ("127.0.0.1", 80))),
        (address.host_and_port("127.0.0.1", "080"), Address(socket.AF_INET, ("127.0.0.1", 80))),
        (address.host_and_port("0:0::1", 80), Address(socket.AF_INET6, ("::1", 80, 0, 0))),
        (address.host_and_port("fe80::1%lo", 80), Address(socket.AF_INET6, ("fe80::1", 80, 0, LO))),
        (address.host_and_port("fe80::1%7", 80), Address(socket.AF_INET6, ("fe80::1", 80, 0, 7))),
        (address.host_and_port("localhost", 80), Service("localhost", "80")),
        (address.host_and_port("localhost", "http"), Service("localhost", "http")),
        (address.host_and_port("127.0.0.1", "http"), Service("127.0.0.1", "http")),
        (address.host_and_port("", 80), Service(None, "80")),
        (address.host_and_port("*", 80), Service(None, "80")),
        (address.host_and_port(None, "3490", socket.AI_PASSIVE), Service(None, "3490", socket.AI_PASSIVE)),
        (address.host_and_port("localhost", None), Service("localhost", None)),
        (address.inet6("fe80::1%lo", 80, 5), Address(socket.AF_INET6, ("fe80::1", 80, 5, LO))),
        (address.inet6("fe80::1", 80, 0, 9), Address(socket.AF_INET6, ("fe80::1", 80, 0, 9))),
        (address.unix_path("/" + "x" * 106), Address(socket.AF_UNIX, "/" + "x" * 106)),
        (address.unix_path(b"/\xff"), Address(socket.AF_UNIX, "/\udcff")),
        (address.unix_abstract("x" * 107), Address(socket.AF_UNIX, b"\0" + b"x" * 107)),
        (address.unix_abstract(b"a\0b\xff"), Address(socket.AF_UNIX, b"\0a\0b\xff")),
        (address.unix_unnamed(), Address(socket.AF_UNIX, "")),
        (address.packet("lo", 3), Address(socket.AF_PACKET, ("lo", 3, 0, 0, b""))),
    ],
)
def test_a_checked_address_is_what_pythons_socket_takes(made: object, expected: object):
    assert made == expected


@given(st.text(max_size=200), st.text(max_size=12) | st.integers(-10, 70_000) | st.none())
def test_any_text_makes_an_endpoint_or_an_invalid_request(host: str, service: str | int | None):
    try:
        made = address.host_and_port(host, service)
    except InvalidRequestError:
        return
    assert isinstance(made, Address | Service)


@given(st.text(st.characters(codec=None), max_size=150))
def test_any_path_or_name_makes_an_address_that_encodes_or_an_invalid_request(name: str):
    for make in (address.unix_path, address.unix_abstract):
        try:
            made = make(name)
        except InvalidRequestError:
            continue
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError) as caught:
            refused_or_absent(probe, made)
        assert caught.value.errno


def refused_or_absent(probe: socket.socket, made: Address) -> None:
    """Let CPython encode the address for a real call: nobody listens at any of these."""
    try:
        probe.connect(made.sockaddr)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConnectionRefusedError(error.errno, "absent") from error
