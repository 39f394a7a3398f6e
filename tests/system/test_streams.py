"""Streams with a real curl and a real daemon: files both ways, rests, ends of every kind, and repeats."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import Authority
from tests.system import hogs
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

    Fresh = Callable[..., DaemonProcess]

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(60)]
FILE_BYTES = 30_000_000
STREAMED = FILE_BYTES + 17  # not a multiple of anything
SHORT = ("--request-timeout-s", "1")
# "-T -" reads its input and nothing else meanwhile, "-T ." looks for the answer, too.
INCOMPLETE = 18  # curl's exit status for an answer that is cut off


class Held:
    """A held TCP connection, and its other end here."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            made = daemon.request("POST", "/v1/sockets", {"connect": f"127.0.0.1:{port}"})
            assert made.status == 201, made.body
            self.fd = made.json()["fd"]
            self.peer, _ = listener.accept()
        self.peer.settimeout(60)
        self.path = f"/v1/sockets/{self.fd}/stream"
        self.url = f"http://localhost{self.path}"

    def read_all(self) -> bytes:
        """Read to the end."""
        return hogs.await_end(self.peer)

    def read_in_background(self, found: dict[str, Any]) -> threading.Thread:
        """Read to the end beside the test; leaves ``found["digest"]`` and ``found["size"]``."""

        def read() -> None:
            found["digest"], found["size"] = digest_of(iter(lambda: self.peer.recv(1 << 20), b""))

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    def waits(self) -> int:
        """How many requests wait."""
        return int(self._daemon.request("GET", "/v1/caller").json()["quota"]["waits"]["used"])


def digest_of(pieces: Iterator[bytes]) -> tuple[str, int]:
    """Hash what comes, and count it."""
    sha, size = hashlib.sha256(), 0
    for piece in pieces:
        sha.update(piece)
        size += len(piece)
    return sha.hexdigest(), size


@contextmanager
def held_in(daemon: DaemonProcess) -> Iterator[Held]:
    """Hold a connection for the block."""
    held = Held(daemon)
    with held.peer:
        yield held
    daemon.request("DELETE", f"/v1/sockets/{held.fd}")


@pytest.fixture
def held(daemon: DaemonProcess) -> Iterator[Held]:
    with held_in(daemon) as made:
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many bytes."""
    path: Path = tmp_path_factory.mktemp("streams") / "file"
    path.write_bytes(os.urandom(1 << 20) * (STREAMED >> 20) + os.urandom(STREAMED % (1 << 20)))
    return path


@contextmanager
def curl(daemon: DaemonProcess, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run curl beside the test, with pipes."""
    command = ["curl", "-sS", "-N", "--unix-socket", daemon.socket_path, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def put_head(path: str, length: int, *more: str) -> bytes:
    """Write the head of an upload."""
    lines = [f"PUT {path} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode()


def pass_request_timeout(daemon: DaemonProcess) -> None:
    """Return when ``request_timeout_s`` is over: a request that began now and does not go on was refused."""
    with hogs.connected(daemon) as slow:
        slow.sendall(b"GET / HT")
        assert hogs.problem(hogs.await_end(slow))[0] == 408


@pytest.mark.parametrize("how", ["file", "-"])
def test_file_goes_up_whole_and_its_end_is_passed_on(daemon: DaemonProcess, held: Held, file: Path, how: str):
    found: dict[str, Any] = {}
    reading = held.read_in_background(found)
    source = "-" if how == "-" else str(file)
    with file.open("rb") as body:
        told = subprocess.run(
            [
                *("curl", "-sS", "--unix-socket", daemon.socket_path),
                *("-T", source, f"{held.url}?shutdown=write"),
            ],
            stdin=body,
            capture_output=True,
            timeout=120,
            check=True,
        )
    reading.join()
    assert json.loads(told.stdout) == {"sent": STREAMED, "complete": True}
    with file.open("rb") as body:
        assert (found["digest"], found["size"]) == digest_of(iter(lambda: body.read(1 << 20), b""))


def test_file_comes_down_whole(daemon: DaemonProcess, held: Held, file: Path):
    with curl(daemon, held.url) as process, file.open("rb") as body:
        sending = threading.Thread(target=lambda: (held.peer.sendfile(body), held.peer.close()))
        sending.start()
        assert process.stdout is not None
        out = process.stdout
        came = digest_of(iter(lambda: out.read(1 << 20), b""))
        sending.join()
        assert process.wait(60) == 0
    with file.open("rb") as body:
        assert came == digest_of(iter(lambda: body.read(1 << 20), b""))


def test_expectation_is_met_before_the_body_is_sent(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(put_head(held.path, 5, "Expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"hello")
        assert hogs.answer(client)[0] == 200
    assert held.peer.recv(100) == b"hello"


def test_bytes_go_as_they_come_and_may_rest_longer_than_a_request(fresh_daemon: Fresh):
    daemon = fresh_daemon(*SHORT)
    with held_in(daemon) as held, curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for piece in (b"typed", b"after a rest", b"and another"):
            process.stdin.write(piece)
            assert held.peer.recv(100) == piece
            pass_request_timeout(daemon)
        process.stdin.close()
        assert json.loads(process.stdout.read()) == {"sent": 28, "complete": True}
    daemon.stop()


def test_reader_may_rest_longer_than_an_answer(fresh_daemon: Fresh):
    daemon, data = fresh_daemon(*SHORT), os.urandom(20_000_000)
    with held_in(daemon) as held, hogs.connected(daemon) as client:
        client.sendall(f"GET {held.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sending = threading.Thread(target=lambda: (held.peer.sendall(data), held.peer.close()))
        sending.start()
        pass_request_timeout(daemon)
        status, _, body = hogs.answer(client)
        sending.join()
        assert (status, body == data) == (200, True)
    daemon.stop()


def test_connection_serves_on_after_both_streams(daemon: DaemonProcess, held: Held):
    connection = daemon.connection()
    try:
        for body in (b"first", b"second"):
            connection.request("PUT", held.path, body)
            assert json.loads(connection.getresponse().read())["sent"] == len(body)
        held.peer.sendall(b"answer")
        held.peer.shutdown(socket.SHUT_WR)
        connection.request("GET", held.path)
        assert connection.getresponse().read() == b"answer"
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def test_pipelined_request_behind_an_upload_is_served(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(put_head(held.path, 4) + b"body" + last)
        assert hogs.await_end(client).count(b"HTTP/1.1 200") == 2
    assert held.peer.recv(100) == b"body"


def test_stream_is_one_wait(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url):
        await_true(lambda: held.waits() == 1, lambda: "others wait")
    await_true(lambda: held.waits() == 0, lambda: "others wait")


def test_nothing_is_taken_for_a_reader_that_left(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url) as process:
        await_true(lambda: held.waits() == 1, lambda: "others wait")
        process.kill()
        await_true(lambda: held.waits() == 0, lambda: "others wait")
    held.peer.sendall(b"kept")
    told = daemon.request("POST", f"/v1/sockets/{held.fd}/recv", {"timeout": 10}, {"Accept": "*/*"})
    assert told.body == b"kept"


def test_answer_is_cut_off_where_the_connection_was_reset(daemon: DaemonProcess, held: Held):
    with curl(daemon, held.url) as process:
        assert process.stdout is not None
        held.peer.sendall(b"before")
        assert process.stdout.read(6) == b"before"
        held.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        held.peer.close()
        assert process.wait(60) == INCOMPLETE


def test_resting_upload_hears_of_the_reset(daemon: DaemonProcess, held: Held):
    with curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"sent")
        assert held.peer.recv(100) == b"sent"
        held.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        held.peer.close()
        told = json.loads(process.stdout.read())
        assert (told["status"], told["errno"], told["sent"]) == (502, "ECONNRESET", 4)


def test_resting_upload_hears_of_the_close(daemon: DaemonProcess, held: Held):
    with curl(daemon, "-T", ".", held.url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"sent")
        assert held.peer.recv(100) == b"sent"
        daemon.request("DELETE", f"/v1/sockets/{held.fd}")
        told = json.loads(process.stdout.read())
        assert (told["status"], told["code"], told["sent"]) == (404, "closed_meanwhile", 4)


def test_idle_bound_ends_both(daemon: DaemonProcess, held: Held):
    with curl(daemon, f"{held.url}?timeout=0.05") as process:
        assert process.wait(60) == INCOMPLETE
    with hogs.connected(daemon) as client:
        client.sendall(put_head(f"{held.path}?timeout=0.05", 1 << 30))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - it ends when it is full
            for _ in range(1 << 14):
                client.sendall(bytes(1 << 16))
                if select.select([client], [], [], 0)[0]:
                    assert hogs.answer(client)[0] == 504
                    raise BrokenPipeError


def test_body_that_breaks_off_is_told_with_what_was_sent(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(put_head(held.path, 100, "Idempotency-Key: cut") + b"part")
        assert held.peer.recv(100) == b"part"
        client.shutdown(socket.SHUT_WR)
        status, headers, body = hogs.answer(client)
    assert (status, json.loads(body)["sent"], headers["Upload-Offset"]) == (400, 4, "4")
    told = daemon.request("HEAD", held.path, headers={"Idempotency-Key": "cut"})
    assert told.headers["Upload-Offset"] == "4"


def test_upload_that_is_cut_anywhere_arrives_once(daemon: DaemonProcess, held: Held):
    data = os.urandom(5_000_000)
    key = "Idempotency-Key: anywhere"
    found: dict[str, Any] = {}
    reading = held.read_in_background(found)
    for cut in (0, 1, 70_001, 1_000_000, 4_999_999):
        with hogs.connected(daemon) as client:  # each begins at 0, and many bytes come again
            client.sendall(put_head(held.path, len(data), key) + data[:cut])
    told = daemon.request("HEAD", held.path, headers={"Idempotency-Key": "anywhere"})
    start = int(told.headers.get("Upload-Offset", "0"))
    headers = {"Idempotency-Key": "anywhere", "Upload-Offset": str(start)}
    told = daemon.request("PUT", f"{held.path}?shutdown=write", data[start:], headers)
    assert (told.status, told.headers["Upload-Offset"]) == (200, str(len(data)))
    reading.join()
    assert (found["digest"], found["size"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_two_requests_of_one_upload_at_once_send_each_byte_once(daemon: DaemonProcess, held: Held):
    data = os.urandom(20_000_000)
    headers = {"Idempotency-Key": "twice"}
    found: dict[str, Any] = {}
    answers: list[Any] = []

    def bring() -> None:
        answers.append(daemon.request("PUT", held.path, data, headers))

    bringing = [threading.Thread(target=bring) for _ in range(3)]
    for each in bringing:
        each.start()
    await_true(lambda: held.waits() == len(bringing), lambda: "they do not all wait")
    reading = held.read_in_background(found)
    for each in bringing:
        each.join()
    daemon.request("POST", f"/v1/sockets/{held.fd}/shutdown", {"how": "write"})
    reading.join()
    assert [answer.json() for answer in answers] == [{"sent": len(data), "complete": True}] * len(bringing)
    assert (found["digest"], found["size"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_end_of_the_daemon_cuts_readers_off_and_tells_uploads_how_far_they_came(fresh_daemon: Fresh):
    daemon = fresh_daemon()
    with (
        held_in_stopping(daemon) as (up, down),
        curl(daemon, down.url) as reading,
        hogs.connected(daemon) as client,
        hogs.connected(daemon) as fresh,
    ):
        client.sendall(put_head(up.path, 100) + b"part")
        assert up.peer.recv(100) == b"part"
        fresh.sendall(put_head(down.path, 100))
        await_true(lambda: up.waits() == 3, lambda: "others wait")
        daemon.process.send_signal(signal.SIGTERM)
        status, _, body = hogs.answer(client)
        told = json.loads(body)
        assert (status, told["code"], told["sent"]) == (503, "upload_interrupted", 4)
        status, _, body = hogs.answer(fresh)
        assert (status, json.loads(body)["code"]) == (503, "shutting_down")  # nothing was done
        assert reading.wait(60) == INCOMPLETE
    daemon.check_end()


@contextmanager
def held_in_stopping(daemon: DaemonProcess) -> Iterator[tuple[Held, Held]]:
    """Hold two connections in a daemon that closes them itself."""
    one, other = Held(daemon), Held(daemon)
    with one.peer, other.peer:
        yield one, other


def test_head_of_a_stream_leaves_before_anything_comes(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(f"GET {held.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with http.client.HTTPResponse(client) as response:
            response.begin()
            assert response.status == 200
            held.peer.sendall(b"x")
            assert response.read(1) == b"x"


@pytest.mark.needs("openssl")
def test_streams_go_through_tls(fresh_daemon: Fresh, file: Path, tmp_path: Path):
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("localhost", "server")
    flags = ("--tcp", "127.0.0.1:0", "--tls-certificate", pair.certificate, "--tls-key", pair.key)
    daemon = fresh_daemon(*flags, environ={"SOCKETD_TOKEN": "a-token"})
    daemon.await_log("https://")
    found = re.search(r"https://127\.0\.0\.1:[0-9]+", daemon.log)
    assert found is not None
    told = {"cacert": authority.certificate, "oauth2-bearer": "a-token"}
    options = [word for name, value in told.items() for word in (f"--{name}", value)]
    with held_in(daemon) as held:
        digests: dict[str, Any] = {}
        reading = held.read_in_background(digests)
        url = f"{found[0]}{held.path}"
        up = subprocess.run(
            ["curl", "-sS", *options, "-T", str(file), f"{url}?shutdown=write"],
            capture_output=True,
            timeout=120,
            check=True,
        )
        assert json.loads(up.stdout)["sent"] == STREAMED
        reading.join()
    with held_in(daemon) as held, file.open("rb") as body:
        sending = threading.Thread(target=lambda: (held.peer.sendfile(body), held.peer.close()))
        sending.start()
        down = subprocess.run(
            ["curl", "-sSN", *options, f"{found[0]}{held.path}"], capture_output=True, timeout=120, check=True
        )
        sending.join()
    assert digests["digest"] == hashlib.sha256(down.stdout).hexdigest()
    daemon.stop()


@pytest.mark.needs("ss")
def test_client_behind_tcp_is_probed_while_it_rests(fresh_daemon: Fresh):
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "a-token"})
    found = re.search(r"http://127\.0\.0\.1:([0-9]+)", daemon.log)
    assert found is not None
    with held_in(daemon) as held, socket.create_connection(("127.0.0.1", int(found[1]))) as client:
        head = f"GET {held.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        shown = subprocess.run(
            ["ss", "-tnoH", f"sport = :{found[1]}"], capture_output=True, text=True, timeout=60, check=True
        )
        assert "timer:(keepalive" in shown.stdout
    daemon.stop()
