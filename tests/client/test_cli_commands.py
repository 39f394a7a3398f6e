"""Commands of ``socketctl`` that make, show and end sockets: what they print, and what they exit with."""

from __future__ import annotations

import json

from tests.client.ctl import connection, ctl, port_of

__all__ = ["connection", "ctl"]  # fixtures


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
