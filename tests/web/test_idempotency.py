"""Idempotency-Key: a repeat is answered and not done again."""

from __future__ import annotations

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
