"""The collection of sockets: what it asks, and the handles and records it makes of the answers."""

from __future__ import annotations

import dataclasses
import errno
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

import socketd_client
from socketd_client import ApiError, BadAnswerError, InetAddress
from tests.client.http_stand_in import Reply, Seen, problem, socket_json
from tests.client.told_daemon import Daemon, daemon_says

__all__ = ["daemon_says"]  # fixtures


def test_bulk_refusal_names_which_one(daemon_says: Daemon):
    with (
        daemon_says(problem("EADDRINUSE", index=3)) as client,
        pytest.raises(OSError, match="EADDRINUSE") as caught,
    ):
        client.sockets.create_many(5, bind="127.0.0.1:80")
    assert isinstance(caught.value, ApiError)
    assert caught.value.problem.index == 3


def test_unknown_reference_is_ebadf(daemon_says: Daemon):
    with daemon_says(problem("EBADF", 404, code="unknown_socket")) as client:
        with pytest.raises(OSError, match="EBADF") as caught:
            client.sockets.get("nobody")
        assert caught.value.errno == errno.EBADF


def test_named_socket_that_differs_is_file_exists_and_says_where(daemon_says: Daemon):
    with daemon_says(problem("EEXIST", code="differs", members=["bind", "type"])) as client:
        with pytest.raises(FileExistsError) as caught:
            client.sockets.ensure("web", bind="127.0.0.1:80")
        assert isinstance(caught.value, ApiError)
        assert list(caught.value.members) == ["bind", "type"]


@pytest.mark.parametrize(
    "body", [{}, {"sockets": None}, {"sockets": 3}, {"sockets": [{"fd": 1}]}, {"sockets": [7]}]
)
def test_malformed_list_is_a_bad_answer(daemon_says: Daemon, body: dict[str, Any]):
    with daemon_says(body) as client, pytest.raises(BadAnswerError):
        list(client.sockets.list())


@pytest.mark.parametrize(
    "member",
    [
        {"fd": None, "local": 7},
        {"local": {}},
        {"owner": []},
        {"created_at": "noon"},
        {"listening": 5},
    ],
)
def test_malformed_member_is_a_bad_answer(daemon_says: Daemon, member: dict[str, Any]):
    with daemon_says(socket_json(**member)) as client, pytest.raises(BadAnswerError):
        client.sockets.get(1)


def test_create_sends_what_was_given_and_nothing_else(daemon_says: Daemon):
    with daemon_says(socket_json()) as client:
        client.sockets.create()
        client.sockets.create(
            name="web",
            family=socket.AF_INET6,
            type=socket.SOCK_STREAM | socket.SOCK_CLOEXEC,
            protocol="tcp",
            bind=("::1", 80),
            listen=64,
            options={"SO_REUSEADDR": True},
            timeout=None,
            connect=None,
        )
        client.sockets.create(family="inet", connect=("127.0.0.1", 9), timeout=3, listen=False)
        client.sockets.create(bind={"service": "3490", "flags": ["AI_PASSIVE"]}, listen=True)
    assert [seen.json() for seen in daemon_says.seen] == [
        {},
        {
            "name": "web",
            "family": "inet6",
            "type": "stream",
            "protocol": "tcp",
            "bind": {"family": "inet6", "host": "::1", "port": 80, "flowinfo": 0, "scope_id": 0},
            "listen": {"backlog": 64},
            "options": {"SO_REUSEADDR": True},
        },
        {"family": "inet", "connect": {"family": "inet", "host": "127.0.0.1", "port": 9}, "timeout": 3},
        {"bind": {"service": "3490", "flags": ["AI_PASSIVE"]}, "listen": True},
    ]


def test_family_without_a_name_goes_as_its_number(daemon_says: Daemon):
    with daemon_says(socket_json(family="29")) as client:
        sock = client.sockets.create(family=socket.AF_CAN, type=10)
        assert sock.family == socket.AF_CAN
    assert daemon_says.seen[0].json() == {"family": 29, "type": 10}


def test_nonblocking_type_gives_a_handle_that_does_not_wait(daemon_says: Daemon):
    with daemon_says(socket_json()) as client:
        sock = client.sockets.create(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        assert (sock.gettimeout(), sock.type) == (0.0, socket.SOCK_STREAM)


def test_representation_becomes_a_record_and_unknown_members_are_ignored(daemon_says: Daemon):
    local = {"family": "inet", "host": "127.0.0.1", "port": 80, "text": "127.0.0.1:80", "later": 1}
    listening = {"backlog": 128, "pending": 2, "later": 1}
    with daemon_says(
        socket_json(local=local, listening=listening, state="listening", later={"x": 1})
    ) as client:
        info = client.sockets.get("web").info()
    assert (info.fd, info.pid, info.inode, info.cookie, info.state) == (64, 4242, 84211, 4097, "listening")
    assert info.local == InetAddress(host="127.0.0.1", port=80)
    assert str(info.local) == "127.0.0.1:80"
    assert info.listening is not None
    assert info.listening.pending == 2
    assert info.owner is not None
    assert info.owner.user == "ann"
    assert info.created_at == datetime(2026, 11, 22, 16, 29, 0, 123456, UTC)
    assert info.proc is not None
    assert info.proc.path == "/proc/4242/fd/64"
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.fd = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        (64, "/v1/sockets/64"),
        (2**30 + 64, "/v1/sockets/64"),
        ("web", "/v1/sockets/web"),
        ("a/b", "/v1/sockets/a%2Fb"),
    ],
)
def test_get_takes_number_fileno_or_name(daemon_says: Daemon, ref: int | str, path: str):
    with daemon_says(socket_json()) as client:
        client.sockets.get(ref)
    assert daemon_says.seen[0].path == path


def test_list_follows_the_cursor_page_by_page(daemon_says: Daemon):
    def page(seen: Seen) -> Reply:
        first = int(seen.query.get("cursor", 64))
        following = str(first + 2) if first < 68 else None
        return Reply(
            {"sockets": [socket_json(fd=first), socket_json(fd=first + 1)], "next_cursor": following}
        )

    with daemon_says(page) as client:
        found = client.sockets.list(state="listening", family=socket.AF_INET, type=None, limit=2)
        assert next(found).fd == 64
        assert len(daemon_says.seen) == 1
        assert [sock.fd for sock in found] == [65, 66, 67, 68, 69]
    assert daemon_says.seen[0].query == {"state": "listening", "family": "inet", "limit": "2"}
    assert daemon_says.seen[2].query == {"state": "listening", "family": "inet", "limit": "2", "cursor": "68"}


def test_create_many_and_pair_give_handles(daemon_says: Daemon):
    with daemon_says({"sockets": [socket_json(fd=64), socket_json(fd=65)]}) as client:
        assert [sock.fd for sock in client.sockets.create_many(2, name="w")] == [64, 65]
        one, other = client.sockets.pair(socket.AF_UNIX, socket.SOCK_DGRAM, names=["a", "b"])
        assert (one.fd, other.fd) == (64, 65)
    assert [seen.json() for seen in daemon_says.seen] == [
        {"count": 2, "name": "w"},
        {"family": "unix", "type": "dgram", "protocol": 0, "names": ["a", "b"]},
    ]


def test_everything_promised_is_there():
    assert all(hasattr(socketd_client, name) for name in socketd_client.__all__)
    assert socketd_client.__version__
