"""Commands of ``socketctl`` that connect and carry bytes: what they print, and what they exit with."""

from __future__ import annotations

import socket

from tests.client.ctl import connection, ctl, port_of

__all__ = ["connection", "ctl"]  # fixtures


def test_accept_prints_the_new_socket_and_its_peer(ctl, daemon):
    ctl("ensure", "acc", "--listen", "127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", port_of(daemon, "acc"))) as client:
        fd, peer = ctl("accept", "acc").stdout.split()
        assert peer == f"127.0.0.1:{client.getsockname()[1]}"
    ctl("close", fd)


def test_a_wait_that_runs_out_is_124(ctl):
    ctl("ensure", "acc", "--listen", "127.0.0.1:0")
    done = ctl("accept", "acc", "--timeout", "0.1")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.startswith("socketctl: acc: accept: ")


def test_connect_takes_an_address_as_text(ctl):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = ctl("create", "-q").stdout.strip()
        assert ctl("connect", fd, f"127.0.0.1:{server.getsockname()[1]}").returncode == 0
        server.accept()[0].close()
    assert ctl("close", fd).returncode == 0


def test_a_refused_connection_is_told_with_its_errno(ctl):
    with socket.socket() as unlistened:
        unlistened.bind(("127.0.0.1", 0))
        done = ctl("create", "--connect", f"127.0.0.1:{unlistened.getsockname()[1]}")
    assert done.returncode == 1
    assert "connect: Connection refused (ECONNREFUSED)" in done.stderr


def test_send_and_recv_carry_bytes_as_they_are(ctl, connection):
    fd, near = connection
    raw = bytes(range(256))
    assert ctl("send", fd, "--end", stdin=raw).returncode == 0
    assert near.recv(1000, socket.MSG_WAITALL) == raw
    near.sendall(raw)
    assert ctl("recv", fd, "--peek").stdout.encode("utf-8", "surrogateescape") == raw
    near.shutdown(socket.SHUT_WR)
    assert ctl("recv", fd, "--all").stdout.encode("utf-8", "surrogateescape") == raw
    assert ctl("recv", fd).stdout == ""


def test_datagrams_go_where_they_are_told_and_come_with_their_sender(ctl, daemon):
    ctl("ensure", "dns", "--udp", "--bind", "127.0.0.1:0")
    port = port_of(daemon, "dns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(30)
        peer.bind(("127.0.0.1", 0))
        assert ctl("send", "dns", "ping", "--to", f"127.0.0.1:{peer.getsockname()[1]}").returncode == 0
        assert peer.recv(100) == b"ping"
        peer.sendto(b"pong", ("127.0.0.1", port))
        done = ctl("recv", "dns", "--from")
        assert (done.stdout, done.stderr) == ("pong", f"127.0.0.1:{peer.getsockname()[1]}\n")
