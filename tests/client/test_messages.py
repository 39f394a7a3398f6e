"""sendmsg and recvmsg of handles: as a local socket's, argument by argument."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.client.message_pairs import SPACE, held_pair, local_pair, rights

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client import Client


IP_PKTINFO: Final = 8
Either = Any  # a handle, or a local socket: that is the point


def outcome(call: Callable[[], Any]) -> tuple[type, str]:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, the two are compared
        number = getattr(error, "errno", None)
        return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins"), str(
            number or error
        )
    return type(None), ""


BAD_SENDS: Final[list[tuple[Any, ...]]] = [
    (5,),
    ([5],),
    (["x"],),
    ("x",),
    (b"x",),
    ([b"x"], 5),
    ([b"x"], None),
    ([b"x"], [5]),
    ([b"x"], [(1, 2)]),
    ([b"x"], [(1, 2, "x")]),
    ([b"x"], [("a", 2, b"x")]),
    ([b"x"], [(1.0, 1, b"")]),
    ([b"x"], [(2**31, 1, b"")]),
    ([b"x"], [], "f"),
    ([b"x"], [], 2**31),
    ([b"x"], [], 0, 5),
    ([b""] * 1025,),
    ([memoryview(b"abc")[::2]],),
    ([b"x"], rights(2**29)),
]
BAD_RECEIVES: Final[list[tuple[Any, ...]]] = [
    (-1,),
    ("x",),
    (1.5,),
    (2**63,),
    (1, -1),
    (1, 2**31),
    (1, 2**63),
    (1, "x"),
    (1, 0, 2**31),
    (1, 0, "x"),
]
BAD_SCATTERS: Final[list[tuple[Any, ...]]] = [
    (5,),
    ([5],),
    ([b"x"],),
    (b"x",),
    (["x"],),
    (bytearray(3),),
    ([memoryview(bytearray(9))[::2]],),
    ([], -1),
    ([bytearray(1)], 2**31),
    ([bytearray(1)] * 1025,),
]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *(("sendmsg", each) for each in BAD_SENDS),
        *(("recvmsg", each) for each in BAD_RECEIVES),
        *(("recvmsg_into", each) for each in BAD_SCATTERS),
    ],
)
def test_wrong_arguments_are_refused_in_the_words_of_a_local_socket(client: Client, method, arguments):
    near, _ = held_pair(client)
    with local_pair() as (one, _):
        expected = outcome(lambda: getattr(one, method)(*arguments))
    assert expected[0] is not type(None)
    assert outcome(lambda: getattr(near, method)(*arguments)) == expected


@pytest.mark.parametrize("method", ["sendmsg", "recvmsg", "recvmsg_into"])
def test_closed_handle_is_ebadf(client: Client, method):
    near, _ = held_pair(client)
    near.close()
    arguments = {"sendmsg": [b"x"], "recvmsg": 1, "recvmsg_into": [bytearray(1)]}[method]
    with pytest.raises(OSError, match="Bad file descriptor"):
        getattr(near, method)(arguments)


def test_nothing_there_is_told_by_the_timeout(client: Client):
    near, _ = held_pair(client)
    for timeout_s, error in ((0, BlockingIOError), (0.01, TimeoutError)):
        near.settimeout(timeout_s)
        for space in (0, SPACE):
            with pytest.raises(error):
                near.recvmsg(1, space)
            with pytest.raises(error):
                near.recvmsg_into([bytearray(1)], space)
    near.settimeout(None)  # with one, CPython polls first and the flag means nothing
    with pytest.raises(BlockingIOError):
        near.recvmsg(1, SPACE, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_buffers_are_gathered_and_scattered(client: Client, kind):
    near, far = held_pair(client, kind)
    parts = (each for each in (b"ab", bytearray(b"cd"), memoryview(array.array("H", [0x6665]))))
    assert near.sendmsg(parts) == 6
    first, second, rest = bytearray(1), array.array("H", [0]), bytearray(9)
    assert far.recvmsg_into(each for each in (first, second, rest)) == (6, [], 0, None)
    assert (bytes(first), second.tobytes(), bytes(rest[:3])) == (b"a", b"bc", b"def")


def test_nothing_is_sent_and_received_as_locally(client: Client):
    with local_pair() as local:
        for near, far in (held_pair(client), local):
            assert near.sendmsg([]) == 0
            near.sendmsg([b"x"])
            assert far.recvmsg_into([]) == (0, [], 0, None)
            assert far.recvmsg(0) == (b"", [], 0, None)
            assert far.recvmsg(9, SPACE) == (b"x", [], 0, None)
            near.close()
            assert far.recvmsg(9) == far.recvmsg(9, SPACE) == (b"", [], 0, None)


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_tcp_and_udp_say_as_much_as_locally(client: Client, kind):
    for make in (client.sockets.create, None):
        with contextlib.ExitStack() as stack:
            near, far = _connected(make, kind, stack)
            assert near.sendmsg([b"hello"], [], 0, None) == 5
            data, ancdata, flags, source = far.recvmsg(3, SPACE)
            assert (data, ancdata) == (b"hel", [])
            assert flags == (socket.MSG_TRUNC if kind == "dgram" else 0)
            assert source == (near.getsockname() if kind == "dgram" else None)


def _connected(make: Any, kind: str, stack: contextlib.ExitStack) -> tuple[Either, Either]:
    number = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}[kind]

    def one() -> Either:
        return make(family="inet", type=kind) if make else socket.socket(socket.AF_INET, number)

    near, far = stack.enter_context(one()), stack.enter_context(one())
    far.bind(("127.0.0.1", 0))
    if kind == "stream":
        far.listen()
    near.connect(far.getsockname())
    if kind == "dgram":
        return near, far
    return near, stack.enter_context(far.accept()[0])


def test_address_goes_with_the_message(client: Client):
    receiver = client.sockets.create(type="dgram", bind=("127.0.0.1", 0))
    receiver.settimeout(5)
    receiver.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    sender = client.sockets.create(type="dgram", bind=("127.0.0.1", 0))
    with pytest.raises(OSError, match="EDESTADDRREQ"):
        sender.sendmsg([b"x"], [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 16))])
    control = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 16))]
    assert sender.sendmsg([b"x", b"y"], control, 0, receiver.getsockname()) == 2
    data, ancdata, flags, source = receiver.recvmsg(9, 1024)
    assert (data, flags, source) == (b"xy", 0, sender.getsockname())
    came = {(level, kind): data for level, kind, data in ancdata}
    assert came[socket.IPPROTO_IP, socket.IP_TOS] == bytes([16])
    assert came[socket.IPPROTO_IP, IP_PKTINFO][8:] == socket.inet_aton("127.0.0.1")


@pytest.mark.parametrize("space", [0, 12, 16, 20, 28, 32, 44])
def test_cut_control_data_is_cut_as_locally(client: Client, space):
    seen = []
    with local_pair(socket.SOCK_DGRAM) as local:
        for near, far in (held_pair(client, "dgram"), local):
            far.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            near.sendmsg([b"x"])
            data, ancdata, flags, _ = far.recvmsg(9, space)
            lengths = [(level, kind, len(content)) for level, kind, content in ancdata]
            seen.append((data, lengths, flags))
    assert seen[0] == seen[1]


def test_credentials_are_eperm(client: Client):
    near, _ = held_pair(client)
    credentials = struct.pack("iII", os.getpid(), os.getuid(), os.getgid())
    with pytest.raises(PermissionError):
        near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])
