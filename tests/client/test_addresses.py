from __future__ import annotations

import os
import socket

import pytest

from socketd_client.addresses import Address, UnixAddress, address_from_json
from socketd_client.naming import address_text, guessed_address, wire_address

FAMILIES = {
    "inet": socket.AF_INET,
    "inet6": socket.AF_INET6,
    "unix": socket.AF_UNIX,
    "netlink": socket.AF_NETLINK,
}

REFUSED = [
    ("inet", ["127.0.0.1", 80]),
    ("inet", ("127.0.0.1",)),
    ("inet", ("127.0.0.1", 80, 0)),
    ("inet", ("127.0.0.1", "80")),
    ("inet", ("127.0.0.1", 65536)),
    ("inet", ("127.0.0.1", -1)),
    ("inet", (1, 80)),
    ("inet", "127.0.0.1:80"),
    ("inet6", ["::1", 80]),
    ("inet6", ("::1", 65536)),
    ("inet6", ("::1", 80, 0x100000)),
    ("inet6", ("::1", 80, -1)),
    ("inet6", ("::1", 80, 0, 0, 0)),
    ("unix", 7),
    ("netlink", ["0", 0]),
    ("netlink", (0,)),
]


@pytest.mark.parametrize(("family", "value"), REFUSED)
def test_argument_error_is_of_the_class_a_local_socket_raises(family: str, value: object):
    with (
        socket.socket(FAMILIES[family], socket.SOCK_DGRAM) as local,
        pytest.raises(Exception, match=r".") as by_kernel,
    ):
        local.connect(value)  # type: ignore[arg-type]
    with pytest.raises(type(by_kernel.value)):
        wire_address(value, family, "connect")


def test_unknown_family_is_refused():
    with pytest.raises(OSError, match="unknown address family"):
        wire_address(("a", 1), "ax25", "bind")


@pytest.mark.parametrize(
    ("family", "value", "wire"),
    [
        ("inet", ("127.0.0.1", 80), {"family": "inet", "host": "127.0.0.1", "port": 80}),
        ("inet", (b"127.0.0.1", 80), {"family": "inet", "host": "127.0.0.1", "port": 80}),
        ("inet", ("", 0), {"family": "inet", "host": "0.0.0.0", "port": 0}),
        ("inet", ("<broadcast>", 9), {"family": "inet", "host": "255.255.255.255", "port": 9}),
        ("inet", ("localhost", 80), {"host": "localhost", "service": "80"}),
        ("inet6", ("::1", 80), {"family": "inet6", "host": "::1", "port": 80, "flowinfo": 0, "scope_id": 0}),
        ("inet6", ("", 0, 1, 2), {"family": "inet6", "host": "::", "port": 0, "flowinfo": 1, "scope_id": 2}),
        ("inet6", ("fe80::1%lo", 80), {"host": "fe80::1%lo", "service": "80"}),
        ("unix", "/run/x.sock", {"family": "unix", "path": "/run/x.sock"}),
        ("unix", b"/run/\xff", {"family": "unix", "path_base64": "L3J1bi//"}),
        ("unix", b"\0name", {"family": "unix", "abstract": "name"}),
        ("unix", "\0name", {"family": "unix", "abstract": "name"}),
        ("unix", b"\0\xff", {"family": "unix", "abstract_base64": "/w=="}),
        ("unix", "", {"family": "unix", "unnamed": True}),
        ("vsock", (2, 1234), {"family": "vsock", "cid": 2, "port": 1234}),
        ("netlink", (0, 1), {"family": "netlink", "pid": 0, "groups": 1}),
        ("packet", ("lo", 3), {"family": "packet", "interface": "lo", "protocol": 3}),
        (
            "packet",
            ("lo", 3, 4, 772, b"\0\1"),
            {
                "family": "packet",
                "interface": "lo",
                "protocol": 3,
                "packet_type": 4,
                "hardware_type": 772,
                "hardware_address": "00:01",
            },
        ),
    ],
)
def test_tuple_becomes_the_wires_object(family: str, value: object, wire: dict[str, object]):
    assert wire_address(value, family, "bind") == wire


def test_relative_path_is_relative_to_this_process():
    assert wire_address("x.sock", "unix", "bind") == {"family": "unix", "path": f"{os.getcwd()}/x.sock"}  # noqa: PTH109


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"family": "inet", "host": "127.0.0.1", "port": 80, "new": 1}, ("127.0.0.1", 80)),
        ({"family": "inet6", "host": "fe80::1", "port": 80, "scope_id": 2}, ("fe80::1", 80, 0, 2)),
        ({"family": "unix", "path": "/run/x"}, "/run/x"),
        ({"family": "unix", "path_base64": "L3J1bi//"}, os.fsdecode(b"/run/\xff")),
        ({"family": "unix", "abstract": "größe"}, b"\0gr\xc3\xb6\xc3\x9fe"),
        ({"family": "unix", "abstract_base64": "/w=="}, b"\0\xff"),
        ({"family": "unix", "unnamed": True}, ""),
        ({"family": "vsock", "cid": 2, "port": 1}, (2, 1)),
        ({"family": "netlink", "pid": 5, "groups": 1}, (5, 1)),
        (
            {
                "family": "packet",
                "interface": "lo",
                "protocol": 3,
                "packet_type": 0,
                "hardware_type": 772,
                "hardware_address": "00:00:00:00:00:00",
            },
            ("lo", 3, 0, 772, b"\0" * 6),
        ),
        ({"family": "ax25", "text": "N0CALL"}, "N0CALL"),
    ],
)
def test_answer_becomes_what_the_socket_module_gives(data: dict[str, object], expected: object):
    address = address_from_json(data)
    assert address is not None
    assert address.as_tuple() == expected
    assert address_from_json(None) is None


@pytest.mark.parametrize("name", ["/tmp/a", b"\0abstract", b"\0\xff\x00", ""])
def test_unix_name_is_the_same_after_the_wire(name: str | bytes):
    wire = UnixAddress.from_name(name).to_json()
    assert UnixAddress.from_json(wire).as_tuple() == name


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ({"service": "3490"}, {"service": "3490"}),
        (("127.0.0.1", 80), {"family": "inet", "host": "127.0.0.1", "port": 80}),
        (("::1", 80), {"family": "inet6", "host": "::1", "port": 80, "flowinfo": 0, "scope_id": 0}),
        (("::1", 80, 0, 0), {"family": "inet6", "host": "::1", "port": 80, "flowinfo": 0, "scope_id": 0}),
        (b"\0name", {"family": "unix", "abstract": "name"}),
        (Address(text="vsock:2:1"), "vsock:2:1"),
    ],
)
def test_family_is_told_by_the_address(value: object, wire: object):
    assert guessed_address(value, "bind") == wire


@pytest.mark.parametrize(
    ("family", "value", "text"),
    [
        ("inet", ("127.0.0.1", 80), "127.0.0.1:80"),
        ("inet", ("localhost", 80), "localhost:80"),
        ("inet6", ("::1", 80), "[::1]:80"),
        ("inet6", ("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
        ("inet6", ("fe80::1%lo", 80), "[fe80::1%lo]:80"),
        ("inet6", ("::1", 80, 5, 0), None),
        ("unix", "/run/x", "/run/x"),
        ("unix", b"\0name", "@name"),
        ("unix", b"\0\xff", None),
        ("packet", ("lo", 3), None),
    ],
)
def test_text_of_an_address_or_none_where_it_would_lose_something(
    family: str, value: object, text: str | None
):
    assert address_text(wire_address(value, family, "sendto")) == text
