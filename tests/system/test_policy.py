"""A daemon with a policy, asked by several users and tokens: more is refused than granted."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.policed import ANN, BOB, CI, EVE, ROOT, WEB, ask, create, place

if TYPE_CHECKING:
    from typing import Any

__all__ = ["place"]  # a fixture

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
LISTEN = {"bind": "127.0.0.1:0", "listen": True}
REFUSED: list[tuple[int | str, dict[str, Any]]] = [
    (EVE, {}),
    (EVE, LISTEN),
    (EVE, {"family": "unix"}),
    (EVE, {"name": "eve"}),
    (CI, LISTEN),
    (CI, {"connect": "127.0.0.1:9"}),
    (CI, {"name": "ann.x"}),
    (CI, {"options": {"SO_KEEPALIVE": True}}),
    (ANN, {"family": "unix"}),
    (ANN, {"type": "raw", "protocol": "icmp"}),
    (ANN, {"bind": "127.0.0.1:82"}),
    (ANN, {"bind": "127.0.0.2:8080"}),
    (ANN, {"bind": "*:8080"}),
    (ANN, {"connect": "127.0.0.1:22"}),
    (ANN, {"connect": "169.254.169.254:8080"}),
    (ANN, {"connect": "[::ffff:169.254.169.254]:8080"}),
    (ANN, {"connect": "0.0.0.0:22"}),
    (ANN, {"name": "web"}),
    (ANN, {"listen": True}),
    (ANN, {"options": {"SO_MARK": 1}}),
    (ANN, {"name": "ann.x", "persist": "boot"}),
    (ANN, {"count": 5, "name": "web"}),
    (ROOT, {"options": {}, "connect": "THE API"}),
]


@pytest.mark.parametrize(("who", "wanted"), REFUSED)
def test_what_the_policy_does_not_grant_is_403_and_leaves_nothing(place, who, wanted):
    if wanted.get("connect") == "THE API":
        wanted = {"family": "unix", "connect": place.daemon.socket_path}
    before = ask(place, ROOT, "GET", "/v1/sockets").body["sockets"]
    told = ask(place, who, "POST", "/v1/sockets", wanted)
    assert (told.status, told.body["errno"], told.body["code"]) == (403, "EACCES", "not_permitted")
    assert told.body["detail"].startswith("the policy does not let ")
    assert ask(place, ROOT, "GET", "/v1/sockets").body["sockets"] == before


def test_what_it_grants_is_done(place):
    for who, wanted in ((ANN, LISTEN), (ANN, {"name": "ann.a"}), (CI, {"name": "ci.a"}), (ROOT, LISTEN)):
        create(place, who, **wanted)


def test_groups_of_the_process_count(place):
    wanted = {"bind": "127.0.0.1:82", "listen": True}
    assert ask(place, ANN, "POST", "/v1/sockets", wanted).status == 403
    told = ask(place, ANN, "POST", "/v1/sockets", wanted, WEB)
    assert (told.status, told.body["local"]["port"]) == (201, 82)
    told = ask(place, ANN, "POST", "/v1/sockets", wanted, WEB)
    assert (told.status, told.body["errno"]) == (409, "EADDRINUSE")
    assert "inode" not in told.body["hint"]
    hint = ask(place, ROOT, "POST", "/v1/sockets", wanted).body["hint"]
    assert "inode" in hint


def test_a_token_is_no_user_and_has_its_own_sockets(place):
    mine = create(place, CI, name="ci.mine")
    assert ask(place, CI, "GET", f"/v1/sockets/{mine}").status == 200
    assert ask(place, ANN, "GET", f"/v1/sockets/{mine}").status == 404
    assert ask(place, CI, "GET", "/v1/caller").body["rules"][0]["name"] == "ci"


def test_who_sees_anothers_may_use_them_and_asks_as_often_as_granted(place):
    mine = create(place, ANN)
    assert ask(place, BOB, "GET", f"/v1/sockets/{mine}").status == 200
    assert ask(place, BOB, "POST", f"/v1/sockets/{mine}/listen", {}).status == 403
    for _ in range(2):
        assert ask(place, BOB, "GET", "/v1/").status == 200
    told = ask(place, BOB, "GET", "/v1/")
    assert (told.status, told.body["errno"]) == (429, "EDQUOT")
    assert 0 < int(told.headers["Retry-After"]) <= 1000
    assert ask(place, ANN, "GET", "/v1/").status == 200


def test_more_sockets_than_the_quota_are_429(place):
    told = ask(place, ANN, "POST", "/v1/sockets", {"count": 21})
    assert (told.status, told.body["errno"]) == (429, "EDQUOT")
    assert int(told.headers["Retry-After"]) > 0


def test_descriptors_of_the_daemon_itself_are_not_copied(place):
    for pid in (place.daemon.pid, place.daemon.process.pid):
        told = ask(place, ROOT, "POST", "/v1/sockets/give", {"pid": pid, "fd": 5})
        assert (told.status, told.body["detail"]) == (403, f"process {pid} is the daemon's own")


def test_no_address_of_the_daemon_is_reached_through_it(place):
    found = re.search(r"http://127\.0\.0\.1:(\d+)", place.daemon.log)
    assert found
    for to in (f"127.0.0.1:{found[1]}", f"localhost:{found[1]}", f"[::ffff:127.0.0.1]:{found[1]}"):
        for who in (ANN, ROOT):
            assert ask(place, who, "POST", "/v1/sockets", {"connect": to}).status == 403
    link = Path(place.daemon.socket_path).with_name("link")
    link.symlink_to(place.daemon.socket_path)
    wanted = {"family": "unix", "connect": str(link)}
    assert ask(place, ROOT, "POST", "/v1/sockets", wanted).status == 403
    with socket.create_server(("127.0.0.1", 0)) as other:
        create(place, ROOT, connect=f"127.0.0.1:{other.getsockname()[1]}")
