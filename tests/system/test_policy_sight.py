"""Another's socket answers as a missing one, whatever is asked and however it is named."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.system.policed import ANN, CI, EVE, ROOT, ask, create, place

if TYPE_CHECKING:
    from typing import Any

    from tests.system.policed import Place, Told

__all__ = ["place"]  # a fixture

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
VERBS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/sockets/{}", None),
    ("HEAD", "/v1/sockets/{}", None),
    ("DELETE", "/v1/sockets/{}", None),
    ("GET", "/v1/sockets/{}/info", None),
    ("GET", "/v1/sockets/{}/options", None),
    ("GET", "/v1/sockets/{}/options/SO_KEEPALIVE", None),
    ("PUT", "/v1/sockets/{}/options/SO_KEEPALIVE", {"value": True}),
    ("PUT", "/v1/sockets/{}/options/TCP_NODELAY", {"value": True}),
    ("POST", "/v1/sockets/{}/bind", {"address": "127.0.0.1:80"}),
    ("POST", "/v1/sockets/{}/bind", {"address": "127.0.0.1:0"}),
    ("POST", "/v1/sockets/{}/listen", {}),
    ("POST", "/v1/sockets/{}/accept", {"timeout": 0}),
    ("POST", "/v1/sockets/{}/connect", {"address": "127.0.0.1:22"}),
    ("POST", "/v1/sockets/{}/shutdown", {"how": "both"}),
    ("POST", "/v1/sockets/{}/send", {"text": "x"}),
    ("POST", "/v1/sockets/{}/send", {"text": "x", "to": "127.0.0.1:22"}),
    ("POST", "/v1/sockets/{}/recv", {"timeout": 0}),
    ("POST", "/v1/sockets/{}/take", {}),
    ("POST", "/v1/sockets/{}/take", {"release": True}),
    ("POST", "/v1/sockets/take", {"sockets": ["{}"]}),
    ("POST", "/v1/poll", {"sockets": [{"socket": "{}", "events": ["in"]}], "timeout": 0}),
    ("GET", "/v1/process/fds/{}", None),
    ("GET", "/v1/names/{}", None),
    ("DELETE", "/v1/names/{}", None),
]
CHANGES = ("X-Request-Id", "Date")


def comparable(told: Told, reference: str) -> tuple[int, Any, str]:
    headers = {name: value for name, value in told.headers.items() if name not in CHANGES}
    body = {**told.body, "instance": None} if isinstance(told.body, dict) else told.body
    return told.status, headers, str(body).replace(reference, "REF")


@pytest.mark.parametrize("who", [ANN, EVE, CI], ids=["ann", "eve", "ci"])
@pytest.mark.parametrize("request_made", VERBS)
@pytest.mark.parametrize("by", ["number", "name"])
def test_anothers_socket_answers_as_a_missing_one(place, theirs, who, request_made, by):
    method, path, body = request_made
    held = theirs if by == "number" else "theirs.socket"
    missing = str(int(theirs) + 3000) if by == "number" else "nobody.socket"
    if by == "number" and len(missing) != len(held):
        missing = missing[: len(held)]
    answers = []
    for reference in (held, missing):
        sent = None if body is None else json.loads(json.dumps(body).replace('"{}"', f'"{reference}"'))
        answers.append(comparable(ask(place, who, method, path.replace("{}", reference), sent), reference))
    assert answers[0][0] == answers[1][0]
    assert {**answers[0][1], "Content-Length": ""} == {**answers[1][1], "Content-Length": ""}
    assert answers[0][2] == answers[1][2]
    assert ask(place, ROOT, "GET", f"/v1/sockets/{theirs}").status == 200


@pytest.fixture(scope="module")
def theirs(place: Place) -> str:
    """A socket of root's."""
    return create(place, ROOT, name="theirs.socket", bind="127.0.0.1:0", listen=True)


@pytest.mark.parametrize("who", [ANN, EVE, CI], ids=["ann", "eve", "ci"])
def test_listings_and_counts_know_nothing_of_others(place, theirs, who):
    for path in ("/v1/sockets", "/v1/names", "/v1/process/fds"):
        assert "theirs.socket" not in str(ask(place, who, "GET", path).body)
    listed = ask(place, who, "GET", "/v1/sockets?limit=1000").body["sockets"]
    assert ask(place, who, "GET", "/v1/").body["sockets"] == len(listed)
    assert int(theirs) not in {each["fd"] for each in listed}
