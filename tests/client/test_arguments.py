"""Arguments of the drop-in's methods: what a local socket refuses is refused in the same words."""

from __future__ import annotations

import array
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import socketd_client
from socketd_client import Client, Socket
from socketd_client.arguments import check, seconds, without_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess


class Three:
    """An integer that is none."""

    def __index__(self) -> int:
        return 3


@pytest.fixture(scope="module")
def client(daemon: DaemonProcess) -> Iterator[Client]:
    with Client(daemon.url) as client:
        yield client


@pytest.fixture(scope="module")
def pairs(client: Client) -> Iterator[dict[int, tuple[Socket, socket.socket]]]:
    """Give a non-blocking socket of each kind, held and local; both are unconnected."""
    made = {}
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        made[family] = (
            Socket(family, socket.SOCK_DGRAM, client=client),
            socket.socket(family, socket.SOCK_DGRAM),
        )
        for each in made[family]:
            each.settimeout(0)
    yield made
    for both in made.values():
        for each in both:
            each.close()


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """Say what a call gave, or how it was refused: class and text, of a system call class and errno."""
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        base = next(kind for kind in type(error).__mro__ if kind.__module__ in ("builtins", "socket"))
        number = getattr(error, "errno", None)
        return base, number, None if number else str(error)
    return None, value


SIZES: list[Any] = [-1, "1", 1.5, None, 2**62, 2**63, -(2**70), True, Three(), b"1", object]
FLAGS: list[Any] = ["x", None, 1.5, 2**31, -(2**40), 2**63, 2**70]
READABLE: list[Any] = [
    "text",
    None,
    7,
    [1],
    (),
    object,
    memoryview(b"abcdef")[::2],
    memoryview(b"ab").cast("H"),
]
WRITABLE: list[Any] = [
    b"ro",
    "text",
    None,
    7,
    [],
    object,
    array.array("i", [1, 2]),
    memoryview(bytearray(4))[::2],
]
NAMES: list[Any] = [
    None,
    7,
    "/nothing/here",
    (),
    ["127.0.0.1", 1],
    ("127.0.0.1",),
    ("127.0.0.1", 1, 2, 3, 4),
    ("127.0.0.1", 65536),
    ("127.0.0.1", -1),
    ("127.0.0.1", "80"),
    ("127.0.0.1", 1.5),
    ("127.0.0.1", 2**70),
    (None, 1),
    ("a\0b", 1),
    ("::1", 70000),
    ("::1", 1, -1),
    ("::1", 1, 2**20),
    ("::1", 1, "x"),
    ("::1", 1, 0, "x"),
    b"\0" + b"a" * 108,
    "a" * 109,
    memoryview(b"/nothing/here"),
]
CALLS: list[tuple[Any, ...]] = [
    *((method, size) for method in ("recv", "recvfrom", "recvmsg") for size in SIZES),
    *(("recvmsg", 4, size) for size in SIZES),
    *((method, bytearray(4), size) for method in ("recv_into", "recvfrom_into") for size in (*SIZES, 5)),
    *((method, buffer, 1) for method in ("recv_into", "recvfrom_into") for buffer in WRITABLE),
    *(("recvmsg_into", [buffer]) for buffer in WRITABLE),
    *((method, 4, flags) for method in ("recv", "recvfrom") for flags in FLAGS),
    *((method, bytearray(4), 1, flags) for method in ("recv_into", "recvfrom_into") for flags in FLAGS),
    *((method, data) for method in ("send", "sendall") for data in READABLE),
    *((method, b"x", flags) for method in ("send", "sendall") for flags in FLAGS),
    *(("sendto", data, ("127.0.0.1", 9)) for data in READABLE),
    *(("sendto", b"x", flags, ("127.0.0.1", 9)) for flags in FLAGS),
    *(("sendmsg", [data]) for data in READABLE),
    *(
        ("sendmsg", [b"x"], beside)
        for beside in (None, 7, "ab", [1], [(1, 2)], [(1, 2, "x")], [("a", 2, b"")])
    ),
    *(("sendmsg", [b"x"], [], flags) for flags in FLAGS),
    ("sendmsg", 7),
    ("sendmsg", [b"x"] * 1025),
    ("recvmsg_into", 7),
    ("recvmsg_into", [bytearray(1)] * 1025),
    ("sendto", b"x"),
    ("sendto", b"x", 0, ("127.0.0.1", 9), 1),
    *(("shutdown", how) for how in (-1, 3, "x", None, 1.5, 2**40, 2**70)),
    *(("listen", backlog) for backlog in ("x", None, 1.5, 2**31, -(2**40), 2**70)),
    *(
        ("settimeout", value)
        for value in ("x", b"1", [1], -1, 1e300, float("nan"), float("inf"), 2**70, -1e-10)
    ),
    *(("setblocking", flag) for flag in ("", "x", None, 1.5, 2**70, object)),
    *(("set_inheritable", flag) for flag in ("x", None, 1.5, 2**40)),
    *(("getsockopt", *about) for about in ((1.5, 2), (1, 2, "x"), (1, 2, 1.5), (1, 2, 2**40), (1, 2, 1025))),
    *(("setsockopt", 1, 2, value) for value in ("x", 1.5, [1], None, 2**31, memoryview(b"abcdefgh")[::2])),
    ("setsockopt", 1, 2, Three()),
    ("setsockopt", 1, 2, 1, 4),
    ("setsockopt", 1, 2, None, "x"),
]


@pytest.mark.parametrize("nth", range(len(CALLS)))
def test_argument_is_refused_as_a_local_socket_refuses_it(pairs: dict[int, Any], nth: int):
    method, *given = CALLS[nth]
    held, local = pairs[socket.AF_INET]
    refused, refused_here = (outcome(partial(getattr(sock, method), *given)) for sock in (held, local))
    assert refused == refused_here


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
@pytest.mark.parametrize("nth", range(len(NAMES)))
def test_address_is_refused_as_a_local_socket_refuses_it(pairs: dict[int, Any], family: int, nth: int):
    held, local = pairs[family]
    name = NAMES[nth]
    calls: list[tuple[Any, ...]] = [
        ("bind", name),
        ("connect", name),
        ("connect_ex", name),
        ("sendto", b"x", name),
    ]
    if name is not None:  # which is no address there
        calls.append(("sendmsg", [b"x"], [], 0, name))
    for method, *given in calls:
        refused, refused_here = (outcome(partial(getattr(sock, method), *given)) for sock in (held, local))
        assert refused == refused_here


FUNCTIONS: list[tuple[Any, ...]] = [
    *(("create_connection", ("127.0.0.1", 1), timeout) for timeout in ("x", -1, 2**70)),
    *(("create_connection", address) for address in ((7, 1), ("127.0.0.1", 1.5), ("a\0b", 1))),
    *(("create_server", address) for address in (7, ("127.0.0.1",), ["127.0.0.1", 0], ("127.0.0.1", 70000))),
    ("socketpair", "x"),
    ("socketpair", socket.AF_UNIX, "x"),
    *(("fromfd", number, socket.AF_INET, socket.SOCK_STREAM) for number in ("x", 1.5, -1)),
    ("getaddrinfo", "127.0.0.1", 80, 0, 0, 0, 1 << 20),
]


@pytest.mark.filterwarnings("ignore:unclosed")  # the module's own leave what they made to the collector
@pytest.mark.parametrize("nth", range(len(FUNCTIONS)))
def test_function_refuses_as_the_modules_own_does(client: Client, nth: int):
    name, *given = FUNCTIONS[nth]
    refused = outcome(partial(getattr(socketd_client, name), *given, client=client))
    assert refused == outcome(partial(getattr(socket, name), *given))


def test_listener_has_the_protocol_it_was_made_with(client: Client):
    with (
        socketd_client.create_server(("127.0.0.1", 0), client=client) as ours,
        socket.create_server(("127.0.0.1", 0)) as theirs,
    ):
        assert ours.proto == theirs.proto


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_nothing_asked_for_is_what_the_kernel_says(client: Client, kind: int):
    outcomes = []
    for near, far in (
        socketd_client.socketpair(socket.AF_UNIX, kind, client=client),
        socket.socketpair(socket.AF_UNIX, kind),
    ):
        with near, far:
            near.settimeout(0)
            nothing = [outcome(call) for call in nothing_calls(near)]
            far.send(b"some")
            outcomes.append((nothing, [outcome(call) for call in nothing_calls(near)]))
    assert outcomes[0] == outcomes[1]


def nothing_calls(sock: Any) -> list[Callable[[], Any]]:
    return [
        lambda: sock.recvfrom_into(bytearray())[0],
        lambda: sock.recvmsg_into([])[0],
        lambda: sock.recv(0),
        lambda: sock.recv_into(bytearray()),
    ]


def test_flags_of_the_other_call_are_passed_over(client: Client):
    near, far = socketd_client.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, client=client)
    with near, far:
        assert near.send(b"x", socket.MSG_PEEK | socket.MSG_WAITALL) == 1
        assert far.recv(5, socket.MSG_NOSIGNAL | socket.MSG_MORE) == b"x"


@pytest.mark.parametrize("timeout_s", [None, 0, 5])
def test_all_is_waited_for_only_without_a_timeout(client: Client, timeout_s: float | None):
    near, far = socketd_client.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, client=client)
    with near, far:
        far.sendall(b"some")
        near.settimeout(timeout_s)
        if timeout_s is None:
            far.shutdown(socket.SHUT_WR)
        assert near.recv(5, socket.MSG_WAITALL) == b"some"


def test_dontwait_means_nothing_beside_a_timeout(client: Client):
    near, far = socketd_client.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, client=client)
    with near, far:
        near.settimeout(0.01)
        with pytest.raises(TimeoutError, match=r"timed out|nothing happened"):
            near.recv(1, socket.MSG_DONTWAIT)
        near.settimeout(None)
        with pytest.raises(BlockingIOError):
            near.recv(1, socket.MSG_DONTWAIT)


def test_timeout_has_no_errno(client: Client):
    near, far = socketd_client.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, client=client)
    with near, far:
        near.settimeout(0.01)
        with pytest.raises(TimeoutError) as caught:
            near.recv(1)
        assert (caught.value.errno, caught.value.args) == (None, ("timed out",))


def test_closed_socket_remembers_a_timeout_and_refuses_it(client: Client):
    outcomes = []
    for sock in (Socket(client=client), socket.socket()):
        sock.close()
        calls = [lambda: sock.settimeout(2), lambda: sock.setblocking(0), lambda: sock.shutdown(9)]  # noqa: B023
        outcomes.append([(outcome(call), sock.gettimeout()) for call in calls])
    assert outcomes[0] == outcomes[1]


def test_timeout_is_whole_nanoseconds():
    assert [seconds("settimeout", value) for value in (None, 0, 1e-10, 1.5)] == [None, 0.0, 1e-9, 1.5]
    assert [seconds("setblocking", value) for value in (True, 0)] == [None, 0.0]


@pytest.mark.parametrize("host", ["name.of.nobody.invalid", b"name.of.nobody.invalid", "n\u00e4me.invalid"])
def test_name_is_not_looked_up_here(host: str | bytes):
    assert without_name((host, 80)) == ("", 80)
    check(socket.AF_INET, "connect", without_name((host, 80)))


def test_address_stays_as_it_is():
    for address in (("127.0.0.1", 1), ("::1", 1, 0, 0), ("<broadcast>", 1), "path", b"\0x", None, (), (1,)):
        assert without_name(address) == address
