"""Look-ups, and the wait for several: what they ask, and the records they make of the answers."""

from __future__ import annotations

import select
import socket

import pytest

from socketd_client import BadAnswerError
from tests.client.http_stand_in import SERVICE, Reply, Seen, socket_json
from tests.client.told_daemon import Daemon, daemon_says

__all__ = ["daemon_says"]  # fixtures


def test_poll_gives_back_the_handles_with_masks(daemon_says: Daemon):
    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(socket_json(fd=int(seen.path.rpartition("/")[2])))
        return Reply({"ready": [{"socket": 65, "fd": 65, "events": ["POLLIN", "POLLHUP", "POLLLATER"]}]})

    with daemon_says(answer) as client:
        one, other = client.sockets.get(64), client.sockets.get(65)
        assert client.poll([one, (other, select.POLLIN | select.POLLOUT)], 5) == [
            (other, select.POLLIN | select.POLLHUP)
        ]
    assert daemon_says.seen[-1].json() == {
        "sockets": [{"socket": 64, "events": ["POLLIN"]}, {"socket": 65, "events": ["POLLIN", "POLLOUT"]}],
        "timeout": 5,
    }


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_poll_that_runs_out_of_time_is_empty(daemon_says: Daemon, timeout: float):
    with daemon_says({"ready": []}) as client:
        assert client.poll([], timeout) == []


def test_service_document(daemon_says: Daemon):
    with daemon_says({**SERVICE, "caller": {"uid": 0, "via": "unix"}, "later": 1}) as client:
        info = client.info()
    assert (info.service, info.extensions, info.limits.body_bytes) == ("socketd", frozenset(), 200000)
    assert info.caller is not None
    assert info.caller.via == "unix"


@pytest.mark.parametrize(
    ("body", "is_well"), [({"status": "ok"}, True), ({"status": "dying"}, False), ({}, False)]
)
def test_health(daemon_says: Daemon, body: dict[str, str], is_well: bool):  # noqa: FBT001 - a test's parameter
    with daemon_says(body) as client:
        assert client.health() is is_well


def test_process(daemon_says: Daemon):
    bodies = {
        "/v1/process": Reply(
            {
                "pid": 5,
                "ppid": 1,
                "uid": 0,
                "gid": 0,
                "command": ["socketd"],
                "descriptors": {"open": 9, "soft_limit": 1024, "hard_limit": 4096},
            }
        ),
        "/v1/process/fds": Reply({"pid": 5, "descriptors": [{"fd": 0, "link": "/dev/null", "socket": None}]}),
        "/v1/process/fds/64": Reply(
            {"fd": 64, "link": "socket:[7]", "flag_names": ["O_RDWR"], "text": "pos:\t0\n"}
        ),
    }

    def answer(seen: Seen) -> Reply:
        if seen.headers["Accept"] == "text/plain":
            return Reply("├─ 0 → /dev/null\n".encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
        return bodies[seen.path]

    with daemon_says(answer) as client:
        info = client.process.info()
        assert info.command == ("socketd",)
        assert info.descriptors is not None
        assert info.descriptors.soft_limit == 1024
        assert [one.link for one in client.process.descriptors()] == ["/dev/null"]
        assert client.process.tree() == "├─ 0 → /dev/null\n"
        assert client.process.descriptor(64).flag_names == ("O_RDWR",)


def test_malformed_descriptor_list_is_a_bad_answer(daemon_says: Daemon):
    with daemon_says({"descriptors": 7}) as client, pytest.raises(BadAnswerError):
        client.process.descriptors()


def test_addrinfo(daemon_says: Daemon):
    address = {"family": "inet", "host": "0.0.0.0", "port": 3490, "text": "0.0.0.0:3490"}
    result = {"family": "inet", "type": "stream", "protocol": "tcp", "address": address}
    with daemon_says({"canonical_name": None, "results": [result]}) as client:
        found = client.addrinfo(
            service=3490, family=socket.AF_INET, type="stream", flags=["AI_PASSIVE", "AI_NUMERICSERV"]
        )
        assert found.results[0].address.as_tuple() == ("0.0.0.0", 3490)
    expected = {"service": "3490", "family": "inet", "type": "stream", "flags": "AI_PASSIVE,AI_NUMERICSERV"}
    assert daemon_says.seen[0].query == expected


@pytest.mark.parametrize("function", ["htons", "htonl", "ntohs", "ntohl"])
def test_byteorder(daemon_says: Daemon, function: str):
    body = {"function": function, "width_bits": 16, "value": 1, "result": 256, "network_bytes": [0, 1]}
    with daemon_says(body) as client:
        found = getattr(client.byteorder, function)(1)
    assert (found.result, found.network_bytes) == (256, (0, 1))
    assert daemon_says.seen[0].path == f"/v1/byteorder/{function}/1"


def test_network(daemon_says: Daemon):
    body = {
        "address": "fe80::1",
        "version": 6,
        "prefix": 64,
        "mask": "ffff:ffff:ffff:ffff::",
        "wildcard": "::ffff:ffff:ffff:ffff",
        "network": "fe80::",
        "broadcast": None,
        "first_host": "fe80::1",
        "last_host": "fe80::ffff:ffff:ffff:ffff",
        "host_count": 2**64 - 1,
        "address_count": 2**64,
        "kinds": ["link-local"],
    }
    with daemon_says(body) as client:
        found = client.network("fe80::1", 64)
    assert (found.address_count, found.kinds, found.broadcast) == (2**64, ("link-local",), None)
    assert daemon_says.seen[0].path == "/v1/networks/fe80%3A%3A1/64"
