"""poll(2) over held sockets: what holds, at once or within the time, and what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web


def ready(web: Web, *asked: Any, timeout: float = 0) -> list[dict[str, Any]]:
    body = {
        "sockets": [{"socket": one} if not isinstance(one, dict) else one for one in asked],
        "timeout": timeout,
    }
    found: list[dict[str, Any]] = web.done("POST", "/v1/poll", body)["ready"]
    return found


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ({}, {"sockets"}),
        ({"sockets": 1}, {"sockets"}),
        ({"sockets": [{}]}, {"sockets.0.socket"}),
        ({"sockets": [{"socket": 1, "evnts": []}]}, {"sockets.0.evnts"}),
        ({"sockets": [{"socket": 1, "events": ["POLLOOPS"]}]}, {"sockets.0.events"}),
        ({"sockets": [{"socket": 1, "events": [1]}]}, {"sockets.0.events"}),
        ({"sockets": [{"socket": True}]}, {"sockets.socket"}),
        ({"sockets": [{"socket": [1]}]}, {"sockets.socket"}),
        ({"sockets": [], "timeout": "x"}, {"timeout"}),
    ],
    ids=str,
)
def test_wrong_member_is_named(web: Web, body, members):
    assert web.wrong_members("POST", "/v1/poll", body) == members


def test_nothing_ready_is_an_empty_list(web: Web):
    near, far = web.pair()
    assert ready(web) == []
    assert ready(web, near, far) == []
    assert ready(web, near, far, timeout=0.01) == []


def test_unknown_socket_is_pollnval_at_once(web: Web):
    near, _ = web.pair()
    assert ready(web, near, "nobody", 9999, timeout=30) == [
        {"socket": "nobody", "fd": None, "events": ["POLLNVAL"]},
        {"socket": 9999, "fd": None, "events": ["POLLNVAL"]},
    ]


def test_ready_sockets_are_told_as_they_were_asked_for(web: Web):
    web.done("POST", "/v1/socketpairs", {"names": ["a", "b"]})
    fd = web.done("GET", "/v1/sockets/b")["fd"]
    web.done("POST", "/v1/sockets/a/send", b"x")
    asked = {"socket": "b", "events": ["POLLIN", "POLLOUT", "POLLPRI"]}
    assert ready(web, asked, "a", str(fd), fd) == [
        {"socket": "b", "fd": fd, "events": ["POLLIN", "POLLOUT"]},
        {"socket": str(fd), "fd": fd, "events": ["POLLIN"]},
        {"socket": fd, "fd": fd, "events": ["POLLIN"]},
    ]


def test_hangup_comes_unasked_and_rdhup_when_asked(web: Web):
    near, far = web.pair()
    web.done("POST", f"/v1/sockets/{near}/shutdown", {"how": "write"})
    assert ready(web, {"socket": far, "events": ["POLLRDHUP"]})[0]["events"] == ["POLLRDHUP"]
    web.ask("DELETE", f"/v1/sockets/{near}")
    assert ready(web, {"socket": far, "events": []})[0]["events"] == ["POLLHUP"]
