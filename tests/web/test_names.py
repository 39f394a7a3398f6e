"""``PUT /v1/names/{name}``: made once, found again, refused when it is something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web

WEB = {"bind": "127.0.0.1:0", "listen": {"backlog": 5}, "options": {"SO_REUSEADDR": True}}


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
