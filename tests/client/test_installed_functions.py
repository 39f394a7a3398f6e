"""The functions of ``socket`` within ``installed``: they look up, connect and bind as the local ones do."""

from __future__ import annotations

import socket

import pytest

from socketd_client import Client, installed
from tests.client.http_stand_in import Reply, serving

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


def test_numbers_are_resolved_without_the_daemon():
    with serving(lambda _seen: Reply(status=404)) as server, Client(server.url) as client, installed(client):
        found = socket.getaddrinfo("127.0.0.1", 80, 0, socket.SOCK_STREAM)
        assert found == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
        assert server.seen == []


def test_names_are_resolved_as_locally(client: Client):
    wanted = {row[:3] + row[4:] for row in socket.getaddrinfo("localhost", "80")}
    with installed(client):
        assert {row[:3] + row[4:] for row in socket.getaddrinfo("localhost", "80")} == wanted
        with pytest.raises(socket.gaierror) as caught:
            socket.getaddrinfo("no-such-host.invalid", 80)
        assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)


def test_create_connection_ends_as_the_local_one(client: Client):
    with socket.socket() as closed:
        closed.bind(LOOPBACK)
        address = closed.getsockname()
        with installed(client):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, BOUND_S)
            with pytest.raises(ExceptionGroup) as caught:
                socket.create_connection(address, BOUND_S, all_errors=True)
            assert caught.group_contains(ConnectionRefusedError)
            with pytest.raises(socket.gaierror):
                socket.create_connection(("no-such-host.invalid", 1), BOUND_S)
    assert list(client.sockets.list()) == []


def test_create_connection_from_an_address_with_a_timeout(client: Client):
    with socket.create_server(LOOPBACK) as listener, installed(client):
        port = listener.getsockname()[1]
        with socket.create_connection(("localhost", port), 7, ("127.0.0.1", 0)) as sock:
            assert sock.gettimeout() == 7
            assert sock.getpeername() == ("127.0.0.1", port)
        with socket.create_connection(("localhost", port)) as sock:
            assert sock.gettimeout() is None


def test_create_server_says_what_it_could_not_bind(client: Client):
    with socket.create_server(LOOPBACK) as taken, installed(client):
        with pytest.raises(OSError, match="while attempting to bind on address"):
            socket.create_server(taken.getsockname())
        with pytest.raises(ValueError, match="dualstack_ipv6 requires AF_INET6 family"):
            socket.create_server(LOOPBACK, dualstack_ipv6=True)
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
            assert both.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
            assert both.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
            with socket.create_connection(("127.0.0.1", both.getsockname()[1]), BOUND_S):
                accepted, (host, *_) = both.accept()
                accepted.close()
                assert host == "::ffff:127.0.0.1"
