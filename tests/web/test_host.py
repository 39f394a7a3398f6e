"""What belongs to no held socket: process, descriptors, resolver, byte order, networks, the service."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web

AS_JSON = {"Accept": "application/json"}


def test_process_is_this_one(web: Web):
    told = web.done("GET", "/v1/process")
    assert (told["pid"], told["ppid"], told["uid"]) == (os.getpid(), os.getppid(), os.getuid())
    assert told["byte_order"] == sys.byteorder
    assert told["uptime_s"] > 0


@pytest.mark.parametrize("n", ["99999", "2147483647", "99999999999999999999"])
def test_descriptor_that_is_not_open_is_404(web: Web, n):
    assert web.refused("GET", f"/v1/process/fds/{n}") == (404, "EBADF")


@pytest.mark.parametrize("n", ["x", "-1", "1.5", "0x1"])
def test_what_is_no_descriptor_number_is_404(web: Web, n):
    assert web.refused("GET", f"/v1/process/fds/{n}")[0] == 404


def test_descriptor_is_shown_as_text_and_as_json(web: Web):
    fd = web.create()["fd"]
    told = web.done("GET", f"/v1/process/fds/{fd}", None, AS_JSON)
    assert told["link"] == str(Path(f"/proc/self/fd/{fd}").readlink())
    assert told["text"] == Path(f"/proc/self/fdinfo/{fd}").read_text()
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/plain"}):
        answer = web.ask("GET", f"/v1/process/fds/{fd}", headers=accept)
        assert answer.mimetype == "text/plain"
        assert answer.text == f"{fd} -> {told['link']}\n{told['text']}"


def test_descriptors_are_shown_as_a_tree_and_as_json(web: Web):
    made = web.create(name="web", bind="127.0.0.1:0", listen=True)
    told = web.done("GET", "/v1/process/fds", None, AS_JSON)
    (row,) = [row for row in told["descriptors"] if row["socket"]]
    assert (row["fd"], row["link"]) == (made["fd"], made["proc"]["link"])
    assert row["socket"]["local"] == made["local"]["text"]
    tree = web.ask("GET", "/v1/process/fds").text.splitlines()
    assert tree[0] == f"/proc/{os.getpid()}/fd"
    assert (
        f"└── {made['fd']} -> {made['proc']['link']}  held web inet stream listening {made['local']['text']}"
        in tree
    )


@pytest.mark.parametrize(
    ("query", "status", "errno"),
    [
        ("", 422, "EAI_NONAME"),
        ("host=no-such-host.invalid", 422, None),
        ("host=example.com&flags=AI_NUMERICHOST", 422, "EAI_NONAME"),
        ("host=127.0.0.1&service=no-such-service", 422, "EAI_SERVICE"),
        ("host=a..b&service=1", 422, "EAI_NONAME"),
        (f"host={'a' * 300}&service=1", 422, "EAI_NONAME"),
        ("host=127.0.0.1&flags=AI_NONSENSE", 422, "EINVAL"),
        ("host=127.0.0.1&family=nonsense", 422, "EINVAL"),
        ("host=127.0.0.1&protocol=nonsense", 422, "EINVAL"),
        ("hots=127.0.0.1", 422, "EINVAL"),
    ],
)
def test_name_that_cannot_be_resolved_says_why(web: Web, query, status, errno):
    told = web.refused("GET", f"/v1/addrinfo?{query}")
    assert told[0] == status
    assert told[1] == errno or (errno is None and told[1].startswith("EAI_"))


def test_addresses_are_those_of_getaddrinfo(web: Web):
    told = web.done(
        "GET", "/v1/addrinfo?host=127.0.0.1&service=3490&type=stream&flags=AI_NUMERICHOST,AI_CANONNAME"
    )
    expected = socket.getaddrinfo("127.0.0.1", 3490, type=socket.SOCK_STREAM)
    assert [(one["address"]["host"], one["address"]["port"]) for one in told["results"]] == [
        sockaddr for *_, sockaddr in expected
    ]
    assert told["canonical_name"] == "127.0.0.1"
    assert told["results"][0]["protocol"] == "tcp"


def test_passive_address_is_the_wildcard(web: Web):
    told = web.done("GET", "/v1/addrinfo?service=3490&flags=AI_PASSIVE&family=inet&type=1")
    assert [one["address"]["text"] for one in told["results"]] == ["0.0.0.0:3490"]


@pytest.mark.parametrize(
    "path",
    [
        "htons/65536",
        "htons/-1",
        "htonl/4294967296",
        "htons/x",
        "htons/1_0",
        f"htons/{'1' * 5000}",
        "swap/1",
        "htons/\u0661",
    ],
)
def test_number_that_does_not_fit_is_422(web: Web, path):
    assert web.refused("GET", f"/v1/byteorder/{path}") == (422, "EINVAL")


@pytest.mark.parametrize("function", ["htons", "htonl", "ntohs", "ntohl"])
@pytest.mark.parametrize("n", ["0", "3490", "0xDA2", "65535"])
def test_byte_order_is_what_the_c_library_does(web: Web, function, n):
    told = web.done("GET", f"/v1/byteorder/{function}/{n}")
    assert told["result"] == getattr(socket, function)(int(n, 0))
    width, host = told["width_bits"] // 8, told["value" if function.startswith("hton") else "result"]
    assert bytes(told["host_bytes"]) == host.to_bytes(width, sys.byteorder)
    assert bytes(told["network_bytes"]) == host.to_bytes(width, "big")


@pytest.mark.parametrize(
    "path", ["127.0.0.1/33", "127.0.0.1/-1", "127.0.0.1/x", "300.0.0.1/8", "::1/129", "x/8", "::1%25lo/64"]
)
def test_what_is_no_network_is_422(web: Web, path):
    assert web.refused("GET", f"/v1/networks/{path}") == (422, "EINVAL")


@pytest.mark.parametrize(
    ("path", "network", "hosts", "broadcast"),
    [
        ("192.168.1.77/24", "192.168.1.0", 254, "192.168.1.255"),
        ("192.168.1.77/31", "192.168.1.76", 2, None),
        ("192.168.1.77/32", "192.168.1.77", 1, None),
        ("10.1.2.3/0", "0.0.0.0", 2**32 - 2, "255.255.255.255"),
        ("2001:db8::7/64", "2001:db8::", 2**64, None),
        ("::1/0", "::", 2**128, None),
    ],
)
def test_network_is_worked_out(web: Web, path, network, hosts, broadcast):
    told = web.done("GET", f"/v1/networks/{path}")
    assert (told["network"], told["broadcast"]) == (network, broadcast)
    assert hosts - 1 <= told["host_count"] <= hosts
    assert told["address_count"] == 2 ** ((32 if told["version"] == 4 else 128) - told["prefix"])


def test_service_says_who_it_takes_us_for(web: Web):
    told = web.done("GET", "/v1/")
    caller = told["caller"]
    assert (caller["uid"], caller["gid"], caller["pid"], caller["via"]) == (
        os.getuid(),
        os.getgid(),
        os.getpid(),
        "unix",
    )
    assert told["sockets"] == 0
    assert told["limits"]["body_bytes"] > 0


def test_links_of_the_service_lead_somewhere(web: Web):
    for path in web.done("GET", "/v1/")["links"].values():
        answer = web.ask("GET", path)
        assert answer.status_code == 200, path
        answer.close()  # that of the events has no end


def test_health_needs_nothing(web: Web):
    assert web.done("GET", "/healthz") == {"status": "ok"}
