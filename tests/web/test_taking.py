"""Take over the application's own connection: refusals, then what passes, and nothing left over."""

from __future__ import annotations

import array
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from tests.web.in_process import serving
from tests.web.passing_parts import (
    FLAGS,
    INTERIM,
    UPGRADE,
    cookie,
    listener,
    needs_root,
    received,
    serving_as,
    web,
)

if TYPE_CHECKING:
    from tests.web.in_process import Web

__all__ = ["web"]  # fixtures

RECEIVES = {"Accept-Descriptors": "yes"}


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize(
    ("body", "member"),
    [({"relese": True}, "relese"), ({"release": "perhaps"}, "release"), ({"blocking": 7}, "blocking")],
)
def test_wrong_member_of_a_take_is_named(web: Web, body, member):
    listener(web, name="web")
    assert web.wrong_members("POST", "/v1/sockets/web/take", body) == {member}


@pytest.mark.parametrize("body", [{}, {"sockets": []}, {"sockets": "web"}, {"sockets": [True]}])
def test_take_of_nothing_in_particular_is_422(web: Web, body):
    assert web.refused("POST", "/v1/sockets/take", body)[0] == 422


def test_release_to_a_client_that_does_not_receive_is_409_and_keeps_the_socket(web: Web):
    listener(web, name="web")
    assert web.refused("POST", "/v1/sockets/web/take", {"release": True}) == (409, "EINVAL")
    assert web.done("GET", "/v1/sockets/web")["taken"] == 0
    assert received(web) == []


def test_take_with_a_stale_tag_is_412_and_sends_nothing(web: Web):
    listener(web, name="web")
    assert web.refused("POST", "/v1/sockets/web/take", None, {"If-Match": '"1"'}) == (412, "ESTALE")
    assert received(web) == []


def test_take_of_several_with_one_missing_sends_nothing(web: Web):
    listener(web, name="web")
    assert web.refused("POST", "/v1/sockets/take", {"sockets": ["web", "none"]}) == (404, "EBADF")
    assert web.refused("POST", "/v1/sockets/take", {"sockets": ["web", "web"]}) == (422, "EINVAL")
    assert received(web) == []


@needs_root
def test_somebody_elses_socket_is_missing(web: Web):
    made = listener(web)
    web.service.table.find(made["fd"]).owner = Owner(12345)
    with serving_as(web, 54321):
        assert web.refused("POST", f"/v1/sockets/{made['fd']}/take") == (404, "EBADF")
        body = {"sockets": [made["fd"]]}
        assert web.refused("POST", "/v1/sockets/take", body, RECEIVES) == (404, "EBADF")
    assert received(web) == []


@pytest.mark.parametrize("path", ["/v1/sockets/web/take", "/v1/sockets/give"])
def test_over_tcp_it_is_409_with_a_hint(path):
    with serving(token="secret") as web:
        listener(web, name="web")
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            web.connection.close()
            web.connection = near
            headers = {"Authorization": "Bearer secret", **UPGRADE}
            answer = web.ask("POST", path, None, headers)
        assert (answer.status_code, answer.json["code"]) == (409, "needs_unix_socket")
        assert "Unix socket" in answer.json["hint"]


def test_taken_socket_is_the_same_one(web: Web):
    made = listener(web, name="web")
    answer = web.ask("POST", "/v1/sockets/web/take", None, RECEIVES)
    assert answer.headers["Socket-Descriptors"] == "1"
    assert answer.headers["ETag"] == f'"{made["cookie"]}"'
    assert (answer.json["taken"], answer.json["taken_by"]["uid"]) == (1, os.getuid())
    assert answer.json["taken_by"]["pid"] == os.getpid()
    (sock,) = received(web)
    with sock:
        assert cookie(sock) == made["cookie"]
        assert not os.get_inheritable(sock.fileno())
        assert not os.get_blocking(sock.fileno())


def test_many_come_in_the_order_asked_for(web: Web):
    made = web.done("POST", "/v1/sockets", {"count": 30, "name": "m"})["sockets"]
    wanted = [one["fd"] if index % 2 else one["name"] for index, one in enumerate(reversed(made))]
    answer = web.ask("POST", "/v1/sockets/take", {"sockets": wanted})
    found = received(web)
    try:
        assert answer.headers["Socket-Descriptors"] == "30"
        cookies = [one["cookie"] for one in reversed(made)]
        assert [one["cookie"] for one in answer.json["sockets"]] == cookies
        assert [cookie(sock) for sock in found] == cookies
    finally:
        close(found)


def test_socket_taken_in_blocking_mode_cannot_accept_here_until_it_is_taken_again(web: Web):
    made = listener(web, name="web")
    web.done("POST", "/v1/sockets/web/take", {"blocking": True})
    (blocking,) = received(web)
    with blocking:
        assert os.get_blocking(blocking.fileno())
        assert web.refused("POST", "/v1/sockets/web/accept", {"timeout": 0}) == (409, "EBUSY")
        assert web.refused("POST", "/v1/sockets/web/connect", {"address": "127.0.0.1:1"}) == (409, "EBUSY")
    web.done("POST", "/v1/sockets/web/take")
    close(received(web))
    with socket.create_connection(("127.0.0.1", made["local"]["port"])):
        assert web.done("POST", "/v1/sockets/web/accept", {"timeout": 10})["sockets"]


def test_released_socket_is_forgotten_and_alive(web: Web):
    made = listener(web, name="web")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(web.ask, "POST", "/v1/sockets/web/take", {"release": True}, RECEIVES)
        web.far_end.settimeout(10)
        data, control, _, _ = web.far_end.recvmsg(65536, 4096, FLAGS)
        assert data == INTERIM
        assert asked.result(10).json["cookie"] == made["cookie"]
    (fd,) = array.array("i", control[0][2])
    with socket.socket(fileno=fd) as sock:
        assert web.refused("GET", "/v1/sockets/web") == (404, "EBADF")
        with socket.create_connection(sock.getsockname()):
            pass


def test_repeated_take_gets_its_descriptor_and_is_not_a_replay(web: Web):
    listener(web, name="web")
    for count in (1, 2):
        answer = web.ask("POST", "/v1/sockets/web/take", None, {"Idempotency-Key": "k", **RECEIVES})
        assert "Idempotency-Replayed" not in answer.headers
        assert answer.json["taken"] == count
        found = received(web)
        close(found)
        assert len(found) == 1
