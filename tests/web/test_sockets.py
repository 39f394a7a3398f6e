"""Creating, showing, pairing, accepting and closing sockets: what is refused first, then what comes of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web

ANY_PORT = {"host": "127.0.0.1", "port": 0}
REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"family": "x25"}, 422, "EAFNOSUPPORT"),
    ({"type": "raw"}, 422, "EPROTONOSUPPORT"),
    ({"type": "seqpacket"}, 422, "ESOCKTNOSUPPORT"),
    ({"protocol": "udp"}, 422, "EPROTONOSUPPORT"),
    ({"bind": "192.0.2.77:0"}, 422, "EADDRNOTAVAIL"),
    ({"bind": "/nowhere/at/all.sock"}, 422, "ENOENT"),
    ({"connect": "/nowhere/at/all.sock"}, 422, "ENOENT"),
    ({"bind": f"/{'a' * 108}"}, 422, "ENAMETOOLONG"),
    ({"bind": {"interface": "no-such-link"}}, 422, "ENODEV"),
    ({"bind": "[fe80::1%no-such-link]:0"}, 422, "ENODEV"),
    ({"bind": "no-such-host.invalid:1"}, 422, "EAI_NONAME"),
    ({"family": "inet6", "bind": "127.0.0.1:0"}, 422, "EAFNOSUPPORT"),
    ({"options": {"SO_NONSENSE": 1}}, 422, "ENOPROTOOPT"),
    ({"options": {"SO_ACCEPTCONN": 1}}, 422, "ENOPROTOOPT"),
    ({"options": {"6:99": 1}}, 422, "ENOPROTOOPT"),
    ({"protocol": True}, 422, "EINVAL"),
    ({"protocol": "nonsense"}, 422, "EINVAL"),
    ({"listen": True, "type": "dgram"}, 422, "EOPNOTSUPP"),
    ({"family": "unix", "listen": True}, 409, "EINVAL"),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"famly": "inet"}, "famly"),
    ({"family": "nonsense"}, "family"),
    ({"family": 1.5}, "family"),
    ({"family": True}, "family"),
    ({"type": ["stream"]}, "type"),
    ({"name": "1web"}, "name"),
    ({"name": "web\n"}, "name"),
    ({"name": "w" * 256}, "name"),
    ({"count": 0}, "count"),
    ({"count": "3"}, "count"),
    ({"options": ["SO_REUSEADDR"]}, "options"),
    ({"bind": {"host": "127.0.0.1", "port": 65536}}, "bind.port"),
    ({"bind": {"host": "127.0.0.1", "prt": 1}}, "bind.prt"),
    ({"bind": {"path": "/x", "abstract": "x"}}, "bind"),
    ({"bind": 80}, "bind"),
    ({"connect": "127.0.0.1"}, "connect"),
    ({"bind": ANY_PORT, "connect": "127.0.0.1:1", "listen": True}, "listen"),
    ({"listen": {"backlog": -1}}, "listen.backlog"),
    ({"timeout": -1}, "timeout"),
    ({"timeout": "soon"}, "timeout"),
    ({"persist": True}, "persist"),
]


@pytest.mark.parametrize(("wanted", "status", "errno"), REFUSALS, ids=lambda value: str(value)[:40])
def test_refused_creation_says_why_and_leaves_nothing(web: Web, wanted, status, errno):
    assert web.refused("POST", "/v1/sockets", wanted) == (status, errno)
    assert web.done("GET", "/v1/")["sockets"] == 0


@pytest.mark.parametrize(("wanted", "member"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_member_is_named(web: Web, wanted, member):
    assert web.wrong_members("POST", "/v1/sockets", wanted) == {member}


def test_wait_for_a_connection_that_never_comes_is_504(web: Web):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            address = {"host": "127.0.0.1", "port": full.getsockname()[1]}
            wanted = {"connect": address, "timeout": 0.01}
            assert web.refused("POST", "/v1/sockets", wanted) == (504, "ETIMEDOUT")
    assert web.done("GET", "/v1/sockets")["sockets"] == []


def test_taken_port_is_eaddrinuse_with_its_holder(web: Web):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        inode = os.fstat(taken.fileno()).st_ino
        answer = web.ask("POST", "/v1/sockets", {"bind": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert (answer.status_code, answer.json["errno"], answer.json["number"]) == (409, "EADDRINUSE", 98)
    assert answer.json["syscall"] == "bind"
    assert f"inode {inode}" in answer.json["hint"]


def test_taken_name_is_eexist(web: Web):
    web.create(name="web")
    assert web.refused("POST", "/v1/sockets", {"name": "web"}) == (409, "EEXIST")


def test_bulk_names_the_one_that_failed_and_leaves_nothing(web: Web):
    web.create(name="n.3")
    answer = web.ask("POST", "/v1/sockets", {"name": "n", "count": 5})
    assert (answer.status_code, answer.json["index"]) == (409, 3)
    assert [one["name"] for one in web.done("GET", "/v1/sockets")["sockets"]] == ["n.3"]


def test_bulk_makes_all(web: Web):
    made = web.done("POST", "/v1/sockets", {"name": "n", "count": 3, "bind": ANY_PORT})["sockets"]
    assert [one["name"] for one in made] == ["n.0", "n.1", "n.2"]
    assert len({one["local"]["port"] for one in made}) == 3


def test_created_socket_is_what_the_kernel_has(web: Web):
    answer = web.ask("POST", "/v1/sockets", {"name": "web", "bind": ANY_PORT, "listen": {"backlog": 7}})
    made = answer.json
    assert answer.headers["ETag"] == f'"{made["cookie"]}"'
    assert answer.headers["Location"] == f"/v1/sockets/{made['fd']}"
    assert str(Path(made["proc"]["path"]).readlink()) == made["proc"]["link"] == f"socket:[{made['inode']}]"
    assert (made["state"], made["listening"]) == ("listening", {"backlog": 7, "pending": 0})
    assert made["owner"]["uid"] == os.getuid()
    assert web.done("GET", answer.headers["Location"]) == made
    assert web.done("GET", "/v1/sockets/web") == made


@pytest.mark.parametrize(
    ("wanted", "family", "protocol"),
    [
        ({"bind": "[::1]:0"}, "inet6", "tcp"),
        ({"bind": "@fact"}, "unix", "default"),
        ({"type": "dgram", "bind": "127.0.0.1:0"}, "inet", "udp"),
        ({"bind": {"service": "0", "flags": ["AI_PASSIVE", "AI_NUMERICSERV"]}}, None, "tcp"),
        ({"family": 2, "type": 1, "protocol": 6}, "inet", "tcp"),
        ({"family": "AF_INET6", "type": "SOCK_DGRAM"}, "inet6", "udp"),
        ({"family": "netlink", "type": "raw", "protocol": "route"}, "netlink", "route"),
    ],
    ids=str,
)
def test_family_and_protocol_are_as_told_or_implied(web: Web, wanted, family, protocol):
    made = web.create(**wanted)
    assert made["family"] in ((family,) if family else ("inet", "inet6"))
    assert made["protocol"] == protocol


def test_options_are_set_before_bind(web: Web):
    first = web.create(bind=ANY_PORT, options={"SO_REUSEPORT": True})
    port = first["local"]["port"]
    assert web.refused("POST", "/v1/sockets", {"bind": f"127.0.0.1:{port}"}) == (409, "EADDRINUSE")
    web.create(bind=f"127.0.0.1:{port}", options={"SO_REUSEPORT": True})


def test_fields_are_refused_by_name_and_given_alone(web: Web):
    fd = web.create()["fd"]
    assert web.refused("GET", f"/v1/sockets/{fd}?fields=fd,colour") == (422, "EINVAL")
    assert web.wrong_members("GET", f"/v1/sockets/{fd}?feilds=fd") == {"feilds"}
    assert web.done("GET", f"/v1/sockets/{fd}?fields=fd,state") == {"fd": fd, "state": "created"}


@pytest.mark.parametrize("ref", ["9999", "nobody", "0", "-1", "1" * 5000, "%00", "a%2Fb", "%FF"])
def test_socket_that_is_not_there_is_404(web: Web, ref):
    assert web.refused("GET", f"/v1/sockets/{ref}")[0] == 404
    assert web.refused("DELETE", f"/v1/sockets/{ref}")[0] == 404


def test_closed_number_stays_unknown_and_numbers_rise(web: Web):
    first = web.create()["fd"]
    assert web.ask("DELETE", f"/v1/sockets/{first}").status_code == 204
    assert web.refused("DELETE", f"/v1/sockets/{first}") == (404, "EBADF")
    assert web.create()["fd"] > first


def test_close_removes_the_socket_file_it_made(web: Web, tmp_path: Path):
    path = tmp_path / "x.sock"
    fd = web.create(bind=str(path))["fd"]
    assert path.is_socket()
    web.ask("DELETE", f"/v1/sockets/{fd}?shutdown=true")
    assert not path.exists()


def test_accept_is_refused_where_nothing_can_come(web: Web):
    unbound, datagram = web.create()["fd"], web.create(type="dgram")["fd"]
    assert web.refused("POST", f"/v1/sockets/{unbound}/accept") == (409, "EINVAL")
    assert web.refused("POST", f"/v1/sockets/{datagram}/accept") == (422, "EOPNOTSUPP")
    listener = web.create(bind=ANY_PORT, listen=True)["fd"]
    assert web.refused("POST", f"/v1/sockets/{listener}/accept", {"timeout": 0}) == (409, "EAGAIN")
    assert web.refused("POST", f"/v1/sockets/{listener}/accept", {"timeout": 0.01}) == (504, "ETIMEDOUT")
    assert web.wrong_members("POST", f"/v1/sockets/{listener}/accept", {"max": 0}) == {"max"}


def test_accept_gives_a_socket_of_its_own_number(web: Web):
    listener = web.create(bind=ANY_PORT, listen=True)
    with socket.create_connection(("127.0.0.1", listener["local"]["port"])) as peer:
        answer = web.ask("POST", f"/v1/sockets/{listener['fd']}/accept", {"name": "guest"})
        assert answer.status_code == 201
        (accepted,) = answer.json["sockets"]
        assert accepted["fd"] > listener["fd"] == accepted["accepted_from"]
        assert accepted["peer"]["port"] == peer.getsockname()[1]
        assert (accepted["name"], accepted["state"]) == ("guest", "connected")


def test_accept_takes_as_many_as_are_there_up_to_max(web: Web):
    listener = web.create(bind=ANY_PORT, listen=True)
    address = ("127.0.0.1", listener["local"]["port"])
    peers = [socket.create_connection(address) for _ in range(3)]
    try:
        path = f"/v1/sockets/{listener['fd']}/accept"
        first = web.done("POST", path, {"max": 2, "name": "g"})["sockets"]
        assert [one["name"] for one in first] == ["g.0", "g.1"]
        assert len(web.done("POST", path, {"max": 9})["sockets"]) == 1
    finally:
        for peer in peers:
            peer.close()


def test_pair_is_refused_without_its_reason_being_lost(web: Web):
    assert web.refused("POST", "/v1/socketpairs", {"family": "inet"}) == (422, "EOPNOTSUPP")
    assert web.refused("POST", "/v1/socketpairs", {"names": ["a", "a"]}) == (409, "EEXIST")
    assert web.wrong_members("POST", "/v1/socketpairs", {"names": ["a"]}) == {"names"}
    assert web.wrong_members("POST", "/v1/socketpairs", {"names": ["a", "?"]}) == {"names.1"}


def test_pair_is_connected_with_each_other(web: Web):
    left, right = web.done("POST", "/v1/socketpairs", {"names": ["a", "b"], "type": "seqpacket"})["sockets"]
    assert (left["name"], right["name"]) == ("a", "b")
    assert left["state"] == right["state"] == "connected"
    assert left["local"] is left.get("accepted_from")
    assert left["peer"] == {"family": "unix", "unnamed": True, "text": ""}
