"""Names: declared once, found again, refused when it is something else; saved if they shall persist."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.runtime.specifications import Specifications
from tests.web.in_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web.in_process import Web

WEB = {"bind": "127.0.0.1:0", "listen": {"backlog": 5}, "options": {"SO_REUSEADDR": True}}
BOOT = WEB | {"persist": "boot"}


@pytest.mark.parametrize("name", ["1", "9web", "-", "a b", "%0A", "ü", "w" * 256, "64"])
def test_what_is_no_name_is_refused(web: Web, name):
    assert web.refused("PUT", f"/v1/names/{name}", {}) == (422, "EINVAL")


@pytest.mark.parametrize("member", ["name", "count", "nmae"])
def test_members_of_creation_only_are_named(web: Web, member):
    assert web.wrong_members("PUT", "/v1/names/web", {member: 1}) == {member}


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"family": "inet6", "bind": "[::1]:0"}, ("family", "bind")),
        ({"type": "dgram", "listen": None}, ("type", "listen")),
        ({"protocol": "mptcp"}, ("protocol",)),
        ({"bind": "127.0.0.2:0"}, ("bind",)),
        ({"bind": "127.0.0.1:1"}, ("bind",)),
        ({"listen": None}, ("listen",)),
        ({"options": {"SO_REUSEADDR": False}}, ("options.SO_REUSEADDR",)),
    ],
    ids=str,
)
def test_what_differs_is_named_and_left_alone(web: Web, change, differing):
    made = web.done("PUT", "/v1/names/web", WEB)
    answer = web.ask("PUT", "/v1/names/web", WEB | change)
    assert (answer.status_code, answer.json["code"]) == (409, "differs")
    assert set(answer.json["members"]) == set(differing)
    assert web.done("GET", "/v1/sockets/web") == made


def test_it_is_made_once_and_then_found(web: Web):
    first, second = web.ask("PUT", "/v1/names/web", WEB), web.ask("PUT", "/v1/names/web", WEB)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json == second.json
    assert first.headers["ETag"] == second.headers["ETag"]
    assert "Location" in first.headers
    assert "Location" not in second.headers


def test_name_is_free_again_after_close(web: Web):
    first = web.done("PUT", "/v1/names/web")
    web.ask("DELETE", "/v1/sockets/web")
    assert web.done("PUT", "/v1/names/web")["cookie"] != first["cookie"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def lasting(place: Path) -> Iterator[Web]:
    """An application that has a place to save what persists."""
    store = Specifications(str(place))
    with serving(store=store) as web:
        yield web
    store.close()


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"persist": "boot"}, "name"),
        ({"persist": "boot", "name": None}, "name"),
        ({"persist": "boot", "name": "web", "count": 2}, "count"),
        ({"persist": "boot", "name": "web", "connect": "127.0.0.1:1"}, "connect"),
        *(({"persist": value, "name": "web"}, "persist") for value in (True, None, 0, 1, "Boot", "", [], {})),
    ],
    ids=str,
)
def test_what_cannot_persist_is_refused_by_member(lasting: Web, body, member):
    assert lasting.wrong_members("POST", "/v1/sockets", body) == {member}
    assert lasting.done("GET", "/v1/names") == {"names": []}


def test_a_given_socket_cannot_persist(web: Web):
    assert web.wrong_members("POST", "/v1/sockets/give", {"pid": 1, "fd": 3, "persist": "boot"}) == {
        "persist"
    }


def test_persist_is_shown_and_saved_in_the_words_of_the_request(lasting: Web, place: Path):
    words = {
        "family": "AF_INET",
        "bind": {"host": "127.0.0.1", "port": 0},
        "listen": True,
        "options": {"SO_MARK": 0},
    }
    made = lasting.create(name="web", persist="boot", timeout=3, **words)
    assert made["persist"] == "boot"
    saved = json.loads((place / "sockets" / "web").read_text())
    assert (saved["specification"], saved["owner"]["uid"]) == (words, made["owner"]["uid"])


@pytest.mark.parametrize("name", ["w", "w" * 255, "a.._@-Z9"])
def test_every_name_that_a_socket_may_have_can_persist(lasting: Web, place: Path, name):
    assert lasting.done("PUT", f"/v1/names/{name}", BOOT)["persist"] == "boot"
    assert [path.name for path in (place / "sockets").iterdir()] == [name]
    assert lasting.ask("DELETE", f"/v1/names/{name}").status_code == 204
    assert list((place / "sockets").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "..%2f..%2fetc", "a%2f..%2fb", "%00", "a%00"])
def test_no_name_leads_out_of_the_folder(lasting: Web, place: Path, name):
    for path, method, body in (("names/", "PUT", BOOT), ("names/", "DELETE", None), ("names/", "GET", None)):
        assert lasting.ask(method, f"/v1/{path}{name}", body).status_code in (404, 405, 422)
    assert not place.exists()


def test_names_are_listed_with_what_they_stand_for(lasting: Web):
    web = lasting.done("PUT", "/v1/names/web", BOOT)
    plain = lasting.create(name="plain")
    lasting.create()
    expected = [
        {
            "name": made["name"],
            "owner": made["owner"],
            "persist": made["persist"],
            "socket": made["fd"],
            "failure": None,
            "retry_at": None,
        }
        for made in (plain, web)
    ]
    assert lasting.done("GET", "/v1/names") == {"names": expected}
    assert [lasting.done("GET", f"/v1/names/{each['name']}") for each in expected] == expected


def test_one_that_cannot_be_made_is_listed_with_its_problem(place: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        store = Specifications(str(place))
        store.save(Saved("web", Owner(0), {"bind": bind, "listen": True}))
        with serving(store=store) as web:
            web.service.boot.remake()
            told = web.done("GET", "/v1/names/web")
            assert (told["socket"], told["persist"], told["owner"]["uid"]) == (None, "boot", 0)
            assert (told["failure"]["errno"], told["failure"]["status"]) == ("EADDRINUSE", 409)
            assert "inode" in told["failure"]["hint"]  # who has it
            assert datetime.fromisoformat(told["retry_at"]) > datetime.now(UTC)
            assert web.refused("GET", "/v1/sockets/web") == (404, "EBADF")
            assert web.refused("POST", "/v1/sockets", {"name": "web", "persist": "boot"}) == (409, "EEXIST")
            assert web.ask("DELETE", "/v1/names/web").status_code == 204
            assert web.refused("DELETE", "/v1/names/web") == (404, "EBADF")
        store.close()


@pytest.mark.parametrize("path", ["names/web", "sockets/web"])
def test_closing_ends_it_either_way(lasting: Web, place: Path, path):
    lasting.done("PUT", "/v1/names/web", BOOT)
    assert lasting.ask("DELETE", f"/v1/{path}").status_code == 204
    assert list((place / "sockets").iterdir()) == []
    assert lasting.refused("GET", "/v1/names/web") == (404, "EBADF")


def test_if_match_guards_a_name(lasting: Web):
    etag = lasting.ask("PUT", "/v1/names/web", BOOT).headers["ETag"]
    assert lasting.ask("DELETE", "/v1/names/web", headers={"If-Match": '"1"'}).status_code == 412
    assert lasting.ask("DELETE", "/v1/names/web", headers={"If-Match": etag}).status_code == 204


def test_persist_is_changed_by_declaring_it(lasting: Web, place: Path):
    first = lasting.done("PUT", "/v1/names/web", WEB)
    assert first["persist"] is False
    for body, persist in ((BOOT, "boot"), (WEB, "boot"), (WEB | {"persist": False}, False)):
        now = lasting.done("PUT", "/v1/names/web", body)
        assert (now["persist"], now["cookie"]) == (persist, first["cookie"])
        assert (place / "sockets" / "web").exists() == (persist == "boot")


def test_a_specification_too_long_to_save_leaves_nothing(place: Path):
    body = BOOT | {"options": {"6:1": {"base64": "AAAA" * 17_000}}}
    with serving(store=Specifications(str(place)), max_body_bytes=100_000) as web:
        answer = web.ask("PUT", "/v1/names/web", body)
        assert (answer.status_code, answer.json["errno"]) == (422, "EMSGSIZE")
        assert set(answer.json["members"]) == {"persist"}
        assert web.done("GET", "/v1/names") == {"names": []}
    assert not place.exists()


def test_without_a_place_to_save_it_is_503_with_the_reason(place: Path):
    place.write_text("a file")
    with serving(store=Specifications(str(place))) as web:
        answer = web.ask("POST", "/v1/sockets", BOOT | {"name": "web"})
        assert (answer.status_code, answer.json["code"], answer.json["errno"]) == (
            503,
            "not_saved",
            "ENOTDIR",
        )
        assert str(place) in answer.json["hint"]
        assert web.done("GET", "/v1/sockets")["sockets"] == []
        web.create(name="web", **WEB)
