"""Real programs at the other end: a web server, a file server, socat; and the kernel itself."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client
from tests.system import servers
from tests.system.asking import closing_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

BOUND_S = 30.0
RRQ, DATA, ACK = 1, 3, 4
BLOCK = 512


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[Client]:
    """Close what a test made: the daemon is the module's."""
    with Client(daemon.url) as client, closing_all(client):
        yield client


@contextmanager
def program(*command: str, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside the body; end it after."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.needs("nginx")
def test_web_page_by_hand_from_nginx(client, tmp_path: Path):
    with servers.nginx(tmp_path) as port:
        (tmp_path / "root" / "index.html").write_text("hello from nginx\n")
        sock = client.sockets.create()
        sock.settimeout(BOUND_S)
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: held\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := sock.recv(4096):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nhello from nginx\n")
        assert sock.info().state == "peer-closed"


@pytest.mark.needs("in.tftpd")
@pytest.mark.skipif(os.getuid() != 0, reason="in.tftpd starts as root and drops its rights itself")
def test_file_by_blocks_from_tftpd(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tftp")
    content = bytes(range(256)) * 9 + b"the end"
    (folder / "file").write_bytes(content)
    (folder / "file").chmod(0o644)
    with servers.tftpd(folder) as port:
        sock = client.sockets.create(type="dgram", bind=("127.0.0.1", 0))
        sock.settimeout(BOUND_S)
        sock.sendto(struct.pack("!H", RRQ) + b"file\0octet\0", ("127.0.0.1", port))
        received, blocks, server = b"", 0, None
        while True:
            packet, sender = sock.recvfrom(BLOCK + 4)
            kind, number = struct.unpack("!HH", packet[:4])
            assert (kind, number) == (DATA, blocks + 1), packet
            assert server in (None, sender)
            server, blocks, received = sender, number, received + packet[4:]
            sock.sendto(struct.pack("!HH", ACK, number), sender)
            if len(packet) < BLOCK + 4:
                break
        assert server[1] != port  # the transfer has a port of its own (RFC 1350, 4)
        assert (received, blocks) == (content, len(content) // BLOCK + 1)


@pytest.mark.needs("socat")
@pytest.mark.parametrize(
    ("kind", "address"), [("stream", "UNIX-CONNECT:{}"), ("dgram", "UNIX-SENDTO:{},bind={}.peer")]
)
def test_socat_echoes_over_a_unix_socket(client, tmp_path_factory, kind, address):
    path = str(tmp_path_factory.mktemp("u") / "s")
    held = client.sockets.create(type=kind, bind=path, listen=True if kind == "stream" else None)
    held.settimeout(BOUND_S)
    with program("socat", "STDIO", address.format(path, path)) as socat:
        socat.stdin.write(b"ping\n")
        socat.stdin.flush()
        peer = held.accept()[0] if kind == "stream" else held
        peer.settimeout(BOUND_S)
        data, sender = peer.recvfrom(100)
        assert data == b"ping\n"
        if kind == "stream":
            peer.sendall(b"pong\n")
        else:
            assert sender == f"{path}.peer"
            peer.sendto(b"pong\n", sender)
        assert select.select([socat.stdout], [], [], BOUND_S)[0]
        assert os.read(socat.stdout.fileno(), 100) == b"pong\n"


@pytest.mark.needs("socat")
def test_socat_connects_over_ipv6(client):
    held = client.sockets.create(bind=("::1", 0), listen=True)
    held.settimeout(BOUND_S)
    with program("socat", "STDIO", f"TCP6:[::1]:{held.getsockname()[1]}"):
        connection, address = held.accept()
        assert address[0] == "::1"
        assert connection.getpeername() == address


@pytest.mark.needs("curl")
def test_curl_reads_a_page_served_by_hand(client):
    held = client.sockets.create(bind=("127.0.0.1", 0), listen=True)
    held.settimeout(BOUND_S)
    url = f"http://127.0.0.1:{held.getsockname()[1]}/page"
    with program("curl", "-s", "--max-time", str(BOUND_S), url) as curl:
        connection, _ = held.accept()
        connection.settimeout(BOUND_S)
        request = connection.recv(65536)
        assert request.startswith(b"GET /page HTTP/1.1\r\n")
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        connection.shutdown(socket.SHUT_RDWR)
        assert curl.communicate(timeout=BOUND_S)[0] == b"yes"
