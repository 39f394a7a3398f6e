"""The client against a real daemon: connections from both sides, their whole life long."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.client.live_parts import BOUND_S, listener, taken_port

if TYPE_CHECKING:
    from socketd_client import Client, Socket

__all__ = ["listener"]  # fixtures


def test_whole_life_with_a_local_peer(client: Client, listener: Socket):
    with socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer:
        connection, address = listener.accept()
        assert address == peer.getsockname()
        assert (connection.getpeername(), connection.getsockname()) == (
            peer.getsockname(),
            peer.getpeername(),
        )
        peer.sendall(b"question")
        assert connection.recv(3) == b"que"
        buffer = bytearray(10)
        assert connection.recv_into(buffer) == 5
        assert buffer[:5] == b"stion"
        connection.sendall(b"answer")
        connection.shutdown(socket.SHUT_WR)
        assert peer.makefile("rb").read() == b"answer"
        peer.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        connection.close()
    listener.close()
    assert list(client.sockets.list()) == []


def test_client_side_connects(client: Client):
    with taken_port() as local:
        sock = client.sockets.create(connect=local.getsockname())
        with local.accept()[0] as peer:
            assert sock.getpeername() == local.getsockname()
            peer.sendall(b"x")
            assert sock.recv(10, socket.MSG_PEEK) == b"x"
            assert sock.recv(10) == b"x"
            assert (sock.family, sock.type, sock.proto) == (
                socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
            )


def test_more_than_a_request_may_carry_arrives_whole(client: Client, listener: Socket):
    limits = client.info().limits
    assert limits.body_bytes is not None
    data = os.urandom(1 << 20) * (limits.body_bytes // (1 << 20) + 1)
    with (
        socket.create_connection(listener.getsockname(), timeout=BOUND_S) as peer,
        ThreadPoolExecutor(1) as pool,
    ):
        connection, _ = listener.accept()
        sending = pool.submit(connection.sendall, data)
        received = bytearray()
        while len(received) < len(data):
            received += peer.recv(1 << 20)
        sending.result(BOUND_S)
    assert received == data


def test_eight_threads_each_with_a_conversation(client: Client, listener: Socket):
    def converse(number: int) -> bytes:
        near = client.sockets.create(connect=listener.getsockname())
        with near:
            near.sendall(b"%d" % number)
            near.shutdown(socket.SHUT_WR)
            return near.recv(100)

    def answer(_: int) -> None:
        connection, _peer = listener.accept()
        with connection:
            data = bytearray()
            while part := connection.recv(100):
                data += part
            connection.sendall(data[::-1])

    with ThreadPoolExecutor(16) as pool:
        answering = [pool.submit(answer, number) for number in range(8)]
        answers = list(pool.map(converse, range(100, 108)))
        for one in answering:
            one.result(BOUND_S)
    assert answers == [b"001", b"101", b"201", b"301", b"401", b"501", b"601", b"701"]
