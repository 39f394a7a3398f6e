"""``socketctl take`` hands a held socket to a program; ``socketctl give`` has one held."""

from __future__ import annotations

import socket
import sys

from tests.socketctl_process import socketctl
from tests.system.socket_names import activated, named

__all__ = ["named"]  # a fixture


def test_take_becomes_a_program_with_the_socket_as_standard_input(daemon, named):
    socketctl(daemon.url, "ensure", named, "--listen", "127.0.0.1:0")
    inode = daemon.request("GET", f"/v1/sockets/{named}").json()["inode"]
    tell = "import os, sys; sys.stderr.writelines(os.readlink(f'/proc/self/fd/{n}') for n in sys.argv[1:])"
    for flags, places in (((), "0"), (("--fd", "7"), "7"), (("--inetd",), "01")):
        done = socketctl(daemon.url, "take", *flags, named, "--", sys.executable, "-c", tell, *places)
        assert done.stderr == f"socket:[{inode}]" * len(places)


def test_take_inetd_serves_a_connection(daemon, named):
    socketctl(daemon.url, "ensure", named, "--listen", "127.0.0.1:0")
    port = daemon.request("GET", f"/v1/sockets/{named}").json()["local"]["port"]
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        accepted = socketctl(daemon.url, "accept", "-q", named).stdout.strip()
        client.sendall(b"there and back")
        client.shutdown(socket.SHUT_WR)
        done = socketctl(daemon.url, "take", "--release", "--inetd", "--blocking", accepted, "--", "cat")
        assert (done.returncode, client.recv(100)) == (0, b"there and back")
        assert client.recv(1) == b""
    assert daemon.request("GET", f"/v1/sockets/{accepted}").status == 404


def test_give_holds_an_inherited_socket(daemon, named):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        cookie = int.from_bytes(ours.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder)
        done = socketctl(
            daemon.url, "give", "--name", named, "--fd", str(ours.fileno()), pass_fds=[ours.fileno()]
        )
        assert done.returncode == 0, done.stderr
        again = socketctl(daemon.url, "give", "--fd", str(ours.fileno()), pass_fds=[ours.fileno()])
        assert again.returncode == 1
        assert "EEXIST" in again.stderr
    assert daemon.request("GET", f"/v1/sockets/{named}").json()["cookie"] == cookie
    assert done.stdout.split()[1:] == [named, "listening"]


def test_give_of_what_is_no_socket_is_refused(daemon):
    done = socketctl(daemon.url, "give", "--fd", "0")
    assert done.returncode == 1
    assert "ENOTSOCK" in done.stderr


def test_give_listen_fds_holds_them_by_name(daemon, named):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        activated(daemon, ours, named, ("give", "--listen-fds"))
        held = daemon.request("GET", f"/v1/sockets/{named}").json()
        assert held["local"]["port"] == ours.getsockname()[1]
