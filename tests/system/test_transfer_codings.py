"""Bodies in transfer codings that the daemon does not take off: refused, not taken for the bytes."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

RAW = "Content-Type: application/octet-stream"


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate, chunked", "compress,chunked"])
@pytest.mark.parametrize("line", ["PUT /v1/sockets/{}/stream", "POST /v1/sockets/{}/send"])
def test_compressed_body_is_501_and_nothing_is_sent(daemon: DaemonProcess, line: str, coding: str):
    left, right = (
        each["fd"] for each in daemon.request("POST", "/v1/socketpairs", {"type": "stream"}).json()["sockets"]
    )
    body = gzip.compress(b"hello")
    head = f"{line.format(left)} HTTP/1.1\r\nHost: localhost\r\n{RAW}\r\nTransfer-Encoding: {coding}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(daemon.socket_path)
        sock.sendall(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))  # the connection ends
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "not_implemented"
    waiting = daemon.request("POST", f"/v1/sockets/{right}/recv", {"timeout": 0})
    assert waiting.json()["errno"] == "EAGAIN"
