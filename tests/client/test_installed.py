"""``installed``: what is held and what stays local, and all put back afterwards."""

from __future__ import annotations

import select
import selectors
import socket
import socketserver
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Socket, installed
from tests.client.http_stand_in import SERVICE, Reply, serving

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

LOOPBACK = ("127.0.0.1", 0)
REPLACED = {
    "socket": (
        "socket",
        "SocketType",
        "create_connection",
        "create_server",
        "socketpair",
        "fromfd",
        "getaddrinfo",
    ),
    "select": ("select", "poll"),
    "selectors": ("DefaultSelector", "PollSelector", "SelectSelector"),
    "socketserver": ("_ServerSelector",),
}
MODULES = {"socket": socket, "select": select, "selectors": selectors, "socketserver": socketserver}


def shown() -> dict[tuple[str, str], object]:
    return {
        (module, name): getattr(MODULES[module], name) for module, names in REPLACED.items() for name in names
    }


def test_everything_is_put_back_also_after_an_exception(client: Client):
    before = shown()

    def fail() -> None:
        with installed(client):
            assert all(shown()[name] is not was for name, was in before.items())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert shown() == before


def test_innermost_of_nested_blocks_counts(client: Client, daemon: DaemonProcess):
    native = socket.socket
    with Client(daemon.url) as other, installed(client):
        outer = socket.socket
        with (
            installed(other, [socket.AF_INET6]),
            socket.socket() as inet,
            socket.socket(socket.AF_INET6) as sock,
        ):
            assert type(inet) is native
            assert isinstance(sock, Socket)
        assert socket.socket is outer


def test_blocks_of_threads_may_end_in_any_order(client: Client):
    before = shown()
    first, second = installed(client), installed(client)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with socket.socket() as sock:
        assert isinstance(sock, Socket)
    second.__exit__(None, None, None)
    assert shown() == before


def test_only_the_families_asked_for_are_held(client: Client):
    native = socket.socket
    with native() as old, installed(client):
        with socket.socket() as inet, socket.socket(socket.AF_UNIX) as unix:
            assert isinstance(inet, Socket)
            assert type(unix) is native
            for sock in (old, inet, unix):
                assert isinstance(sock, socket.socket)
                assert isinstance(sock, socket.SocketType)
            assert issubclass(Socket, socket.socket)
            assert not isinstance("", socket.socket)
        for one in socket.socketpair():
            assert type(one) is native
            one.close()
    with installed(client, [socket.AF_UNIX]), socket.socket() as inet:
        assert type(inet) is native
        for one in socket.socketpair():
            assert isinstance(one, Socket)
            one.close()


def test_local_descriptor_stays_local(client: Client):
    native = socket.socket
    with native() as old, installed(client):
        with socket.socket(fileno=old.dup().detach()) as again, socket.fromfd(old.fileno(), 2, 1) as copy:
            assert type(again) is type(copy) is native
        with socket.socket() as sock, socket.fromfd(sock.fileno(), 2, 1) as copy:
            assert isinstance(copy, Socket)
            assert copy.fileno() == sock.fileno()


def test_class_derived_from_it_is_held(client: Client):
    with installed(client):

        class Counting(socket.socket):
            """A program's own class."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.count = 0

            def bind(self, address: Any, /) -> None:
                self.count += 1
                socket.socket.bind(self, address)

        with Counting() as sock, socket.socket() as plain:
            sock.bind(LOOPBACK)
            assert sock.count == 1
            assert isinstance(sock, Socket)
            assert isinstance(sock, socket.socket)
            assert not isinstance(plain, Counting)


def test_our_own_http_over_tcp_stays_local():
    with serving(lambda _seen: Reply(SERVICE)) as server, Client(server.url) as client:
        with installed(client):
            assert client.info().service == "socketd"
            server.hang_up()
            assert client.info().service == "socketd"
        assert {seen.path for seen in server.seen} == {"/v1/"}
