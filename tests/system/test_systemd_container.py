"""The machine that other tests boot: apart from the host, and gone without a trace."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

from tests.system.systemd_container import PYTHON, Container, cgroup_folder


def test_systemd_is_the_first_process_and_runs_what_it_is_told(container):
    assert container.exec(["cat", "/proc/1/comm"]).stdout == "systemd\n"
    container.exec(["systemd-run", "--wait", "--collect", "sh", "-c", "echo said >/run/by-a-unit"])
    assert container.path("/run/by-a-unit").read_text() == "said\n"


def test_what_is_written_inside_stays_inside(container):
    container.exec(["sh", "-c", "echo changed >/etc/hostname; echo new >/usr/lib/socketd-test-file"])
    assert Path("/etc/hostname").read_text() != "changed\n"
    assert not Path("/usr/lib/socketd-test-file").exists()


def test_folders_of_people_are_not_seen(container):
    kinds = container.exec(["stat", "--file-system", "--format=%T", "/root", "/home", "/tmp", "/run"])
    assert kinds.stdout.split() == ["tmpfs"] * 4


def test_limits_of_the_host_cannot_be_changed(container):
    done = container.exec(["sh", "-c", "echo 1000 >/proc/sys/fs/file-max"], check=False)
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_put_brings_files_and_folders(container, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("brought\n")
    container.put(tmp_path / "folder", "/srv/there")
    container.put(tmp_path / "folder" / "file", "/srv/beside/file")
    assert container.exec(["cat", "/srv/there/file", "/srv/beside/file"]).stdout == "brought\n" * 2


def test_a_thread_can_make_sockets_in_its_network(container):
    with container.network(), socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        program = f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'hello')"
        container.exec([PYTHON, "-c", program])
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(5) == b"hello"
    assert Path("/proc/thread-self/ns/net").readlink() != Path(f"/proc/{container.pid}/ns/net").readlink()


def test_a_command_runs_as_a_user_with_its_groups(container):
    container.exec(["useradd", "--groups", "games", "visitor"])
    assert container.exec(["id", "-nG"], user="visitor").stdout.split() == ["visitor", "games"]


def test_reboot_ends_processes_and_keeps_files(container):
    container.exec(["sh", "-c", "touch /etc/stays /run/goes"])
    container.exec(["systemd-run", "--unit=sleeper", "sleep", "infinity"])
    container.reboot()
    assert container.path("/etc/stays").exists()
    assert not container.path("/run/goes").exists()
    assert container.show("sleeper.service", "ActiveState") == "inactive"


def test_stop_leaves_no_process_and_no_cgroup(container, tmp_path):  # noqa: ARG001 - skipped where that one is
    own = Container(tmp_path)
    own.start()
    own_group = Path(f"/proc/{own.pid}/cgroup").read_text().partition("0::/")[2].partition("/")[0]
    assert (cgroup_folder() / own_group).is_dir()
    command = own.command(["sh", "-c", "echo here; exec sleep infinity"])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as inside:
        assert inside.stdout.readline() == b"here\n"
        own.stop()
        assert inside.wait(30) == -signal.SIGKILL
    assert not (cgroup_folder() / own_group).exists()
    own.stop()
