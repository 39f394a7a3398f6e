"""Bodies in chunks of a byte: hardly anything to read, much to do for it, and others have their turns."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

COUNT = 60_000
BODY = b"1\r\nx\r\n" * COUNT + b"0\r\n\r\n"
FEW = 10  # what is served without turns of their own, between the reads of some hundred kilobytes


def read_all(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass


@pytest.mark.parametrize("line", ["PUT /v1/sockets/{}/stream", "POST /v1/sockets/{}/send"])
def test_others_are_served_meanwhile(daemon: DaemonProcess, line: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        fd = daemon.request("POST", "/v1/sockets", {"connect": address}).json()["fd"]
        far, _ = server.accept()
    with far, socket.socket(socket.AF_UNIX) as sock:
        reading = threading.Thread(target=read_all, args=(far,))
        reading.start()
        sock.connect(daemon.socket_path)
        head = f"{line.format(fd)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        answer = bytearray()

        def send() -> None:
            sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + BODY)
            while not answer.endswith(b"}\n"):
                answer.extend(sock.recv(1 << 16))

        sending = threading.Thread(target=send)
        sending.start()
        connection, served = daemon.connection(), 0
        while sending.is_alive():
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            served += 1
        connection.close()
        assert b'"sent":%d,' % COUNT in answer
        daemon.request("DELETE", f"/v1/sockets/{fd}")
        reading.join()
    assert served > FEW, served
