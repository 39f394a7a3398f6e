"""Programs started by ``socketctl exec``: what they find, what they are not told, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

import pytest

from tests.socketctl_process import socketctl
from tests.system.socket_names import activated, named

__all__ = ["named"]  # a fixture

PEEK = (
    "import json; from socketd_client import listen_fds;"
    "print(json.dumps([(name, sock.fileno(), sock.type.name) for name, sock in listen_fds().items()]))"
)


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
        out = activated(daemon, ours, "mine", words)
    assert out == f"2 mine:{named}\nsocket:[{inode}]\n"


def test_over_tcp_descriptors_are_refused_before_anything(named):
    done = socketctl("http://127.0.0.1:9", "exec", "--listen", f"{named}=127.0.0.1:0", "--", "true")
    assert done.returncode == 1
    assert "descriptors cannot travel over TCP" in done.stderr


def test_without_a_daemon_it_says_where_it_looked(tmp_path):
    done = socketctl(f"unix://{tmp_path}/api.sock", "exec", "--listen", "web=127.0.0.1:0", "--", "true")
    assert done.returncode == 1
    assert done.stderr.startswith(f"socketctl: no socketd at unix://{tmp_path}/api.sock: No such file")
