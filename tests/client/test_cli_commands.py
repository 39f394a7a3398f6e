"""Each command of ``socketctl`` on a real daemon: what it prints, and what it exits with."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading

import pytest

from tests.held import free_tcp_port
from tests.socketctl_process import SOCKETCTL, await_that, environment, socketctl


@pytest.fixture
def ctl(daemon):
    """Run a command on the module's daemon."""

    def run(*arguments, stdin=b"", **more):
        return socketctl(daemon.url, *arguments, stdin=stdin, **more)

    return run


@pytest.fixture
def connection(ctl):
    """A held connection: its number, and the other end here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = ctl("create", "-q", "--connect", f"127.0.0.1:{server.getsockname()[1]}").stdout.strip()
        near, _ = server.accept()
    with near:
        near.settimeout(30)
        yield fd, near
    ctl("close", fd)


def port_of(daemon, ref):
    return daemon.request("GET", f"/v1/sockets/{ref}").json()["local"]["port"]


def test_create_prints_number_name_state_and_address(ctl, daemon):
    done = ctl("create", "--name", "made", "--listen", "127.0.0.1:0")
    held = daemon.request("GET", "/v1/sockets/made").json()
    assert done.stdout.split() == [str(held["fd"]), "made", "listening", held["local"]["text"]]
    assert (
        ctl("options", "get", "made", "SO_REUSEADDR").stdout == "off\n"
    )  # with port 0 it costs, and gives nothing


def test_create_sets_options_before_binding(ctl):
    fd = ctl("create", "-q", "-o", "SO_REUSEPORT=on", "--udp", "--bind", "127.0.0.1:0").stdout.strip()
    assert ctl("options", "get", fd, "SO_REUSEPORT").stdout == "on\n"


def test_create_many_or_none(ctl):
    done = ctl("create", "--name", "many", "--count", "3", "--listen", "127.0.0.1:0")
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["many.0", "many.1", "many.2"]
    done = ctl("create", "--name", "many", "--count", "2", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "EEXIST" in done.stderr


def test_listen_and_bind_together_are_wrong_usage(ctl):
    done = ctl("create", "--listen", "127.0.0.1:0", "--bind", "127.0.0.1:0")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "  hint: socketctl create --help")


def test_ensure_finds_what_it_made(ctl):
    first, second = (ctl("ensure", "web", "--listen", "127.0.0.1:0").stdout for _ in range(2))
    assert first == second
    done = ctl("ensure", "web", "--udp", "--bind", "127.0.0.1:0")
    assert (done.returncode, "EEXIST" in done.stderr) == (1, True)


def test_ls_is_a_table_for_awk_names_or_json(ctl, daemon):
    ctl("ensure", "listed", "--listen", "127.0.0.1:0")
    held = daemon.request("GET", "/v1/sockets/listed").json()
    heading, row = ctl("ls", "--name", "listed").stdout.splitlines()
    assert heading.split()[:3] == ["FD", "NAME", "STATE"]
    assert row.split()[:6] == [
        str(held["fd"]),
        "listed",
        "listening",
        "inet",
        "stream",
        held["local"]["text"],
    ]
    assert ctl("ls", "--name", "listed", "-q").stdout == "listed\n"
    assert json.loads(ctl("ls", "--name", "listed", "--json").stdout) == [held]
    assert ctl("ls", "--state", "error", "-q").stdout == ""


def test_show_has_what_the_kernel_knows(ctl, daemon):
    ctl("ensure", "shown", "--listen", "127.0.0.1:0")
    rows = dict(line.split(None, 1) for line in ctl("show", "shown").stdout.splitlines())
    held = daemon.request("GET", "/v1/sockets/shown").json()
    assert (rows["inode"], rows["local"]) == (str(held["inode"]), held["local"]["text"])
    assert rows["tcp_info.state_name"] == "LISTEN"
    assert json.loads(ctl("show", "shown", "--json").stdout)["socket"] == held


def test_a_socket_that_is_not_there_is_1_with_a_hint_for_the_shell(ctl):
    done = ctl("show", "nobody")
    assert done.returncode == 1
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == "socketctl: no held socket 'nobody' (EBADF)"
    assert second.startswith("  hint: socketctl ls ")


def test_close_ends_it_and_shutdown_for_every_holder(ctl, daemon, connection):
    ctl("ensure", "ended", "--listen", "127.0.0.1:0")
    assert ctl("close", "--shutdown", "ended").returncode == 0
    assert daemon.request("GET", "/v1/sockets/ended").status == 404
    fd, near = connection
    assert ctl("close", "--shutdown", fd).returncode == 0
    assert near.recv(1) == b""


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


def test_options_are_listed_read_and_set_by_name(ctl):
    ctl("ensure", "opt", "--listen", "127.0.0.1:0")
    assert ctl("options", "set", "opt", "SO_KEEPALIVE", "on").stdout == "on\n"
    rows = {line.split()[0]: line.split() for line in ctl("options", "list", "opt").stdout.splitlines()}
    assert rows["SO_KEEPALIVE"] == ["SO_KEEPALIVE", "bool", "rw", "on"]
    assert rows["SO_TYPE"][2] == "r"
    done = ctl("options", "set", "opt", "SO_TYPE", "1")
    assert done.returncode == 1
    assert ctl("options", "get", "opt", "SO_NONSENSE").returncode == 1


def test_fds_is_the_tree_and_one_descriptors_fdinfo(ctl, daemon):
    ctl("ensure", "tree", "--listen", "127.0.0.1:0")
    fd = daemon.request("GET", "/v1/sockets/tree").json()["fd"]
    assert f"held tree inet stream listening 127.0.0.1:{port_of(daemon, 'tree')}" in ctl("fds").stdout
    assert ctl("fds", str(fd)).stdout.startswith("socket:[")
    assert json.loads(ctl("fds", "--json").stdout)["pid"] == daemon.pid


def test_the_learners_commands_print_one_fact_a_line(ctl):
    assert ["inet", "stream", "tcp", "127.0.0.1:80"] in [
        line.split() for line in ctl("addrinfo", "127.0.0.1", "80", "--type", "stream").stdout.splitlines()
    ]
    assert "host bytes     a2 0d" in ctl("byteorder", "htons", "3490").stdout
    assert "first host       192.168.16.1" in ctl("net", "192.168.17.42/20").stdout
    assert ctl("net", "192.168.17.42").returncode == 2
    assert ctl("addrinfo", "nothing.invalid").returncode == 1


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_nc_keeps_the_halves_apart(fresh_daemon, way):
    port = free_tcp_port()
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


def test_output_that_nobody_reads_ends_it_quietly(daemon):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    try:
        done = subprocess.run(
            [*SOCKETCTL, "fds"],
            env=environment(daemon.url),
            stdout=write_fd,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write_fd)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_interrupt_ends_it_quietly_by_the_signal(ctl, daemon):
    ctl("ensure", "int", "--listen", "127.0.0.1:0")
    process = subprocess.Popen(
        [*SOCKETCTL, "accept", "int"],
        env=environment(daemon.url),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        await_that(lambda: _sleeps_in_a_request(process.pid), lambda: "a request")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGINT, b"")


def _sleeps_in_a_request(pid):
    with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123
        where = file.read()
    return "unix_stream" in where or "poll" in where or "sock" in where
