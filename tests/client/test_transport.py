from __future__ import annotations

import errno
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from socketd_client import ApiError, BadAnswerError, Client, ConnectError, TransportTimeoutError
from socketd_client.transport import connect_unix
from tests.client.http_stand_in import SERVICE, WAIT_S, Reply, Seen, problem, serving, socket_json

if TYPE_CHECKING:
    from pathlib import Path


def service(_seen: Seen) -> Reply:
    return Reply(SERVICE)


def test_missing_socket_is_a_connect_error(tmp_path: Path):
    with (
        Client(f"unix://{tmp_path}/none.sock") as client,
        pytest.raises(ConnectError, match="is it running") as caught,
    ):
        client.info()
    assert caught.value.reason is not None
    assert caught.value.reason.errno == errno.ENOENT
    assert caught.value.errno is None


def test_refused_connection_is_a_connect_error_after_a_moment(tmp_path: Path):
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        with Client(f"unix://{path}") as client, pytest.raises(ConnectError) as caught:
            client.info()
    assert not isinstance(caught.value, ConnectionRefusedError)
    assert isinstance(caught.value.reason, ConnectionRefusedError)


def test_refused_tcp_connection_is_a_connect_error():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with Client(f"http://127.0.0.1:{bound.getsockname()[1]}") as client, pytest.raises(ConnectError):
            client.info()


def test_too_long_path_is_a_connect_error():
    with Client("unix:///" + "x" * 200) as client, pytest.raises(ConnectError, match="too long"):
        client.info()


def test_unknown_host_is_a_connect_error():
    with Client("http://no-such-host.invalid") as client, pytest.raises(ConnectError):
        client.info()


def test_full_backlog_is_given_up_after_the_timeout(tmp_path: Path):
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as listener, connecting_until_full(listener, path):
        with pytest.raises(BlockingIOError):
            connect_unix(path, 0.05)
        with Client(f"unix://{path}", timeout_s=0.05) as client, pytest.raises(ConnectError) as caught:
            client.info()
    assert caught.value.reason is not None
    assert caught.value.reason.errno == errno.EAGAIN


def test_full_backlog_is_waited_for(tmp_path: Path):
    path = str(tmp_path / "api.sock")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        connecting_until_full(listener, path),
        ThreadPoolExecutor(1) as pool,
    ):
        connecting = pool.submit(connect_unix, path, WAIT_S)
        listener.accept()[0].close()
        connecting.result(WAIT_S).close()


def test_daemon_that_does_not_answer_is_a_transport_timeout(tmp_path: Path):
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(4)
        with (
            Client(f"unix://{path}", timeout_s=0.05) as client,
            pytest.raises(TransportTimeoutError) as caught,
        ):
            client.info()
    assert not isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("reply", [Reply(b"<html>"), Reply([1]), Reply({"service": "socketd"}), Reply(b"")])
def test_answer_of_something_else_is_a_bad_answer(tmp_path: Path, reply: Reply):
    with (
        serving(lambda _: reply, tmp_path / "s") as server,
        Client(server.url) as client,
        pytest.raises(BadAnswerError),
    ):
        client.info()


def test_redirect_is_not_followed(tmp_path: Path):
    moved = Reply({}, 302, {"Location": "/v1/elsewhere"})
    with serving(lambda _: moved, tmp_path / "s") as server, Client(server.url) as client:
        with pytest.raises(ApiError) as caught:
            client.info()
        assert caught.value.status == 302
        assert len(server.seen) == 1


def test_closed_client_is_a_value_error(tmp_path: Path):
    with serving(service, tmp_path / "s") as server:
        client = Client(server.url)
        client.info()
        client.close()
        client.close()
        with pytest.raises(ValueError, match="closed"):
            client.info()


@pytest.mark.parametrize(
    "name", ["api.sock", "with space", "100%", "%41", "größe", "ask?why#now", "@at", b"\xff\xfe"]
)
def test_any_path_is_reached(tmp_path: Path, name: str | bytes):
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    with serving(service, path), Client(f"unix://{quote(path)}") as client:
        assert client.info().version == "0"


def test_requests_follow_each_other_on_one_connection(tmp_path: Path):
    with serving(service, tmp_path / "s") as server, Client(server.url) as client:
        for _ in range(5):
            client.info()
        assert len(server.connections) == 1


@pytest.mark.parametrize("is_tcp", [False, True])
def test_empty_answers_leave_the_connection_usable(tmp_path: Path, is_tcp: bool):  # noqa: FBT001 - a test's parameter
    def answer(seen: Seen) -> Reply:
        return Reply(socket_json()) if seen.method == "GET" else Reply(b"", 204)

    with serving(answer, None if is_tcp else tmp_path / "s") as server, Client(server.url) as client:
        for _ in range(3):
            client.sockets.get(64).close()
        assert len(server.connections) == 1


def test_refusals_leave_the_connection_usable(tmp_path: Path):
    with serving(lambda _: problem("EBADF", 404), tmp_path / "s") as server, Client(server.url) as client:
        for _ in range(3):
            with pytest.raises(ApiError):
                client.sockets.get(7)
        assert len(server.connections) == 1


def test_tcp_requests_carry_the_token():
    with serving(service) as server, Client(server.url, token="secret") as client:
        client.info()
        assert server.seen[0].headers["Authorization"] == "Bearer secret"


def test_no_token_no_authorization(tmp_path: Path):
    with serving(service, tmp_path / "s") as server, Client(server.url) as client:
        client.info()
        assert "Authorization" not in server.seen[0].headers
        assert server.seen[0].headers["Host"] == "localhost"


@pytest.mark.parametrize("is_tcp", [False, True])
def test_proxies_of_the_environment_do_not_come_between_us_and_this_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_tcp: bool,  # noqa: FBT001 - a test's parameter
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(service, None if is_tcp else tmp_path / "s") as server, Client(server.url) as client:
        assert client.info().service == "socketd"


def test_eight_threads_share_one_client(tmp_path: Path):
    together = threading.Barrier(8)

    def named(seen: Seen) -> Reply:
        if seen.path == "/v1/byteorder/htons/0":
            together.wait(WAIT_S)  # all eight are in flight at once
        number = int(seen.path.rpartition("/")[2])
        return Reply({"function": "htons", "width_bits": 16, "value": number, "result": number})

    def ask(first: int) -> list[int]:
        client.byteorder.htons(0)
        return [client.byteorder.htons(number).result for number in range(first, first + 50)]

    with (
        serving(named, tmp_path / "s") as server,
        Client(server.url) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(ask, range(1000, 9000, 1000)))
        assert len(server.connections) == 8
    assert answers == [list(range(first, first + 50)) for first in range(1000, 9000, 1000)]


def test_forked_child_does_not_speak_on_its_parents_connection(tmp_path: Path):
    with serving(service, tmp_path / "s") as server, Client(server.url) as client:
        client.info()
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if client.info().service == "socketd" else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.info()
        assert len(server.connections) == 2


class connecting_until_full:  # noqa: N801 - used as a function
    """Listen with the smallest backlog and fill it."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        listener.bind(path)
        listener.listen(0)
        self._waiting: list[socket.socket] = []
        for _ in range(64):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(0)
            self._waiting.append(sock)
            try:
                sock.connect(path)
            except BlockingIOError:
                return

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for sock in self._waiting:
            sock.close()
