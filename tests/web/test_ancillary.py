"""Control messages over REST: what may be sent, what comes, and descriptors that become held sockets."""

from __future__ import annotations

import base64
import os
import socket
import struct
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from socketd.service import Limits
from socketd.service.guard import Fixed
from tests.policies import policy
from tests.web.in_process import serving

if TYPE_CHECKING:
    from tests.web.in_process import Web

AS_JSON = {"Accept": "application/json"}
RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
MAY = ['families = "*"', 'types = "*"', 'protocols = "*"', 'bind = "*"', 'connect = "*"', 'options = "*"']


def recv(web: Web, fd: int, control_size: int = 4096, **body: Any) -> Any:
    wanted = {"timeout": 5, "control_size": control_size, **body}
    (message,) = web.done("POST", f"/v1/sockets/{fd}/recv", wanted, AS_JSON)["messages"]
    return message


def hand_in(web: Web, fd: int, *descriptors: int, data: bytes = b"x") -> None:
    """Send descriptors of this process, as a program that took the other end would."""
    web.service.table.find(fd).sock.sendmsg([data], [(*RIGHTS, array("i", descriptors))])


def rights(*references: Any) -> dict[str, Any]:
    return {"type": "SCM_RIGHTS", "sockets": list(references)}


def numbers(web: Web) -> set[int]:
    return {each["fd"] for each in web.done("GET", "/v1/sockets")["sockets"]}


def governed(*more: str, quota: int = 100) -> Any:
    rule = ["[[rule]]", 'name = "all"', "anyone = true", *MAY, *more, f"quota = {{ sockets = {quota} }}"]
    return serving(policies=Fixed(policy("\n".join(rule))))


@pytest.mark.parametrize(
    ("control", "member"),
    [
        ({}, "control.0.type"),
        ({"type": 5}, "control.0"),
        ({"type": "SCM_RIGHTS", "level": "IPPROTO_IP", "sockets": [1]}, "control.0"),
        ({"type": "IP_TTL", "base64": "?"}, "control.0.base64"),
        ({"type": "SCM_RIGHTS", "sockets": []}, "control.0.sockets"),
        ({"type": "SCM_RIGHTS", "base64": "", "sockets": [1]}, "control.0"),
        ({"type": "IP_TTL", "data": ""}, "control.0.data"),
        ({"type": "SCM_RIGHTS", "base64": "AAAAAA=="}, "sockets"),
        ({"type": "SCM_PIDFD", "base64": "AAAAAA=="}, "type"),
        ({"type": 1, "level": 276, "base64": "AAAAAA=="}, "type"),
    ],
    ids=str,
)
def test_control_message_that_cannot_be_sent_is_422(web: Web, control, member):
    near, far = web.pair()
    body = {"text": "x", "control": [control]}
    assert web.wrong_members("POST", f"/v1/sockets/{near}/send", body) == {member}
    assert web.refused("POST", f"/v1/sockets/{far}/recv?timeout=0") == (409, "EAGAIN")


def test_credentials_are_403(web: Web):
    near, _ = web.pair()
    control = {"type": "SCM_CREDENTIALS", "base64": base64.b64encode(struct.pack("iII", 1, 0, 0)).decode()}
    sent = web.refused("POST", f"/v1/sockets/{near}/send", {"text": "x", "control": [control]})
    assert sent == (403, "EPERM")


def test_descriptors_over_tcp_or_with_no_bytes_are_422(web: Web):
    near, _ = web.pair()
    listener = web.create(bind="127.0.0.1:0", listen=True)
    tcp = web.create(connect=f"127.0.0.1:{listener['local']['port']}")["fd"]
    for fd, body in ((tcp, {"text": "x"}), (near, {})):
        assert web.wrong_members("POST", f"/v1/sockets/{fd}/send", {**body, "control": [rights(near)]})
    many = {"text": "x", "control": [rights(*[near] * 254)]}
    assert web.wrong_members("POST", f"/v1/sockets/{near}/send", many) == {"control"}


def test_control_messages_fit_only_in_json(web: Web):
    _, far = web.pair()
    assert web.wrong_members("POST", f"/v1/sockets/{far}/recv?control_size=24") == {"control_size"}
    wanted = {"control_size": 65537}
    assert web.wrong_members("POST", f"/v1/sockets/{far}/recv", wanted) == {"control_size"}


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_held_sockets_travel_and_are_the_same_at_the_other_end(web: Web, kind):
    near, far = web.pair(kind)
    named = web.create(name="web")
    sent = web.done("POST", f"/v1/sockets/{near}/send", {"text": "x", "control": [rights("web", near)]})
    assert sent["complete"]
    message = recv(web, far)
    (control,) = message["control"]
    assert (control["level"], control["type"], control["numbers"]) == ("SOL_SOCKET", "SCM_RIGHTS", [1, 1])
    assert (control["sockets"], control["new"]) == ([named["fd"], near], [])
    assert (message["closed"], message["flags"]) == (0, [])
    assert web.done("GET", "/v1/sockets/web")["taken"] == 1


def test_socket_that_is_released_when_it_is_sent_is_new_to_who_receives_it(web: Web):
    near, far = web.pair()
    listener = web.create(bind="127.0.0.1:0", listen=True)
    other = web.create()["fd"]
    control = {**rights(listener["fd"], other), "release": [listener["fd"]]}
    assert web.done("POST", f"/v1/sockets/{near}/send", {"text": "x", "control": [control]})["complete"]
    assert numbers(web) == {near, far, other}
    (came,) = recv(web, far)["control"]
    (fd,) = came["new"]
    assert came["sockets"] == [fd, other]
    made = web.done("GET", f"/v1/sockets/{fd}")
    assert (made["cookie"], made["local"]) == (listener["cookie"], listener["local"])


def test_socket_that_is_not_sent_stays(web: Web):
    near, _ = web.pair("dgram")
    other = web.create()["fd"]
    body = {"text": "x", "control": [{**rights(other), "release": [other]}]}
    elsewhere = {**body, "to": {"path": "/nonexistent/socket"}}
    assert web.refused("POST", f"/v1/sockets/{near}/send", elsewhere)[1] == "ENOENT"
    web.service.table.find(other).persist = "boot"
    assert web.wrong_members("POST", f"/v1/sockets/{near}/send", body) == {"control"}
    body["control"] = [{**rights(near), "release": [other]}]
    assert web.wrong_members("POST", f"/v1/sockets/{near}/send", body) == {"control"}
    assert other in numbers(web)


def test_socket_that_comes_from_elsewhere_is_held_by_who_receives_it(web: Web):
    near, far = web.pair()
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        hand_in(web, near, foreign.fileno())
        address = foreign.getsockname()
    (control,) = recv(web, far)["control"]
    (fd,) = control["sockets"]
    assert (control["new"], control["blocking"]) == ([fd], [fd])
    made = web.done("GET", f"/v1/sockets/{fd}")
    assert (made["state"], made["local"]["port"], made["owner"]["uid"]) == (
        "listening",
        address[1],
        os.getuid(),
    )
    web.ask("DELETE", f"/v1/sockets/{fd}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_what_is_no_socket_is_closed_and_told(web: Web):
    near, far = web.pair("dgram")
    reader, writer = os.pipe()
    with socket.socket() as foreign:
        hand_in(web, near, writer, foreign.fileno(), writer)
    os.close(writer)
    message = recv(web, far)
    (control,) = message["control"]
    assert (len(control["sockets"]), message["closed"], message["flags"]) == (1, 2, ["MSG_CTRUNC"])
    assert os.read(reader, 1) == b""  # nobody has the writing end any more
    os.close(reader)


def test_without_control_size_nothing_is_held(web: Web):
    near, far = web.pair()
    with socket.socket() as foreign:
        for _ in range(2):
            hand_in(web, near, foreign.fileno())
    before = numbers(web)
    answer = web.ask("POST", f"/v1/sockets/{far}/recv")
    assert (answer.data, answer.headers["Socket-Flags"]) == (b"x", "MSG_CTRUNC")
    (message,) = web.done("POST", f"/v1/sockets/{far}/recv", {"timeout": 5}, AS_JSON)["messages"]
    assert "control" not in message
    assert message["flags"] == ["MSG_CTRUNC"]
    assert numbers(web) == before


def test_descriptors_that_do_not_fit_the_room_are_closed(web: Web):
    near, far = web.pair()
    with socket.socket() as one, socket.socket() as other:
        hand_in(web, near, one.fileno(), other.fileno())
    message = recv(web, far, control_size=20)
    assert len(message["control"][0]["sockets"]) == 1
    assert (message["closed"], message["flags"]) == (1, ["MSG_CTRUNC"])


def test_peeked_descriptors_are_the_ones_that_come(web: Web):
    near, far = web.pair()
    with socket.socket() as foreign:
        hand_in(web, near, foreign.fileno())
    (peeked,) = recv(web, far, flags=["MSG_PEEK"])["control"]
    (taken,) = recv(web, far)["control"]
    assert (peeked["sockets"], peeked["new"]) == (taken["sockets"], peeked["sockets"])
    assert taken["new"] == []


def test_full_quota_leaves_the_message_for_later():
    with governed("give = true", quota=3) as web:
        near, far = web.pair()
        with socket.socket() as one, socket.socket() as other:
            hand_in(web, near, one.fileno(), other.fileno())
        before = numbers(web)
        path, wanted = f"/v1/sockets/{far}/recv", {"timeout": 5, "control_size": 4096}
        assert web.refused("POST", path, wanted, AS_JSON) == (429, "EDQUOT")
        assert numbers(web) == before
        assert web.ask("POST", path).data == b"x"


def test_several_messages_end_where_the_quota_does():
    with governed("give = true", quota=3) as web:
        near, far = web.pair("dgram")
        with socket.socket() as one, socket.socket() as other:
            hand_in(web, near, one.fileno())
            hand_in(web, near, other.fileno())
        wanted = {"timeout": 5, "control_size": 4096, "max": 5}
        path = f"/v1/sockets/{far}/recv"
        (message,) = web.done("POST", path, wanted, AS_JSON)["messages"]
        web.ask("DELETE", f"/v1/sockets/{message['control'][0]['sockets'][0]}")
        (message,) = web.done("POST", path, wanted, AS_JSON)["messages"]
        assert len(message["control"][0]["new"]) == 1


def test_who_may_not_give_gets_the_bytes_and_no_socket():
    with governed() as web:
        near, far = web.pair()
        with socket.socket() as foreign:
            hand_in(web, near, foreign.fileno())
        message = recv(web, far)
        assert (message["text"], message["control"], message["closed"]) == ("x", [], 1)


def test_who_may_not_take_sends_no_descriptors():
    with governed("give = true") as web:
        near, _ = web.pair()
        body = {"text": "x", "control": [rights(near)]}
        assert web.refused("POST", f"/v1/sockets/{near}/send", body) == (403, "EACCES")


def test_who_may_not_set_an_option_sets_it_for_no_message():
    rule = ["[[rule]]", 'name = "all"', "anyone = true", *MAY[:-1], 'options = ["SO_*", "IP_*"]']
    with serving(policies=Fixed(policy("\n".join(rule)))) as web:
        fd = web.create(type="dgram", bind="127.0.0.1:0")["fd"]
        for name, status in (("SO_MARK", 403), ("IP_RETOPTS", 403), ("IP_TTL", 200)):
            control = {"type": name, "base64": base64.b64encode(struct.pack("i", 1)).decode()}
            local = web.done("GET", f"/v1/sockets/{fd}")["local"]
            body = {"text": "x", "to": local["text"], "control": [control]}
            assert web.ask("POST", f"/v1/sockets/{fd}/send", body).status_code == status, name


def test_somebody_elses_socket_is_not_sent():
    with serving(limits=Limits(max_timeout_s=60)) as web:
        near, _ = web.pair()
        body = {"text": "x", "control": [rights(9999)]}
        assert web.refused("POST", f"/v1/sockets/{near}/send", body) == (404, "EBADF")


def test_time_to_live_goes_out_and_packet_info_comes_in(web: Web):
    receiver = web.create(
        type="dgram",
        bind="127.0.0.1:0",
        options={"IP_PKTINFO": True, "IP_RECVTTL": True, "SO_TIMESTAMP": True},
    )
    sender = web.create(type="dgram")["fd"]
    body = {
        "text": "x",
        "to": receiver["local"]["text"],
        "control": [{"type": "IP_TTL", "base64": base64.b64encode(struct.pack("i", 7)).decode()}],
    }
    web.done("POST", f"/v1/sockets/{sender}/send", {"messages": [body]})
    message = recv(web, receiver["fd"])
    came = {each["type"]: base64.b64decode(each["base64"]) for each in message["control"]}
    assert struct.unpack("i", came["IP_TTL"]) == (7,)
    assert socket.inet_ntoa(came["IP_PKTINFO"][8:12]) == "127.0.0.1"
    assert len(came["SCM_TIMESTAMP"]) == 16
    assert {each["level"] for each in message["control"]} == {"SOL_SOCKET", "IPPROTO_IP"}


def test_repeat_gives_the_same_sockets(web: Web):
    near, far = web.pair()
    with socket.socket() as foreign:
        hand_in(web, near, foreign.fileno())
    headers = {**AS_JSON, "Idempotency-Key": "once"}
    wanted = {"timeout": 5, "control_size": 4096}
    first, again = (web.done("POST", f"/v1/sockets/{far}/recv", wanted, headers) for _ in range(2))
    assert first == again
    assert first["messages"][0]["control"][0]["new"]
