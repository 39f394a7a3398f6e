"""Descriptors change hands between real processes: a client in C, curl, and peers that stall or die."""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd_client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

SOURCE = Path(__file__).parents[2] / "docs" / "examples" / "passing.c"
LOOPBACK = ("127.0.0.1", 0)
TAKE = (
    b"POST /v1/sockets/take HTTP/1.1\r\nHost: x\r\nAccept-Descriptors: yes\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)
GIVE = b"POST /v1/sockets/give HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: socketd-give\r\n\r\n"
BATCH = 253


@pytest.fixture
def nothing_leaks(daemon: DaemonProcess) -> Iterator[None]:
    """Compare the daemon's descriptors before and after, held sockets of the test closed."""
    before = daemon.descriptors()
    yield
    with Client(daemon.url) as client:
        for sock in client.sockets.list():
            sock.close()
    assert_as_before(daemon, before)


def assert_as_before(daemon: DaemonProcess, before: dict[int, str]) -> None:
    """Wait until the daemon has noticed that our connections ended, and has nothing more open."""
    for _ in range(500):
        # By number: the connection that asks has another inode each time.
        more = {fd: link for fd, link in daemon.descriptors().items() if fd not in before}
        if not more:
            return
    pytest.fail(f"left open in the daemon: {more}")


@pytest.fixture
def client(daemon: DaemonProcess, nothing_leaks: None) -> Iterator[Client]:
    del nothing_leaks
    with Client(daemon.url) as client:
        yield client


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("c") / "passing"
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return str(program)


def connect(daemon: DaemonProcess) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(daemon.socket_path)
    return sock


def send_take(sock: socket.socket, *refs: int, release: bool = False) -> None:
    body = json.dumps({"sockets": refs, "release": release}).encode()
    sock.sendall(TAKE % (len(body), body))


def begin_give(daemon: DaemonProcess, count: int) -> socket.socket:
    sock = connect(daemon)
    sock.sendall(GIVE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    manifest = json.dumps({"sockets": [{}] * count}).encode()
    sock.sendall(struct.pack(">I", len(manifest)) + manifest)
    return sock


def send_batch(sock: socket.socket, *descriptors: int) -> None:
    rights = array.array("i", descriptors)
    sock.sendmsg([bytes((len(descriptors),))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def refusal(sock: socket.socket) -> dict[str, object]:
    """Read what comes instead of an acknowledgement, up to the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    assert data[0] == 0
    found: dict[str, object] = json.loads(data[5:])["body"]
    return found


def read_to_the_end(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 20):
            data += piece
    return data


def test_client_that_takes_and_never_reads_is_ended_and_loses_nothing(daemon: DaemonProcess, client: Client):
    made = client.sockets.create_many(3)
    with connect(daemon) as sock:
        send_take(sock, *[one.fd for one in made], release=True)
        waited = read_when_ended(sock)
    assert b" 200 OK" not in waited
    assert [one.info().fd for one in made] == [one.fd for one in made]
    assert client.health()


def read_when_ended(sock: socket.socket) -> bytes:
    """Wait, without reading, until the other side has ended the connection; then read what is there."""
    poll = select.poll()
    poll.register(sock, select.POLLHUP | select.POLLRDHUP)
    assert poll.poll(30_000)
    return read_to_the_end(sock)


def test_client_that_is_killed_before_it_reads_loses_nothing(daemon: DaemonProcess, client: Client):
    made = client.sockets.create(bind=LOOPBACK, listen=True)
    program = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(sys.stdin.buffer.read()); print('sent', flush=True); time.sleep(60)"
    )
    body = json.dumps({"sockets": [made.fd], "release": True}).encode()
    with subprocess.Popen(
        [sys.executable, "-c", program, daemon.socket_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(TAKE % (len(body), body))
        process.stdin.close()
        assert process.stdout.readline() == b"sent\n"
        while not made.info().taken:  # handed to the kernel, and not read
            pass
        process.kill()
    assert made.info().state == "listening"
    with socket.create_connection(made.getsockname()):
        assert made.accept()


def test_giver_that_says_nothing_is_told_and_ended(daemon: DaemonProcess, client: Client):
    with begin_give(daemon, 2) as sock, socket.socket() as mine:
        send_batch(sock, mine.fileno())
        assert sock.recv(1) == b"\1"
        found = refusal(sock)
    assert (found["status"], found["errno"]) == (408, "ETIMEDOUT")
    assert list(client.sockets.list()) == []


def test_giver_that_is_killed_half_way_gives_nothing(daemon: DaemonProcess, client: Client):
    sock = begin_give(daemon, 300)
    with contextlib.ExitStack() as stack:
        mine = [stack.enter_context(socket.socket()) for _ in range(BATCH)]
        stack.enter_context(sock)
        child = os.fork()
        if child == 0:
            send_batch(sock, *[one.fileno() for one in mine])
            os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        assert sock.recv(1) == bytes((BATCH,))
    deadline = 1000
    while list(client.sockets.list()) and deadline:
        deadline -= 1
    assert list(client.sockets.list()) == []


def test_other_requests_are_served_while_a_giver_stalls(daemon: DaemonProcess, client: Client):
    with begin_give(daemon, 1):
        assert client.health()


def test_ordinary_requests_cannot_carry_descriptors(daemon: DaemonProcess, client: Client):
    del client
    with connect(daemon) as sock:
        try:
            sock.getsockopt(socket.SOL_SOCKET, 83)
        except OSError:
            pytest.skip("SO_PASSRIGHTS came with Linux 6.16")
        with pytest.raises(PermissionError):
            send_batch(sock, 0)


@pytest.mark.needs("curl")
def test_curl_takes_and_loses_nothing(daemon: DaemonProcess, client: Client):
    made = client.sockets.create(bind=LOOPBACK, listen=True, name="web")
    result = daemon.curl("-i", "-X", "POST", "http://localhost/v1/sockets/web/take")
    heads = [line for line in result.stdout.splitlines() if line.startswith("HTTP/1.1")]
    assert heads == ["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"]
    with socket.create_connection(made.getsockname()):
        assert made.accept()


@pytest.mark.needs("curl")
def test_http_1_0_gets_no_interim_answer(daemon: DaemonProcess, client: Client):
    client.sockets.create(name="web")
    result = daemon.curl("-i", "--http1.0", "-X", "POST", "http://localhost/v1/sockets/web/take")
    assert "100 Continue" not in result.stdout
    assert "needs_unix_socket" in result.stdout


@pytest.mark.needs("prlimit")
def test_full_table_of_the_daemon_is_emfile_and_undoes_the_give(fresh_daemon):
    daemon = fresh_daemon(launcher=("prlimit", "--nofile=100:100"))
    before = daemon.descriptors()
    with contextlib.ExitStack() as stack, Client(daemon.url) as client:
        mine = [stack.enter_context(socket.socket()) for _ in range(120)]
        for _ in range(3):  # once in the control data, below when a number is looked for
            with pytest.raises(OSError, match="recvmsg: Too many open files") as caught:
                client.give(*mine)
            assert caught.value.errno == errno.EMFILE
        with pytest.raises(OSError, match="EMFILE"):
            client.give(*mine[:60])
        assert list(client.sockets.list()) == []
        assert client.give(mine[0]).fd
        assert [sock.close() for sock in client.sockets.list()]
    assert_as_before(daemon, before)


def test_thousands_are_taken_and_given_while_others_are_served(daemon: DaemonProcess, client: Client):
    made = client.sockets.create_many(2000)
    with contextlib.ExitStack() as stack, Client(daemon.url) as other:
        taken = client.take(*[sock.fd for sock in made], release=True)
        for sock in taken:
            stack.enter_context(sock)
        assert other.health()
        held = client.give(*taken)
    assert [sock.cookie for sock in held] == [sock.cookie for sock in made]


@pytest.mark.needs("cc")
def test_c_client_takes_for_a_program(daemon: DaemonProcess, client: Client, compiled: str):
    made = client.sockets.create(bind=LOOPBACK, listen=True, name="web")
    show = "import socket; print(socket.socket(fileno=3).getsockname()[1])"
    command = [compiled, "take", daemon.socket_path, "web", sys.executable, "-c", show]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert int(result.stdout) == made.getsockname()[1]


@pytest.mark.needs("cc")
def test_c_client_gives(daemon: DaemonProcess, client: Client, compiled: str):
    with socket.create_server(LOOPBACK) as mine:
        command = [compiled, "give", daemon.socket_path, "mine"]
        result = subprocess.run(command, stdin=mine, capture_output=True, text=True, timeout=30, check=True)
        assert json.loads(result.stdout)["status"] == 201
        assert client.sockets.get("mine").getsockname() == mine.getsockname()


@pytest.mark.needs("cc")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("take", "none", "true"), "EBADF"), (("give", "1"), "EINVAL"), (("give", "pipe"), "ENOTSOCK")],
)
def test_c_client_is_told_what_is_wrong(
    daemon: DaemonProcess, client: Client, compiled: str, arguments: tuple[str, ...], said: str
):
    del client
    op, *rest = arguments
    result = subprocess.run(
        [compiled, op, daemon.socket_path, *rest],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert said in result.stdout + result.stderr
