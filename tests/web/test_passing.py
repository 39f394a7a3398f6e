"""Take and give over the application's own connection: refusals, then what passes, and nothing left over."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from socketd.core.owner import Owner
from tests.web.in_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.in_process import Web

RECEIVES = {"Accept-Descriptors": "yes"}
UPGRADE = {"Connection": "Upgrade", "Upgrade": "socketd-give"}
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
FLAGS = 0x40000000  # MSG_CMSG_CLOEXEC
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def web() -> Iterator[Web]:
    """One for each test: connections are ended by some of them."""
    with serving() as made:
        yield made


def received(web: Web) -> list[socket.socket]:
    """Read the interim answers that wait at the client's end."""
    found: list[socket.socket] = []
    while True:
        try:
            data, control, flags, _ = web.far_end.recvmsg(65536, 4096, socket.MSG_DONTWAIT | FLAGS)
        except BlockingIOError:
            return found
        assert data == INTERIM
        assert not flags & socket.MSG_CTRUNC
        for _, _, content in control:
            found += [socket.socket(fileno=fd) for fd in array.array("i", content)]


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def cookie(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 57, 8), "little")


def listener(web: Web, **more: Any) -> dict[str, Any]:
    return web.create(bind="127.0.0.1:0", listen=True, **more)


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


class serving_as:  # noqa: N801 - reads as a word
    """Have the far end be another user's: a connection is whose it was when it was made."""

    def __init__(self, web: Web, uid: int) -> None:
        self._web, self._uid = web, uid

    def __enter__(self) -> None:
        web = self._web
        web.connection.close()
        web.far_end.close()
        os.seteuid(self._uid)
        try:
            web.connection, web.far_end = socket.socketpair()
        finally:
            os.seteuid(0)
        web.waiter = type(web.waiter)(web.connection.fileno())

    def __exit__(self, *_: object) -> None:
        pass


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


def test_give_from_a_process_that_is_not_there_is_404(web: Web):
    assert web.refused("POST", "/v1/sockets/give", {"pid": 2**22 + 1, "fd": 3}) == (404, "ESRCH")


@pytest.mark.parametrize(
    ("body", "members"),
    [({}, {"pid", "fd"}), ({"pid": 0, "fd": -1}, {"pid", "fd"}), ({"pid": 1, "fd": 1, "nam": "x"}, {"nam"})],
)
def test_wrong_member_of_a_give_is_named(web: Web, body, members):
    assert web.wrong_members("POST", "/v1/sockets/give", body) == members


@needs_root
def test_give_from_another_process_is_roots(web: Web):
    with serving_as(web, 54321):
        assert web.refused("POST", "/v1/sockets/give", {"pid": 1, "fd": 0}) == (403, "EACCES")


def test_upgrade_with_a_body_is_refused_before_the_switch(web: Web):
    assert web.refused("POST", "/v1/sockets/give", {"pid": 1, "fd": 1}, UPGRADE) == (422, "EINVAL")


class Giver:
    """The client's side of a give, byte by byte, while the application serves in a thread."""

    def __init__(self, web: Web, query: str = "") -> None:
        self.sock = web.far_end
        self.sock.settimeout(20)
        self._pool = ThreadPoolExecutor(1)
        self.asked = self._pool.submit(web.ask, "POST", f"/v1/sockets/give{query}", None, UPGRADE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")

    def manifest(self, *offers: dict[str, Any], raw: bytes | None = None) -> None:
        data = json.dumps({"sockets": offers}).encode() if raw is None else raw
        self.sock.sendall(struct.pack(">I", len(data)) + data)

    def batch(self, *descriptors: int, announced: int | None = None) -> None:
        count = len(descriptors) if announced is None else announced
        rights = array.array("i", descriptors)
        self.sock.sendmsg([bytes((count,))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def byte(self) -> int:
        return self.sock.recv(1)[0]

    def answer(self) -> tuple[int, Any]:
        (length,) = struct.unpack(">I", self._read(4))
        said = json.loads(self._read(length))
        self.asked.result(20)
        self._pool.shutdown()
        return said["status"], said["body"]

    def refusal(self) -> tuple[int, str]:
        assert self.byte() == 0
        status, body = self.answer()
        assert status == body["status"]
        return status, body["errno"]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.sock.recv(size - len(data))
        return data


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"{}", b'{"sockets":[]}', b'{"sockets":[{"nam":"x"}]}', b'{"sockets":[{"name":"1"}]}'],
)
def test_manifest_that_is_none_is_refused(web: Web, raw):
    giver = Giver(web)
    giver.manifest(raw=raw)
    assert giver.refusal() in ((400, "EINVAL"), (422, "EINVAL"))


def test_manifest_that_is_too_long_is_refused_before_it_is_read(web: Web):
    giver = Giver(web)
    giver.sock.sendall(struct.pack(">I", 2**31))
    assert giver.refusal() == (422, "EMSGSIZE")


def test_too_many_sockets_are_refused(web: Web):
    with serving(limits=web.limits.__class__(max_count=2, descriptors=4096)) as small:
        giver = Giver(small)
        giver.manifest({}, {}, {})
        assert giver.refusal() == (422, "EINVAL")


@pytest.mark.parametrize("offers", [[{"name": "web"}], [{"name": "a"}, {"name": "a"}]])
def test_taken_name_is_refused_before_a_descriptor_came(web: Web, offers):
    web.create(name="web")
    giver = Giver(web)
    giver.manifest(*offers)
    assert giver.refusal() == (409, "EEXIST")


@pytest.mark.parametrize("announced", [0, 1, 3, 255])
def test_other_count_than_announced_is_refused_and_all_are_closed(web: Web, announced):
    giver = Giver(web)
    giver.manifest({}, {})
    with socket.socket() as one, socket.socket() as two:
        giver.batch(one.fileno(), two.fileno(), announced=announced)
        assert giver.refusal() == (422, "EINVAL")
    assert web.done("GET", "/v1/")["sockets"] == 0


def test_more_than_in_the_manifest_are_refused(web: Web):
    giver = Giver(web)
    giver.manifest({})
    with socket.socket() as one, socket.socket() as two:
        giver.batch(one.fileno(), two.fileno())
        assert giver.refusal() == (422, "EINVAL")
    assert web.done("GET", "/v1/")["sockets"] == 0


def test_descriptors_with_the_manifest_are_refused(web: Web):
    giver = Giver(web)
    data = b'{"sockets":[{}]}'
    rights = array.array("i", [0])
    giver.sock.sendmsg(
        [struct.pack(">I", len(data)) + data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    )
    assert giver.refusal() == (422, "EINVAL")


def test_what_is_no_socket_undoes_the_whole_give(web: Web):
    giver = Giver(web)
    giver.manifest({}, {"name": "x"}, {})
    with socket.socket() as one:
        giver.batch(one.fileno())
        assert giver.byte() == 1
        giver.batch(0, one.fileno())
        assert giver.byte() == 0
        status, body = giver.answer()
    assert (status, body["errno"], body["index"]) == (409, "ENOTSOCK", 1)
    assert web.done("GET", "/v1/")["sockets"] == 0


def test_giver_that_leaves_half_way_undoes_the_whole_give(web: Web):
    giver = Giver(web)
    giver.manifest({}, {})
    with socket.socket() as one:
        giver.batch(one.fileno())
        assert giver.byte() == 1
    giver.sock.close()
    giver.asked.result(20)
    assert len(web.service.table) == 0


def test_given_sockets_are_held_in_order_with_their_names(web: Web):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        giver = Giver(web)
        giver.manifest({"name": "web"}, {})
        giver.batch(one.fileno(), two.fileno())
        assert giver.byte() == 2
        status, body = giver.answer()
        assert status == 201
        assert [held["cookie"] for held in body["sockets"]] == [cookie(one), cookie(two)]
        assert [held["name"] for held in body["sockets"]] == ["web", None]
        assert body["sockets"][0]["state"] == "listening"
    assert {entry.fd for entry in web.service.table.entries()} == {held["fd"] for held in body["sockets"]}


def test_duplicate_is_eexist_or_the_held_one(web: Web):
    made = listener(web, name="web")
    web.done("POST", "/v1/sockets/web/take", {"blocking": True})
    (mine,) = received(web)
    with mine:
        entry = web.service.table.find("web")
        giver = Giver(web)
        giver.manifest({})
        giver.batch(mine.fileno())
        assert giver.refusal() == (409, "EEXIST")
        giver = Giver(web, "?existing=ok")
        giver.manifest({"name": "web"})
        giver.batch(mine.fileno())
        assert giver.byte() == 1
        status, body = giver.answer()
    assert (status, body["sockets"][0]["fd"]) == (201, made["fd"])
    assert not entry.is_blocking  # given back


@needs_root
def test_duplicate_of_somebody_elses_socket_says_no_number(web: Web):
    made = listener(web)
    web.done("POST", f"/v1/sockets/{made['fd']}/take")
    (mine,) = received(web)
    with mine, serving_as(web, 54321):
        giver = Giver(web, "?existing=ok")
        giver.manifest({})
        giver.batch(mine.fileno())
        assert giver.byte() == 0
        _, body = giver.answer()
        assert (body["code"], body["socket"]) == ("already_held", None)
        assert str(made["fd"]) not in body["detail"]
