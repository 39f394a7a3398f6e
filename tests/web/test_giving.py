"""Give over the application's own connection: refusals, then what passes, and nothing left over."""

from __future__ import annotations

import array
import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.in_process import serving
from tests.web.passing_parts import UPGRADE, cookie, listener, needs_root, received, serving_as, web

if TYPE_CHECKING:
    from tests.web.in_process import Web

__all__ = ["web"]  # fixtures


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
