"""What comes beside the stream and the messages: the urgent byte, and the queue of errors."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND_S = 30.0
IP_RECVERR = 11  # include/uapi/linux/in.h; the socket module has no name for it


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def _held_instead(client: Client, request: pytest.FixtureRequest) -> Iterator[None]:
    with installed(client, prefer=request.param):
        yield


pytestmark = pytest.mark.usefixtures("_held_instead")


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname(), BOUND_S)
        other, _ = listener.accept()
    return one, other


def test_urgent_byte_is_received_without_waiting_for_others():
    one, other = connected()
    with one, other:
        other.settimeout(None)
        with pytest.raises(OSError, match="Invalid argument"):
            other.recv(1, socket.MSG_OOB)
        one.send(b"!", socket.MSG_OOB)
        assert select.select([], [], [other], BOUND_S)[2] == [other]
        assert other.recv(1, socket.MSG_OOB) == b"!"


def test_empty_error_queue_is_eagain_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        with pytest.raises(BlockingIOError) as caught:
            sock.recvmsg(100, 100, socket.MSG_ERRQUEUE)
        assert caught.value.errno == errno.EAGAIN


def test_error_is_told_with_where_it_came_from():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.sendto(b"anybody?", nobody)
        poller = select.poll()
        poller.register(sock, 0)
        assert [mask & select.POLLERR for _, mask in poller.poll(BOUND_S * 1000)] == [select.POLLERR]
        data, control, flags, address = sock.recvmsg(100, 200, socket.MSG_ERRQUEUE)
        assert (data, address) == (b"anybody?", nobody)
        assert flags & socket.MSG_ERRQUEUE
        assert [item[:2] for item in control] == [(socket.IPPROTO_IP, IP_RECVERR)]
