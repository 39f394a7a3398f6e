"""Programs started by ``socketctl exec``: whatever becomes of them, none of their connections is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.held import free_tcp_port
from tests.socketctl_process import (
    REQUEST,
    SOCKETCTL,
    Started,
    ask,
    await_that,
    environment,
    load,
    socketctl,
)
from tests.system.consumers import ANSWER, prepare

RESTARTS = 20
PEEK = (
    "import json; from socketd_client import listen_fds;"
    "print(json.dumps([(name, sock.fileno(), sock.type.name) for name, sock in listen_fds().items()]))"
)


@pytest.fixture
def named(request):
    """A socket name of this test's own."""
    return "t" + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:200]


@pytest.mark.parametrize(
    "kind",
    [
        "systemd-style",
        "gunicorn",
        "gunicorn fd",
        pytest.param("nginx", marks=pytest.mark.needs("nginx")),
        pytest.param("haproxy", marks=pytest.mark.needs("haproxy")),
    ],
)
def test_restarts_under_steady_connects_lose_no_connection(daemon, tmp_path, kind, capsys):
    port = free_tcp_port()
    address = ("127.0.0.1", port)
    consumer = prepare(kind, tmp_path, f"127.0.0.1:{port}")
    command = ("exec", "--listen", f"web=127.0.0.1:{port}", *consumer.words)
    program = Started(daemon, tmp_path, *command)
    try:
        await_that(lambda: "web" in socketctl(daemon.url, "ls", "-q").stdout, lambda: program.log)
        with load(address, ANSWER) as clients:
            clients.await_answers()
            for _ in range(RESTARTS):
                program.end(consumer.stop)
                program = Started(daemon, tmp_path, *command)
                clients.await_answers(5)
    finally:
        program.kill()
        daemon.request("DELETE", "/v1/sockets/web")
    with capsys.disabled():
        figures = f"{len(clients.answers)} connections, longest stall {clients.longest_s * 1000:.0f} ms"
        sys.stdout.write(f"\n{kind}: {RESTARTS} restarts, {figures}\n")
    assert clients.failures == []


def test_connections_of_a_full_backlog_outlive_the_kill_and_are_served_by_the_next(daemon, tmp_path):
    port = free_tcp_port()
    consumer = prepare("systemd-style", tmp_path, "")
    options = ("exec", "--listen", f"web=127.0.0.1:{port}", "--backlog", "4")
    stuck = Started(daemon, tmp_path, *options, "--", "sleep", "600")
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(daemon.request, "DELETE", "/v1/sockets/web")
        cleanup.callback(stuck.kill)
        await_that(lambda: _command_of(stuck.process.pid) == "sleep", lambda: stuck.log)
        waiting = _fill(port, cleanup)
        assert len(waiting) == 5
        assert stuck.end(signal.SIGKILL) == -signal.SIGKILL
        following = Started(daemon, tmp_path, *options, *consumer.words)
        cleanup.callback(following.kill)
        for client in waiting:
            client.settimeout(60)
            assert ANSWER in client.recv(65536)


def test_uvicorn_serves_by_number_what_came_while_it_was_down(daemon, tmp_path):
    # Not under load: told to end, uvicorn closes connections that it accepted and that have not asked yet.
    port = free_tcp_port()
    consumer = prepare("uvicorn", tmp_path, "")
    command = ("exec", "--listen", f"web=127.0.0.1:{port}", *consumer.words)
    for _ in range(2):
        program = Started(daemon, tmp_path, *command)
        try:
            await_that(lambda: "web" in socketctl(daemon.url, "ls", "-q").stdout, lambda: "web")
            assert ANSWER in ask(("127.0.0.1", port))
        finally:
            program.end(signal.SIGKILL)
        with socket.create_connection(("127.0.0.1", port), 60) as early:
            early.sendall(REQUEST)
            program = Started(daemon, tmp_path, *command)
            try:
                assert ANSWER in early.makefile("rb").read()
            finally:
                program.end(signal.SIGKILL)
    daemon.request("DELETE", "/v1/sockets/web")


def _fill(port, cleanup):
    """Connect until the queue is full: the kernel takes one more than the backlog, then answers no SYN."""
    waiting = []
    while True:
        client = cleanup.enter_context(socket.socket())
        client.settimeout(0.5)
        try:
            client.connect(("127.0.0.1", port))
        except TimeoutError:
            return waiting
        client.sendall(REQUEST)
        waiting.append(client)


def test_restart_gets_the_very_same_socket(daemon, named):
    command = ("exec", "--listen", f"{named}=127.0.0.1:0", "--", "sh", "-c", "readlink /proc/self/fd/3")
    first, second = (socketctl(daemon.url, *command) for _ in range(2))
    held = daemon.request("GET", f"/v1/sockets/{named}").json()
    assert first.stdout == second.stdout == f"socket:[{held['inode']}]\n"
    assert held["taken"] == 2


def test_program_keeps_the_process_and_finds_sockets_in_order(daemon, named):
    options = (
        *("--listen", f"{named}-a=127.0.0.1:0"),
        *("--udp", f"{named}-u=127.0.0.1:0"),
        *("--seqpacket", f"{named}-s=@{named}"),
    )
    done = socketctl(daemon.url, "exec", *options, "--", sys.executable, "-c", PEEK)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        [f"{named}-a", 3, "SOCK_STREAM"],
        [f"{named}-u", 4, "SOCK_DGRAM"],
        [f"{named}-s", 5, "SOCK_SEQPACKET"],
    ]


def test_only_the_sockets_and_the_standard_streams_are_inherited(daemon, named):
    script = "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done"
    done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", "sh", "-c", script)
    assert done.stdout.split() == ["0", "1", "2", "3"]


def test_places_in_arguments_and_environment_become_numbers(daemon, named):
    options = ("--listen", f"{named}-a=127.0.0.1:0", "--listen", f"{named}-b=127.0.0.1:0")
    place = f"{{fd:{named}-b}}"
    done = socketctl(
        daemon.url, "exec", *options, "--env", f"X={place};", "--", "sh", "-c", f"echo {place} $X"
    )
    assert done.stdout == "4 4;\n"


def test_a_place_without_a_socket_is_wrong_usage_and_makes_nothing(daemon, named):
    done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", "true", "{fd:other}")
    assert done.returncode == 2
    assert f"there is no socket 'other' here, only: {named}" in done.stderr
    assert daemon.request("GET", f"/v1/sockets/{named}").status == 404


def test_a_program_that_is_not_there_is_127_and_makes_nothing(daemon, named):
    done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr == "socketctl: no-such-program: command not found\n"
    assert daemon.request("GET", f"/v1/sockets/{named}").status == 404


def test_a_program_that_cannot_be_executed_is_126(daemon, named, tmp_path):
    (tmp_path / "data").write_text("no program")
    done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", str(tmp_path / "data"))
    assert done.returncode == 126
    assert "EACCES" in done.stderr
    (tmp_path / "data").chmod(0o755)
    done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", str(tmp_path / "data"))
    assert done.returncode == 126
    assert "ENOEXEC" in done.stderr


def test_a_name_with_another_specification_is_refused(daemon, named):
    assert socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:0", "--", "true").returncode == 0
    done = socketctl(daemon.url, "exec", "--udp", f"{named}=127.0.0.1:0", "--", "true")
    assert done.returncode == 1
    wanted = f"socketctl: socket '{named}' exists, but differs in type, listen (EEXIST)"
    assert done.stderr.startswith(f"{wanted}\n  hint: ")


def test_a_taken_port_is_told_with_the_name_and_a_hint(daemon, named):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = socketctl(daemon.url, "exec", "--listen", f"{named}=127.0.0.1:{port}", "--", "true")
    first, second = done.stderr.splitlines()
    assert done.returncode == 1
    assert first == f"socketctl: {named}: bind: Address already in use (EADDRINUSE)"
    assert second.startswith("  hint: ")


def test_program_is_not_told_of_the_daemon_and_dies_of_sigpipe_as_usual(daemon, named):
    script = "env | grep -c SOCKETD_; grep SigIgn /proc/self/status"
    done = socketctl(
        daemon.url,
        *("exec", "--listen", f"{named}=127.0.0.1:0", "--", "sh", "-c", script),
        extra={"SOCKETD_TOKEN": "secret"},
    )
    count, ignored = done.stdout.split("\n")[:2]
    assert count == "0"
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


@pytest.mark.parametrize(("flags", "blocking"), [((), False), (("--blocking",), True)])
def test_sockets_are_nonblocking_unless_asked_for(daemon, named, flags, blocking):
    script = "import os; print(os.get_blocking(3))"
    options = ("exec", *flags, "--listen", f"{named}=127.0.0.1:0", "--", sys.executable, "-c", script)
    assert socketctl(daemon.url, *options).stdout == f"{blocking}\n"


def test_sockets_handed_to_socketctl_come_first(daemon, named):
    with socket.create_server(("127.0.0.1", 0)) as ours:
        inode = os.fstat(ours.fileno()).st_ino
        words = (
            *("exec", "--listen", f"{named}=127.0.0.1:0", "--"),
            *("sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/self/fd/3"),
        )
        out = _activated(daemon, ours, "mine", words)
    assert out == f"2 mine:{named}\nsocket:[{inode}]\n"


def test_over_tcp_descriptors_are_refused_before_anything(named):
    done = socketctl("http://127.0.0.1:9", "exec", "--listen", f"{named}=127.0.0.1:0", "--", "true")
    assert done.returncode == 1
    assert "descriptors cannot travel over TCP" in done.stderr


def test_without_a_daemon_it_says_where_it_looked(tmp_path):
    done = socketctl(f"unix://{tmp_path}/api.sock", "exec", "--listen", "web=127.0.0.1:0", "--", "true")
    assert done.returncode == 1
    assert done.stderr.startswith(f"socketctl: no socketd at unix://{tmp_path}/api.sock: No such file")


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
        _activated(daemon, ours, named, ("give", "--listen-fds"))
        held = daemon.request("GET", f"/v1/sockets/{named}").json()
        assert held["local"]["port"] == ours.getsockname()[1]


def _activated(daemon, sock, name, words):
    """Run socketctl as a service manager does, with a socket at descriptor 3; return what it printed."""
    launcher = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", launcher, str(sock.fileno()), *SOCKETCTL, *words],
        env=environment(daemon.url, {"LISTEN_FDS": "1", "LISTEN_FDNAMES": name}),
        pass_fds=[sock.fileno()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def _command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read().split(b"\0")[0].decode()
