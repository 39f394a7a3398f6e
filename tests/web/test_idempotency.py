"""Idempotency-Key: a repeat is answered and not done again."""

from __future__ import annotations

import errno
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import UnixConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import Answer, DaemonProcess

LISTENER = {"bind": "127.0.0.1:0", "listen": True}
WAIT_S = 60.0
MOST_ANSWERS = 1024


def post(daemon: DaemonProcess, path: str, body: Any, key: str) -> Answer:
    return daemon.request("POST", path, body, headers={"Idempotency-Key": key})


@pytest.fixture
def listener(daemon: DaemonProcess) -> Iterator[dict[str, Any]]:
    made = daemon.request("POST", "/v1/sockets", LISTENER).json()
    yield made
    daemon.request("DELETE", f"/v1/sockets/{made['fd']}")


def close(daemon: DaemonProcess, *fds: int) -> None:
    for fd in fds:
        assert daemon.request("DELETE", f"/v1/sockets/{fd}").status == 204


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256])
def test_a_key_that_is_none_is_422(daemon: DaemonProcess, key: str) -> None:
    answer = daemon.request(
        "POST", "/v1/sockets", LISTENER, headers={"Idempotency-Key": key.encode("latin-1")}
    )
    assert (answer.status, list(answer.json()["members"])) == (422, ["Idempotency-Key"])


def test_the_same_key_with_another_body_is_422(daemon: DaemonProcess) -> None:
    made = post(daemon, "/v1/sockets", LISTENER, "other-body")
    refused = post(daemon, "/v1/sockets", {"type": "dgram"}, "other-body")
    assert (made.status, refused.status) == (201, 422)
    assert refused.json()["code"] == "idempotency_key_reused"
    close(daemon, made.json()["fd"])


def test_the_same_key_at_another_path_is_422(daemon: DaemonProcess, listener: dict[str, Any]) -> None:
    path = f"/v1/sockets/{listener['fd']}"
    assert post(daemon, f"{path}/listen", {}, "other-path").status == 200
    assert post(daemon, f"{path}/accept", {}, "other-path").status == 422


def test_a_repeat_makes_no_second_socket(daemon: DaemonProcess) -> None:
    first = post(daemon, "/v1/sockets", LISTENER, "repeat")
    again = post(daemon, "/v1/sockets", LISTENER, "repeat")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    close(daemon, first.json()["fd"])


def test_a_refusal_by_the_kernel_is_repeated_too(daemon: DaemonProcess, listener: dict[str, Any]) -> None:
    taken = {"bind": listener["local"]["text"]}
    assert post(daemon, "/v1/sockets", taken, "refused").status == 409
    again = post(daemon, "/v1/sockets", taken, "refused")
    assert (again.status, again.json()["errno"]) == (409, "EADDRINUSE")


def test_received_bytes_are_given_again(daemon: DaemonProcess) -> None:
    left, right = daemon.request("POST", "/v1/socketpairs").json()["sockets"]
    daemon.request("POST", f"/v1/sockets/{left['fd']}/send", {"text": "once"})
    path = f"/v1/sockets/{right['fd']}/recv"
    first, again = (post(daemon, path, {"timeout": 5}, "bytes") for _ in range(2))
    assert (first.body, again.body) == (b"once", b"once")
    assert daemon.request("POST", path, {"timeout": 0}).status == 409
    close(daemon, left["fd"], right["fd"])


def test_a_key_on_a_get_changes_nothing(daemon: DaemonProcess, listener: dict[str, Any]) -> None:
    path = f"/v1/sockets/{listener['fd']}"
    for _ in range(2):
        answer = daemon.request("GET", path, headers={"Idempotency-Key": "get"})
        assert "Idempotency-Replayed" not in answer.headers


def test_an_error_that_reading_uses_up_is_told_again(daemon: DaemonProcess) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        host, port = nobody.getsockname()
    fd = daemon.request("POST", "/v1/sockets").json()["fd"]
    asked = {"address": {"host": host, "port": port}, "timeout": 0}
    assert daemon.request("POST", f"/v1/sockets/{fd}/connect", asked).json()["errno"] == "EINPROGRESS"
    ready = {"sockets": [{"socket": fd, "events": ["POLLOUT"]}], "timeout": WAIT_S}
    assert daemon.request("POST", "/v1/poll", ready).json()["ready"]
    path = f"/v1/sockets/{fd}/options/SO_ERROR"
    key = {"headers": {"Idempotency-Key": "what-was-it"}}
    told = [daemon.request("GET", path, **key).json()["value"] for _ in range(2)]
    assert told == [errno.ECONNREFUSED] * 2
    assert daemon.request("GET", path).json()["value"] == 0
    close(daemon, fd)


def begin_accept(daemon: DaemonProcess, fd: int, key: str) -> UnixConnection:
    connection = UnixConnection(daemon.socket_path, WAIT_S)
    body = json.dumps({"timeout": WAIT_S})
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    connection.request("POST", f"/v1/sockets/{fd}/accept", body, headers)
    return connection


def answer_of(connection: UnixConnection) -> tuple[int, Any]:
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_a_repeat_waits_for_the_request_under_way(daemon: DaemonProcess, listener: dict[str, Any]) -> None:
    first = begin_accept(daemon, listener["fd"], "together")
    second = begin_accept(daemon, listener["fd"], "together")
    with socket.create_connection((listener["local"]["host"], listener["local"]["port"]), WAIT_S):
        answers = [answer_of(first), answer_of(second)]
    first.close()
    second.close()
    assert answers[0] == answers[1]
    assert answers[0][0] == 201
    close(daemon, *(one["fd"] for one in answers[0][1]["sockets"]))


def test_a_repeat_is_done_when_the_first_client_has_gone(
    daemon: DaemonProcess, listener: dict[str, Any]
) -> None:
    first = begin_accept(daemon, listener["fd"], "takes-over")
    second = begin_accept(daemon, listener["fd"], "takes-over")
    first.close()
    found: list[tuple[int, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(answer_of(second)))
    waiting.start()
    with socket.create_connection((listener["local"]["host"], listener["local"]["port"]), WAIT_S):
        waiting.join(WAIT_S)
    second.close()
    assert found[0][0] == 201
    close(daemon, *(one["fd"] for one in found[0][1]["sockets"]))


def test_a_repeated_put_does_not_undo_what_came_in_between(
    daemon: DaemonProcess, listener: dict[str, Any]
) -> None:
    path = f"/v1/sockets/{listener['fd']}/options/SO_KEEPALIVE"
    first = {"headers": {"Idempotency-Key": "set"}}
    assert daemon.request("PUT", path, {"value": True}, **first).status == 200
    assert daemon.request("PUT", path, {"value": False}).status == 200
    assert daemon.request("PUT", path, {"value": True}, **first).headers["Idempotency-Replayed"] == "true"
    assert daemon.request("GET", path).json()["value"] is False


def test_a_repeated_delete_gets_its_first_answer(daemon: DaemonProcess) -> None:
    made = daemon.request("POST", "/v1/sockets", {"name": "gone-once"}).json()
    path = f"/v1/sockets/{made['fd']}"
    answers = [daemon.request("DELETE", path, headers={"Idempotency-Key": "close"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [204, 204]
    assert daemon.request("DELETE", path).status == 404


def test_a_socket_that_is_called_stream_is_a_socket_like_any_other(daemon: DaemonProcess) -> None:
    assert daemon.request("PUT", "/v1/names/stream", {}).status == 201
    key = {"headers": {"Idempotency-Key": "called-stream"}}
    answers = [daemon.request("DELETE", "/v1/names/stream", **key) for _ in range(2)]
    assert [answer.status for answer in answers] == [204, 204]


def test_a_key_is_of_one_method(daemon: DaemonProcess) -> None:
    key = {"headers": {"Idempotency-Key": "one-method"}}
    assert daemon.request("PUT", "/v1/names/one-method", {}, **key).status == 201
    assert daemon.request("DELETE", "/v1/names/one-method", **key).status == 422
    assert daemon.request("DELETE", "/v1/names/one-method").status == 204


def send_cut(daemon: DaemonProcess, head: str, body: bytes) -> tuple[int, Any]:
    """Send a request whose end is missing, and the end of the stream; read the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(daemon.socket_path)
        connection.sendall(f"{head}\r\nHost: localhost\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head_bytes, _, text = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), json.loads(text)


def test_a_request_under_way_is_not_forgotten_however_many_come(
    daemon: DaemonProcess, listener: dict[str, Any]
) -> None:
    first = begin_accept(daemon, listener["fd"], "outlasts")
    for nth in range(MOST_ANSWERS + 100):
        assert post(daemon, "/v1/poll", {"sockets": [], "timeout": 0}, f"many-{nth}").status == 200
    second = begin_accept(daemon, listener["fd"], "outlasts")
    with socket.create_connection((listener["local"]["host"], listener["local"]["port"]), WAIT_S):
        answers = [answer_of(first), answer_of(second)]
    first.close()
    second.close()
    assert answers[0] == answers[1]
    assert post(daemon, "/v1/poll", {"sockets": [], "timeout": 0}, "many-0").status == 409
    close(daemon, *(one["fd"] for one in answers[0][1]["sockets"]))


@pytest.mark.parametrize(
    "body",
    [
        b'Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"type":',
        b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{}",
        b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n",
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{}",
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("key", ["", "Idempotency-Key: cut\r\n"])
def test_a_body_that_ends_early_is_not_acted_on(daemon: DaemonProcess, key: str, body: bytes) -> None:
    before = daemon.request("GET", "/v1/sockets").json()
    status, told = send_cut(daemon, "POST /v1/sockets HTTP/1.1", key.encode() + body)
    # Of chunks it is not told whether they are cut or were never right.
    assert (status, told["code"]) == (400, "malformed_body" if b"chunked" in body else "cut_body")
    assert daemon.request("GET", "/v1/sockets").json() == before


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_json_body_that_is_cut_says_that_nothing_was_done(daemon: DaemonProcess, method: str) -> None:
    path = {"PUT": "/v1/names/cut", "POST": "/v1/sockets"}[method]
    body = b"Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"
    assert send_cut(daemon, f"{method} {path} HTTP/1.1", body)[1]["code"] == "cut_body"


def test_a_request_that_came_cut_can_be_made_under_its_key(daemon: DaemonProcess) -> None:
    text = json.dumps(LISTENER).encode()
    head = f"Idempotency-Key: again\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    assert send_cut(daemon, "POST /v1/sockets HTTP/1.1", head.encode() + text[:-1])[0] == 400
    made = post(daemon, "/v1/sockets", LISTENER, "again")
    assert made.status == 201
    close(daemon, made.json()["fd"])
