"""How a daemon starts, and why one does not: the command line, the environment, systemd's sockets."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon_process import START_S, child_environment

# Puts the inherited descriptor at 3, as systemd does, and becomes the command.
ACTIVATOR = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""


def socketd(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    command = [sys.executable, "-m", "socketd", *arguments]
    environment = child_environment(environ)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=START_S, check=False
    )


@pytest.mark.needs("curl", "sh")
def test_four_lines_of_the_banner_work_as_pasted(fresh_daemon):
    with socket.socket() as other:
        other.bind(("", 0))
        daemon = fresh_daemon("--banner")
        daemon.await_log("-X DELETE")
        lines = [line.strip() for line in daemon.log.splitlines() if line.startswith("  curl ")]
        assert len(lines) == 4
        for _ in range(2):  # and again
            created, listed, descriptors, deleted = (run_line(line) for line in lines)
            assert '"demo"' in created
            assert '"listening"' in created
            assert '"demo"' in listed
            assert "demo" in descriptors
            assert deleted == ""
    assert f"export SOCKETD_URL={shlex.quote(daemon.url)}\n" in daemon.log


def run_line(line: str) -> str:
    done = subprocess.run(
        ["sh", "-c", f"{line} --fail-with-body"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    return done.stdout


def test_tcp_asks_for_the_token_that_is_printed(fresh_daemon):
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", "--banner")
    daemon.await_log("-X DELETE")
    url = re.search(r"http://127\.0\.0\.1:[0-9]+", daemon.log)[0]
    token = re.search(r"SOCKETD_TOKEN=(\S+)", daemon.log)[1]
    status = ["-o", os.devnull, "-w", "%{http_code}", f"{url}/v1/"]
    assert daemon.curl("-H", f"Authorization: Bearer {token}", *status).stdout == "200"
    tcp = ["curl", "-sS"]
    for header, expected in (
        (f"Authorization: Bearer {token}", "200"),
        ("Authorization: Bearer x", "401"),
        ("X: y", "401"),
    ):
        done = subprocess.run(
            [*tcp, "-H", header, *status], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout == expected


def test_second_daemon_on_the_same_path_is_refused(fresh_daemon):
    first = fresh_daemon()
    second = socketd("serve", "--listen", first.socket_path)
    assert second.returncode == 1
    assert (
        second.stderr
        == f"socketd: {first.socket_path}: another daemon serves there (pid {first.process.pid})\n"
    )
    assert first.request("GET", "/healthz").status == 200


def test_socket_of_a_killed_daemon_is_replaced(fresh_daemon):
    killed = fresh_daemon()
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert Path(killed.socket_path).is_socket()
    again = fresh_daemon(folder=Path(killed.socket_path).parent)
    assert again.request("GET", "/healthz").status == 200


def test_variables_of_gunicorn_have_no_effect(fresh_daemon):
    daemon = fresh_daemon(
        environ={
            "WEB_CONCURRENCY": "4",
            "GUNICORN_CMD_ARGS": "--workers 3 --worker-class sync --bind 127.0.0.1:1 --max-requests 1",
            "GUNICORN_FD": "0",
            "GUNICORN_PID": "1",
            "FORWARDED_ALLOW_IPS": "*",
            "PORT": "1",
        }
    )
    pid = daemon.pid
    assert daemon.children() == [pid]
    assert {daemon.request("GET", "/v1/").json()["pid"] for _ in range(3)} == {pid}
    assert "GUNICORN" not in Path(f"/proc/{daemon.process.pid}/cmdline").read_text()


def test_only_its_own_files_and_sockets_are_open(fresh_daemon):
    daemon = fresh_daemon()
    links = daemon.descriptors()
    for _ in range(20):
        daemon.request("GET", "/v1/sockets")
    deadline = time.monotonic() + 30
    while len(daemon.descriptors()) > len(links):
        assert time.monotonic() < deadline, daemon.descriptors()
    assert max(links) < 64
    kinds = {re.sub(r"\d+", "N", link) for link in links.values()}
    known = (
        r"/dev/null|/dev/urandom|/proc/\S*|pipe:\[N\]|socket:\[N\]|anon_inode:\[\w+\]"
        r"|.*/logN|.*\.lock|.*wgunicorn.* \(deleted\)"
    )
    assert [kind for kind in kinds if not re.fullmatch(known, kind)] == []


@pytest.fixture
def activated(fresh_daemon, tmp_path):
    """Start a daemon as systemd does, with a listening socket at descriptor 3."""

    def start(label: str = "api", *, kind: socket.SocketKind = socket.SOCK_STREAM, ready: bool = True):
        path = tmp_path / "activated.sock"
        with socket.socket(socket.AF_UNIX, kind) as listener:
            listener.bind(str(path))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            launcher = [sys.executable, "-c", ACTIVATOR, str(listener.fileno()), label]
            return fresh_daemon(ready=ready, launcher=launcher, pass_fds=[listener.fileno()]), path

    return start


def test_socket_of_systemd_is_served_and_its_path_kept(activated):
    daemon, path = activated()
    assert not Path(daemon.socket_path).exists()
    daemon.socket_path = str(path)
    assert daemon.request("GET", "/healthz").status == 200
    environ = Path(f"/proc/{daemon.pid}/environ").read_text()
    assert "LISTEN_FDS" in environ  # as it was started; what children get is another matter
    daemon.stop()
    assert path.is_socket()


def test_socket_of_systemd_with_another_name_is_refused(activated):
    daemon, _ = activated("web", ready=False)
    assert "came by LISTEN_FDS as 'web'" in daemon.check_end(2)


def test_socket_of_systemd_that_does_not_listen_is_refused(activated):
    daemon, _ = activated(kind=socket.SOCK_DGRAM, ready=False)
    assert "no listening stream socket" in daemon.check_end(2)


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["serve", "--max-waits", "none"], {}, "--max-waits: 'none' is not a whole number from 1 to 1000000"),
        (["serve", "--max-wait", "1"], {}, "unknown argument --max-wait; did you mean --max-waits"),
        (
            ["serve", "--tcp", "0.0.0.0:80"],
            {},
            "--tcp: tcp 0.0.0.0:80 is beyond the loopback interface",
        ),
        (["serve"], {"SOCKETD_LOG_LEVEL": "loud"}, "SOCKETD_LOG_LEVEL: 'loud' is not one of debug, info"),
        (["serve", "--config", "/nowhere/x.toml"], {}, "/nowhere/x.toml: No such file or directory"),
        (
            ["config", "--max-timeout-s", "1"],
            {},
            "default_timeout_s (30, default) is more than max_timeout_s",
        ),
    ],
)
def test_bad_configuration_is_one_line_and_exit_status_2(arguments, environ, says):
    done = socketd(*arguments, **environ)
    assert done.returncode == 2
    assert done.stderr.startswith(f"socketd: {says}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        ("two words\n", "not TOML: "),
        ("sesame\n", "it holds a token, and should hold its hash: 'socketd token NAME --stdin < "),
        ("", "it has no [[token]]"),
        ('[[token]]\nname = "ci"\nsha256 = "ab"\n', "token 1 (ci): its sha256 is not"),
    ],
)
def test_token_file_that_cannot_be_is_refused(tmp_path, content, says):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    listen = str(tmp_path / "api.sock")
    done = socketd("serve", "--listen", listen, "--tcp", "127.0.0.1:0", "--token-file", str(path))
    assert done.returncode == 2
    assert f"socketd: token_file {path}: {says}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(listen).exists()


def test_config_shows_where_each_value_comes_from(tmp_path):
    file = tmp_path / "socketd.toml"
    file.write_text("max_count = 7\n")
    done = socketd("config", "--config", str(file), "--max-waits", "5", SOCKETD_LISTEN="/run/x.sock")
    assert done.returncode == 0
    shown = dict(re.findall(r"^(\w+ = \S+) +# (.+)$", done.stdout, re.MULTILINE))
    assert shown["max_waits = 5"] == "--max-waits"
    assert shown["max_count = 7"] == str(file)
    assert shown['listen = "/run/x.sock"'] == "SOCKETD_LISTEN"
    assert shown["max_body_bytes = 16777216"] == "default"


def test_help_teaches_by_example():
    done = socketd("--help")
    assert done.returncode == 0
    assert "socketd serve --tcp" in done.stdout


def test_version_is_the_packages():
    assert re.fullmatch(r"socketd \d+\.\d+\.\d+\S*\n", socketd("version").stdout)


def test_openapi_check_fails_for_another_document(tmp_path):
    file = tmp_path / "openapi.yaml"
    assert socketd("openapi", "--output", str(file)).returncode == 0
    assert socketd("openapi", "--check", str(file)).returncode == 0
    assert socketd("openapi").stdout == file.read_text()
    file.write_text("something else")
    done = socketd("openapi", "--check", str(file))
    assert done.returncode == 1
    assert "make openapi" in done.stderr
