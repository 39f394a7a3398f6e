"""Forwards of a real daemon: programs talk through them, and the daemon ends, dies and serves meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd.runtime.pumping.pipes import MOST as MOST_PIPES
from tests.socketctl_process import Started, socketctl
from tests.system.kept import LISTENER, address, create, get, keeper, kept_daemon, kill_worker
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

__all__ = ["keeper", "kept_daemon"]
FORWARDS = "/v1/forwards"
BOUND_S = 60.0
CHUNK = 1 << 16
MANY = 200


class Wire:
    """A local client and a local server with two held sockets between them.

    Attributes:
        near: The client's socket.
        far: The server's.
        sockets: Numbers of the two that are held.
    """

    def __init__(self, daemon: DaemonProcess, stack: ExitStack) -> None:
        listener = create(daemon, **LISTENER)
        self.near = stack.enter_context(socket.create_connection(address(listener), BOUND_S))
        answer = daemon.request("POST", f"/v1/sockets/{listener['fd']}/accept")
        (accepted,) = answer.json()["sockets"]
        daemon.request("DELETE", f"/v1/sockets/{listener['fd']}")
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialled = create(daemon, connect=f"127.0.0.1:{server.getsockname()[1]}")
            self.far = stack.enter_context(server.accept()[0])
        self.far.settimeout(BOUND_S)
        self.sockets = [accepted["fd"], dialled["fd"]]


@contextmanager
def wire(daemon: DaemonProcess) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(daemon, stack)


def join(daemon: DaemonProcess, sockets: list[int], **more: Any) -> Any:
    answer = daemon.request("POST", FORWARDS, {"sockets": sockets, **more})
    assert answer.status == 201, answer.body
    return answer.json()


def ended(daemon: DaemonProcess, forward: Any) -> Any:
    found = daemon.request("GET", f"{FORWARDS}/{forward['id']}?timeout={BOUND_S:g}").json()
    assert found["state"] == "ended", found
    return found


def pour(sock: socket.socket, size: int, seed: int) -> str:
    """Send ``size`` bytes and the end of file; return their hash."""
    digest = hashlib.sha256()
    block = bytes(range(256)) * (CHUNK // 256)
    for start in range(0, size, CHUNK):
        piece = bytes((seed + start) % 251 for _ in range(16)) + block[: CHUNK - 16]
        sock.sendall(piece[: size - start])
        digest.update(piece[: size - start])
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def drain(sock: socket.socket) -> tuple[int, str]:
    """Read to the end of file; return how many bytes there were, and their hash."""
    digest, count = hashlib.sha256(), 0
    while piece := sock.recv(1 << 20):
        digest.update(piece)
        count += len(piece)
    return count, digest.hexdigest()


@pytest.mark.needs("curl")
def test_curl_fetches_a_file_through_one(daemon: DaemonProcess, tmp_path: Path):
    data = os.urandom(2 << 20)
    listener = create(daemon, **LISTENER)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve_once, server, data)
        backend = create(daemon, connect=f"127.0.0.1:{server.getsockname()[1]}")
        url = "http://{}:{}/".format(*address(listener))
        with subprocess.Popen(["curl", "-sS", "-o", str(tmp_path / "got"), url]) as curl:
            (accepted,) = daemon.request("POST", f"/v1/sockets/{listener['fd']}/accept").json()["sockets"]
            forward = join(daemon, [accepted["fd"], backend["fd"]], on_end="close")
            assert curl.wait(BOUND_S) == 0
        serving.result(BOUND_S)
    assert (tmp_path / "got").read_bytes() == data
    assert ended(daemon, forward)["moved_bytes"]["to_first"] > len(data)
    assert daemon.request("GET", f"/v1/sockets/{backend['fd']}").status == 404


def serve_once(server: socket.socket, data: bytes) -> None:
    sock, _ = server.accept()
    with sock:
        sock.settimeout(BOUND_S)
        request = bytearray()
        while b"\r\n\r\n" not in request:
            request += sock.recv(CHUNK)
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)


def test_both_directions_at_once_and_each_to_its_own_end(daemon: DaemonProcess):
    with wire(daemon) as over, ThreadPoolExecutor(4) as pool:
        forward = join(daemon, over.sockets)
        there, back = (pool.submit(pour, sock, 32 << 20, 1) for sock in (over.near, over.far))
        at_far, at_near = (pool.submit(drain, sock) for sock in (over.far, over.near))
        assert at_far.result(BOUND_S) == (32 << 20, there.result(BOUND_S))
        assert at_near.result(BOUND_S) == (32 << 20, back.result(BOUND_S))
        told = ended(daemon, forward)
    assert told["moved_bytes"] == {"to_first": 32 << 20, "to_second": 32 << 20}
    assert (told["whole"], told["error"]) == (True, None)


def test_the_daemon_serves_while_one_moves_all_it_can(daemon: DaemonProcess):
    with wire(daemon) as over, ThreadPoolExecutor(2) as pool:
        forward = join(daemon, over.sockets)
        pouring, draining = pool.submit(pour, over.near, 64 << 20, 2), pool.submit(drain, over.far)
        seen = set()
        while not draining.done():
            seen.add(daemon.request("GET", f"{FORWARDS}/{forward['id']}").json()["moved_bytes"]["to_second"])
        assert draining.result(BOUND_S)[1] == pouring.result(BOUND_S)
    assert len(seen) > 1


def test_a_program_in_blocking_mode_does_not_stop_the_others(daemon: DaemonProcess):
    """Who takes a duplicate shares O_NONBLOCK with the daemon, and may clear it."""
    with wire(daemon) as blocking, wire(daemon) as other:
        first = join(daemon, blocking.sockets)
        daemon.request("POST", f"/v1/sockets/{blocking.sockets[0]}/take", {"blocking": True})
        daemon.request("POST", f"/v1/sockets/{blocking.sockets[1]}/take", {"blocking": True})
        second = join(daemon, other.sockets)
        with ThreadPoolExecutor(1) as pool:
            pouring = pool.submit(pour, blocking.near, 8 << 20, 3)  # nobody reads it for now
            other.near.sendall(b"still here")
            assert other.far.recv(100) == b"still here"
            assert drain(blocking.far)[1] == pouring.result(BOUND_S)
        for forward in (first, second):
            answer = daemon.request("DELETE", f"{FORWARDS}/{forward['id']}")
            assert answer.json()["undelivered_bytes"] == {"to_first": 0, "to_second": 0}


def test_many_run_at_once_and_leave_no_descriptor(fresh_daemon: Callable[..., DaemonProcess]):
    daemon = fresh_daemon()
    with wire(daemon) as first:  # what the pump opens once is open after the first
        daemon.request("DELETE", f"{FORWARDS}/{join(daemon, first.sockets)['id']}")
    before = len(daemon.descriptors())
    with ExitStack() as stack:
        wires = [Wire(daemon, stack) for _ in range(MANY)]
        forwards = [join(daemon, over.sockets, on_end="close") for over in wires]
        for number, over in enumerate(wires):
            over.near.sendall(b"%d" % number)
            over.near.shutdown(socket.SHUT_WR)
        for number, over in enumerate(wires):
            assert drain(over.far) == (len(b"%d" % number), hashlib.sha256(b"%d" % number).hexdigest())
            over.far.close()
        assert all(ended(daemon, forward)["whole"] for forward in forwards)
    await_true(
        lambda: len(daemon.descriptors()) <= before + 2 * MOST_PIPES,
        lambda: f"{before} descriptors, now {len(daemon.descriptors())}",
    )
    assert len(daemon.request("GET", "/v1/sockets").json()["sockets"]) == 2


def test_a_stream_goes_on_whole_after_a_restart(
    kept_daemon: DaemonProcess, fresh_daemon: Callable[..., DaemonProcess], keeper: Any
):
    with wire(kept_daemon) as over, ThreadPoolExecutor(2) as pool:
        join(kept_daemon, over.sockets, on_end="close")
        pouring, draining = pool.submit(pour, over.near, 48 << 20, 4), pool.submit(drain, over.far)
        kept_daemon.stop()
        successor = fresh_daemon("--keeper", keeper.path)
        assert successor.request("GET", FORWARDS).json() == {"forwards": []}
        forward = join(successor, over.sockets)
        assert draining.result(BOUND_S) == (48 << 20, pouring.result(BOUND_S))
        over.far.close()
        ended(successor, forward)


def test_bytes_that_die_with_the_daemon_are_no_end_of_file_by_themselves(kept_daemon: DaemonProcess):
    with wire(kept_daemon) as over:
        join(kept_daemon, over.sockets)
        over.near.sendall(b"x")
        assert over.far.recv(1) == b"x"
        kill_worker(kept_daemon)
        for fd in over.sockets:
            assert get(kept_daemon, fd)["state"] != "connected"
        kept_daemon.await_log("died with bytes of theirs in hand")


def test_socketctl_joins_waits_and_stops(daemon: DaemonProcess, tmp_path: Path):
    with wire(daemon) as over:
        numbers = [str(fd) for fd in over.sockets]
        identifier = socketctl(daemon.url, "forward", "--detach", *numbers).stdout.strip()
        assert identifier in socketctl(daemon.url, "forwards", "list", "-q").stdout.split()
        over.near.sendall(b"by hand")
        assert over.far.recv(100) == b"by hand"
        stopped = socketctl(daemon.url, "forwards", "stop", identifier)
        assert stopped.stdout == (
            f"{identifier}  ended  {numbers[0]}->{numbers[1]} 7 bytes  {numbers[1]}->{numbers[0]} 0 bytes\n"
        )
        waiting = Started(daemon, tmp_path, "forward", *numbers, "--on-end", "close")
        waiting.await_log("joins")
        over.near.sendall(b"again")
        assert over.far.recv(100) == b"again"
        waiting.send(signal.SIGINT)
        assert waiting.wait() == -signal.SIGINT
        assert "5 bytes" in waiting.log
        assert daemon.request("GET", f"/v1/sockets/{numbers[0]}").status == 404
