"""``socketctl nc`` on a real daemon: both directions, the end of each, and the descriptor itself."""

from __future__ import annotations

import select
import socket
import subprocess
import threading

import pytest

from tests.client.ctl import ctl, port_of
from tests.ports import free_port
from tests.socketctl_process import SOCKETCTL, environment, socketctl

__all__ = ["ctl"]  # fixtures


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_nc_keeps_the_halves_apart(fresh_daemon, way):
    port = free_port()
    daemon = fresh_daemon("--tcp", f"127.0.0.1:{port}", "--token", "secret")
    url, extra = (
        (daemon.url, {}) if way == "unix" else (f"http://127.0.0.1:{port}", {"SOCKETD_TOKEN": "secret"})
    )
    said = []

    def serve(server):
        peer, _ = server.accept()
        with peer:
            peer.settimeout(60)
            while piece := peer.recv(65536):
                said.append(piece)
            peer.sendall(b"after your end " + b"x" * 300_000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        host, port = server.getsockname()
        done = socketctl(url, "nc", host, str(port), stdin=b"y" * 300_000, extra=extra)
        thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert b"".join(said) == b"y" * 300_000
    assert done.stdout == "after your end " + "x" * 300_000
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


def test_nc_goes_on_sending_when_the_peer_has_ended_first(daemon):
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        process = subprocess.Popen(
            [*SOCKETCTL, "nc", host, str(port)],
            env=environment(daemon.url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(30)
                peer.shutdown(socket.SHUT_WR)
                assert process.stdout.read() == b""  # it saw the end, and told it
                process.stdin.write(b"still heard")
                process.stdin.close()
                assert peer.recv(100) == b"still heard"
                assert peer.recv(1) == b""
            assert process.wait(30) == 0


def test_nc_ends_its_direction_when_its_input_is_reset(daemon):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        host, port = server.getsockname()
        ours, its = socket.socketpair()
        process = subprocess.Popen(
            [*SOCKETCTL, "nc", host, str(port)], stdin=its, stdout=its, env=environment(daemon.url)
        )
        its.close()
        with process, server.accept()[0] as far:
            far.settimeout(30)
            far.sendall(b"never read")
            select.select([ours], [], [], 30)  # it has come; closing now resets what nc reads
            ours.close()
            assert far.recv(10) == b""
            far.close()
            assert process.wait(30) == 0


def test_nc_on_a_listener_talks_to_the_next_connection(ctl, daemon):
    ctl("ensure", "talk", "--listen", "127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", port_of(daemon, "talk")), 30) as client:
        client.sendall(b"to you")
        client.shutdown(socket.SHUT_WR)
        assert ctl("nc", "talk", stdin=b"to me").stdout == "to you"
        assert client.recv(100) == b"to me"


def test_nc_hands_the_connection_to_ssh(daemon):
    ours, its = socket.socketpair()
    with ours, its, socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        done = subprocess.run(
            [*SOCKETCTL, "nc", "-F", host, str(port)],
            env=environment(daemon.url),
            stdout=its,
            check=True,
            timeout=60,
        )
        assert done.returncode == 0
        _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
        peer, _ = server.accept()
        with socket.socket(fileno=fd) as passed, peer:
            passed.sendall(b"directly")
            assert peer.recv(100) == b"directly"
