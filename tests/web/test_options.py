"""Options by name and by number: refused, read, set and listed."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web


MOVING = ("SO_INCOMING_CPU", "SO_MEMINFO", "TCP_INFO", "TCP_TIMESTAMP")  # differ from one moment to the next


@pytest.fixture
def path(web: Web) -> str:
    return f"/v1/sockets/{web.create()['fd']}/options"


@pytest.mark.parametrize(
    ("name", "body", "status", "errno"),
    [
        ("SO_NONSENSE", {"value": 1}, 422, "ENOPROTOOPT"),
        ("SO_TYPE", {"value": 1}, 422, "ENOPROTOOPT"),
        ("1:9999", {"value": 1}, 422, "ENOPROTOOPT"),
        ("SO_REUSEADDR", {"value": "yes"}, 422, "EINVAL"),
        ("SO_KEEPALIVE", {"value": {"base64": "?"}}, 422, "EINVAL"),
        ("TCP_KEEPIDLE", {"value": 0}, 409, "EINVAL"),
        ("SO_LINGER", {"base64": "AA=="}, 409, "EINVAL"),
        ("SO_BINDTODEVICE", {"value": "no-such-device"}, 422, "ENODEV"),
    ],
)
def test_refused_option_says_why(web: Web, path, name, body, status, errno):
    assert web.refused("PUT", f"{path}/{name}", body) == (status, errno)


@pytest.mark.parametrize("body", [{}, {"value": 1, "base64": "AA=="}])
def test_one_of_value_and_base64_is_asked_for(web: Web, path, body):
    assert web.wrong_members("PUT", f"{path}/SO_KEEPALIVE", body) == {"value"}


def test_wrong_members_are_named(web: Web, path):
    assert web.wrong_members("PUT", f"{path}/SO_KEEPALIVE", {"base64": "?"}) >= {"base64"}
    assert web.wrong_members("GET", f"{path}/SO_KEEPALIVE?length=0") == {"length"}
    assert web.wrong_members("GET", f"{path}/SO_KEEPALIVE?lenth=4") == {"lenth"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SO_REUSEADDR", True),
        ("TCP_NODELAY", True),
        ("TCP_KEEPIDLE", 77),
        ("SO_RCVTIMEO", 1.5),
        ("SO_BINDTODEVICE", "lo"),
        ("TCP_CONGESTION", "reno"),
        ("IP_TTL", 9),
    ],
)
def test_option_is_set_and_read_back_typed(web: Web, path, name, value):
    answer = web.done("PUT", f"{path}/{name}", {"value": value})
    assert (answer["name"], answer["value"], answer["writable"]) == (name, value, True)
    assert web.done("GET", f"{path}/{name}") == answer


def test_option_by_number_is_the_same(web: Web, path):
    web.done("PUT", f"{path}/6:1", {"base64": base64.b64encode(struct.pack("i", 1)).decode()})
    assert web.done("GET", f"{path}/tcp_nodelay") == web.done("GET", f"{path}/6:1")
    raw = web.done("GET", f"{path}/6:1?length=4")
    assert struct.unpack("i", base64.b64decode(raw["base64"])) == (1,)


def test_kernel_doubles_buffers_and_the_answer_shows_it(web: Web, path):
    assert web.done("PUT", f"{path}/SO_RCVBUF", {"value": 10_000})["value"] == 20_000


def test_listing_reads_what_single_reads_give(web: Web, path):
    listed = web.done("GET", path)["options"]
    assert {"SO_REUSEADDR", "SO_TYPE", "TCP_NODELAY"} <= {option["name"] for option in listed}
    assert "SO_ERROR" not in {option["name"] for option in listed}
    for option in listed:
        if option["name"] not in MOVING:
            assert web.done("GET", f"{path}/{option['name']}") == option


def test_every_family_lists_its_options(web: Web):
    for wanted in (
        {"family": "inet6"},
        {"family": "unix"},
        {"family": "netlink", "type": "raw"},
        {"type": "dgram"},
    ):
        fd = web.create(**wanted)["fd"]
        assert len(web.done("GET", f"/v1/sockets/{fd}/options")["options"]) > 10
