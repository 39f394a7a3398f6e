"""Programs that wait by ``select`` or ``selectors``, unchanged, for held sockets and descriptors of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import selectors
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Taken
from socketd_client.installing import installed

if TYPE_CHECKING:
    from collections.abc import Iterator


LOOPBACK = ("127.0.0.1", 0)
WAIT_S = 20.0


@pytest.fixture(params=[None, "descriptor"], ids=["handle", "descriptor"])
def held_instead(client: Client, request: pytest.FixtureRequest) -> Iterator[Client]:
    with installed(client, prefer=request.param):
        yield client


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
def test_socketserver_serves(held_instead: Client, kind: Any):
    with kind(LOOPBACK, Upper) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for _ in range(3):
            with socket.create_connection(server.server_address, WAIT_S) as peer:
                peer.sendall(b"hello\n")
                assert peer.makefile("rb").readline() == b"HELLO\n"
        assert held_instead.sockets.list(state="listening")
        server.shutdown()
        thread.join(WAIT_S)


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(LOOPBACK) as listener:
        one = socket.create_connection(listener.getsockname(), WAIT_S)
        other, _ = listener.accept()
        with one, other:
            yield one, other


@pytest.mark.usefixtures("held_instead")
def test_select_poll_epoll_and_selectors_see_them_beside_a_pipe():
    reader, writer = os.pipe()
    with connected() as (one, other):
        os.write(writer, b"x")
        other.sendall(b"x")
        other.shutdown(socket.SHUT_WR)
        seen: list[set[int]] = []
        found, _, _ = select.select([one, reader], [], [], WAIT_S)
        seen.append({item if isinstance(item, int) else item.fileno() for item in found})
        for kind in (select.poll, select.epoll):
            poller = kind()
            poller.register(one, select.POLLIN)
            poller.register(reader, select.POLLIN)
            seen.append({number for number, _ in poller.poll(WAIT_S)})
            getattr(poller, "close", int)()
        with selectors.DefaultSelector() as selector:
            selector.register(one, selectors.EVENT_READ)
            selector.register(reader, selectors.EVENT_READ)
            seen.append({key.fd for key, _ in selector.select(WAIT_S)})
        assert seen == [{one.fileno(), reader}] * 4
    for end in (reader, writer):
        os.close(end)


@pytest.mark.usefixtures("held_instead")
def test_event_loop_waits_for_them():
    async def converse() -> bytes:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(LOOPBACK)
        caller = socket.socket()
        with listener, caller:
            for sock in (listener, caller):
                sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await loop.sock_connect(caller, listener.getsockname())
            called, _ = await accepting
            with called:
                receiving = asyncio.ensure_future(loop.sock_recv(called, 100))
                await asyncio.sleep(0)
                await loop.sock_sendall(caller, b"hello")
                return await receiving

    assert asyncio.run(asyncio.wait_for(converse(), WAIT_S)) == b"hello"


def test_originals_are_back_and_what_was_made_inside_goes_on(client: Client):
    before = {
        name: getattr(select, name, None) or getattr(selectors, name)
        for name in ("select", "poll", "epoll", "DefaultSelector", "PollSelector", "SelectSelector")
    }
    with installed(client):
        selector = selectors.DefaultSelector()
        one, other = socket.socketpair()  # local: AF_UNIX is not asked for
        held = socket.socket(type=socket.SOCK_DGRAM)
    for name, value in before.items():
        assert (getattr(select, name, None) or getattr(selectors, name)) is value
    with selector, one, other, held:
        selector.register(one, selectors.EVENT_READ)
        selector.register(held, selectors.EVENT_WRITE)
        other.send(b"x")
        assert {key.fileobj for key, _ in selector.select(WAIT_S)} == {one, held}


def test_descriptor_that_is_dropped_is_closed_with_one_warning(client: Client):
    def drop() -> None:
        assert isinstance(socket.socket(), Taken)

    with installed(client, prefer="descriptor"), pytest.warns(ResourceWarning, match="unclosed") as warned:
        drop()
    client.sockets.create().info()  # the next call of a handle closes what was dropped
    assert len(list(client.sockets.list())) == 1
    assert len(warned) == 1
