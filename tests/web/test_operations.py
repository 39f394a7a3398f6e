"""bind, listen, connect, shutdown and info, in the states that refuse them and in those that do not."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.in_process import Web

ANY_PORT = "127.0.0.1:0"


def path(made: dict, call: str) -> str:
    return f"/v1/sockets/{made['fd']}/{call}"


def text(web: Web, made: dict) -> str:
    return web.done("GET", f"/v1/sockets/{made['fd']}")["local"]["text"]


@pytest.mark.parametrize(
    ("call", "body", "members"),
    [
        ("bind", {}, {"address"}),
        ("bind", {"address": "127.0.0.1:0", "port": 1}, {"port"}),
        ("bind", {"address": "nonsense"}, {"address"}),
        ("bind", {"address": {"port": 1, "service": "x"}}, {"address"}),
        ("listen", {"backlog": 2**31}, {"backlog"}),
        ("listen", {"backlog": "9"}, {"backlog"}),
        ("connect", {"timeout": 1}, {"address"}),
        ("connect", {"address": "127.0.0.1:1", "timeout": -0.5}, {"timeout"}),
        ("shutdown", {}, {"how"}),
        ("shutdown", {"how": "sideways"}, {"how"}),
        ("shutdown", {"how": 3}, {"how"}),
    ],
)
def test_wrong_member_is_named(web: Web, call, body, members):
    assert web.wrong_members("POST", path(web.create(), call), body) == members


def test_calls_out_of_order_are_409(web: Web):
    made = web.create()
    assert web.refused("POST", path(made, "shutdown"), {"how": "both"}) == (409, "ENOTCONN")
    web.done("POST", path(made, "bind"), {"address": ANY_PORT})
    assert web.refused("POST", path(made, "bind"), {"address": ANY_PORT}) == (409, "EINVAL")
    unix = web.create(family="unix")
    assert web.refused("POST", path(unix, "listen")) == (409, "EINVAL")
    listener = web.create(bind=ANY_PORT, listen=True)
    assert web.refused("POST", path(listener, "connect"), {"address": ANY_PORT}) == (409, "EISCONN")


def test_refusals_of_the_peer_are_502(web: Web):
    bound = web.create(bind=ANY_PORT)
    made = web.create()
    assert web.refused("POST", path(made, "connect"), {"address": text(web, bound)}) == (502, "ECONNREFUSED")


def test_other_families_address_is_422(web: Web):
    made = web.create()
    for address in ("[::1]:1", "@x", {"cid": 1, "port": 1}, {"pid": 0}):
        assert web.refused("POST", path(made, "bind"), {"address": address}) == (422, "EAFNOSUPPORT")
    assert web.refused("POST", path(made, "bind"), {"address": "192.0.2.77:0"}) == (422, "EADDRNOTAVAIL")
    assert web.refused("POST", path(web.create(type="dgram"), "listen")) == (422, "EOPNOTSUPP")


def test_states_of_a_tcp_connection_are_the_kernels(web: Web):
    listener = web.create()
    assert listener["state"] == "created"
    assert web.done("POST", path(listener, "bind"), {"address": ANY_PORT})["state"] == "bound"
    assert web.done("POST", path(listener, "listen"))["state"] == "listening"
    near = web.create()
    connected = web.done("POST", path(near, "connect"), {"address": text(web, listener)})
    assert (connected["state"], connected["fd"]) == ("connected", near["fd"])
    (far,) = web.done("POST", path(listener, "accept"))["sockets"]
    assert web.done("POST", path(near, "shutdown"), {"how": "write"})["state"] == "shut-write"
    assert web.done("GET", f"/v1/sockets/{far['fd']}")["state"] == "peer-closed"
    assert web.done("POST", path(far, "shutdown"), {"how": "SHUT_WR"})["state"] == "closed"
    assert web.done("GET", f"/v1/sockets/{near['fd']}")["state"] == "closed"


def test_backlog_can_be_changed(web: Web):
    made = web.create(bind=ANY_PORT, listen={"backlog": 3})
    assert made["listening"]["backlog"] == 3
    assert web.done("POST", path(made, "listen"), {"backlog": 9})["listening"]["backlog"] == 9


def test_connect_without_waiting_is_einprogress_and_goes_on(web: Web):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            made = web.create()
            body = {"address": f"127.0.0.1:{full.getsockname()[1]}", "timeout": 0}
            assert web.refused("POST", path(made, "connect"), body) == (409, "EINPROGRESS")
            assert web.refused("POST", path(made, "connect"), body) == (409, "EALREADY")
            assert web.done("GET", f"/v1/sockets/{made['fd']}")["state"] == "connecting"


def test_datagram_association_is_made_and_dissolved(web: Web):
    target, made = web.create(type="dgram", bind=ANY_PORT), web.create(type="dgram")
    to = {"address": text(web, target)}
    assert web.done("POST", path(made, "connect"), to)["peer"] == target["local"]
    dissolved = web.done("POST", path(made, "connect"), {"address": {"family": "unspec"}})
    assert (dissolved["peer"], dissolved["state"]) == (None, "created")


def test_names_are_resolved_and_tried_in_order(web: Web):
    listener = web.create(bind="127.0.0.1:0", listen=True)
    near = web.create(connect={"host": "localhost", "service": str(listener["local"]["port"])})
    assert near["peer"]["port"] == listener["local"]["port"]


def test_info_tells_queues_and_tcp_info(web: Web):
    listener = web.create(bind=ANY_PORT, listen=True)
    with socket.create_connection(("127.0.0.1", listener["local"]["port"])) as peer:
        info = web.done("GET", path(listener, "info"))
        assert info["listening"]["pending"] == 1
        assert info["poll"] == ["POLLIN"]
        (far,) = web.done("POST", path(listener, "accept"))["sockets"]
        peer.sendall(b"12345")
        info = web.done("GET", path(far, "info"))
        assert info["queues"] == {"unread_bytes": 5, "unsent_bytes": 0}
        assert info["tcp_info"]["state"]
        assert {"POLLIN", "POLLOUT"} <= set(info["poll"])
    assert web.done("GET", path(web.create(family="unix"), "info"))["tcp_info"] is None
