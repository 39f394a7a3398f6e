"""Who goes away takes nothing along: real curl processes killed while they wait, and as data arrives."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

pytestmark = pytest.mark.needs("curl")
ROUNDS = 300 if IS_SOAK else 30
BOUND_S = 30.0
ANY_PORT = {"host": "127.0.0.1", "port": 0}


def ask(daemon: DaemonProcess, method: str, path: str, body: Any = None) -> Any:
    """Make a request that must succeed."""
    answer = daemon.request(method, path, body, {"Accept": "application/json"})
    assert answer.status < 300, answer.body
    return answer.json() if answer.body else None


@contextmanager
def listener(daemon: DaemonProcess) -> Iterator[dict[str, Any]]:
    """Hold a listening socket, and close everything it accepted with it."""
    made = ask(daemon, "POST", "/v1/sockets", {"bind": ANY_PORT, "listen": {"backlog": 1024}})
    try:
        yield made
    finally:
        for one in ask(daemon, "GET", "/v1/sockets?limit=10000")["sockets"]:
            if made["fd"] in (one["fd"], one["accepted_from"]):
                ask(daemon, "DELETE", f"/v1/sockets/{one['fd']}")


@contextmanager
def pair(daemon: DaemonProcess, kind: str) -> Iterator[tuple[int, int]]:
    """Hold two Unix sockets connected with each other."""
    made = [one["fd"] for one in ask(daemon, "POST", "/v1/socketpairs", {"type": kind})["sockets"]]
    try:
        yield made[0], made[1]
    finally:
        for fd in made:
            daemon.request("DELETE", f"/v1/sockets/{fd}")


@contextmanager
def curl(daemon: DaemonProcess, path: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a curl that waits for the daemon; kill it at the end."""
    command = ["curl", "-sS", "--unix-socket", daemon.socket_path, "-o", str(output)]
    body = ["-H", "Content-Type: application/json", "-d", '{"timeout": 60}']
    process = subprocess.Popen([*command, *body, f"http://localhost/v1/sockets/{path}"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def waits_on(daemon: DaemonProcess, fd: int) -> bool:
    """Whether somebody waits on the daemon's descriptor: its epoll instances tell in /proc."""
    for fdinfo in Path(f"/proc/{daemon.pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # a connection that came and went
            if f"tfd: {fd:8} " in fdinfo.read_text():
                return True
    return False


def await_waiting(daemon: DaemonProcess, fd: int, *, begun: bool = True) -> None:
    """Block until somebody waits on the descriptor, or nobody any more."""
    deadline = time.monotonic() + BOUND_S
    while waits_on(daemon, fd) is not begun:
        assert time.monotonic() < deadline


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_accept_takes_no_connection(daemon, tmp_path):
    with listener(daemon) as made:
        with curl(daemon, f"{made['fd']}/accept", tmp_path / "out") as process:
            await_waiting(daemon, made["fd"])
            kill(process)
            await_waiting(daemon, made["fd"], begun=False)
        with socket.create_connection(("127.0.0.1", made["local"]["port"])) as peer:
            assert ask(daemon, "GET", f"/v1/sockets/{made['fd']}")["listening"]["pending"] == 1
            (accepted,) = ask(daemon, "POST", f"/v1/sockets/{made['fd']}/accept", {"timeout": 10})["sockets"]
            assert accepted["peer"]["port"] == peer.getsockname()[1]


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_killed_recv_takes_no_bytes(daemon, tmp_path, kind):
    with pair(daemon, kind) as (near, far):
        with curl(daemon, f"{far}/recv", tmp_path / "out") as process:
            await_waiting(daemon, far)
            kill(process)
            await_waiting(daemon, far, begun=False)
        ask(daemon, "POST", f"/v1/sockets/{near}/send", {"text": "kept"})
        received = ask(daemon, "POST", f"/v1/sockets/{far}/recv", {"timeout": 10})
        assert [message["text"] for message in received["messages"]] == ["kept"]


def test_one_killed_among_several_waits_leaves_the_data_to_the_next(daemon, tmp_path):
    with pair(daemon, "dgram") as (near, far):
        with curl(daemon, f"{far}/recv", tmp_path / "a") as first:
            await_waiting(daemon, far)
            with curl(daemon, f"{far}/recv", tmp_path / "b") as second:
                kill(first)
                ask(daemon, "POST", f"/v1/sockets/{near}/send", {"text": "for the second"})
                assert second.wait(BOUND_S) == 0
        assert (tmp_path / "b").read_text() == "for the second"


@pytest.mark.parametrize("call", ["accept", "recv", "poll", "send", "connect"])
def test_close_while_waiting_ends_the_wait(daemon, call):
    """poll(2) tells of a closed descriptor with POLLNVAL; the other calls end with EBADF."""
    with waited_for(daemon, call) as (fd, request), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(daemon.request, "POST", *request)
        await_waiting(daemon, fd)
        ask(daemon, "DELETE", f"/v1/sockets/{fd}")
        answer = waiting.result(BOUND_S)
    if call == "poll":
        assert answer.json()["ready"] == [{"socket": fd, "fd": fd, "events": ["POLLNVAL"]}]
    else:
        assert (answer.status, answer.json()["errno"]) == (404, "EBADF")


@pytest.mark.parametrize("call", ["accept", "recv", "poll", "send", "connect"])
def test_told_to_stop_it_ends_every_wait_with_503(fresh_daemon, call):
    daemon = fresh_daemon()
    with waited_for(daemon, call) as (fd, request), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(daemon.request, "POST", *request)
        await_waiting(daemon, fd)
        daemon.stop()
        answer = waiting.result(BOUND_S)
    assert (answer.status, answer.json()["code"]) == (503, "shutting_down")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("call", ["accept", "recv", "poll", "send", "connect"])
def test_time_that_runs_out_is_504_and_poll_is_empty(daemon, call):
    with waited_for(daemon, call) as (_, (path, body)):
        answer = daemon.request("POST", path, {**body, "timeout": 0.05})
    if call == "poll":
        assert (answer.status, answer.json()["ready"]) == (200, [])
    else:
        assert (answer.status, answer.json()["errno"]) == (504, "ETIMEDOUT")


@contextmanager
def waited_for(daemon: DaemonProcess, call: str) -> Iterator[tuple[int, tuple[str, dict[str, Any]]]]:
    """Hold a socket on which ``call`` waits; give its number and the request."""
    body: dict[str, Any] = {"timeout": 60}
    with ExitStack() as stack:
        if call == "accept":
            fd = ask(daemon, "POST", "/v1/sockets", {"bind": ANY_PORT, "listen": True})["fd"]
        elif call == "connect":
            fd = ask(daemon, "POST", "/v1/sockets", {})["fd"]
            body["address"] = stack.enter_context(full_listener())
        else:
            fd, _ = (one["fd"] for one in ask(daemon, "POST", "/v1/socketpairs")["sockets"])
        if call == "send":
            while (
                daemon.request("POST", f"/v1/sockets/{fd}/send?timeout=0", {"text": "x" * 65536}).status
                == 200
            ):
                pass
            body["text"] = "x"
        path = "/v1/poll" if call == "poll" else f"/v1/sockets/{fd}/{call}"
        yield fd, (path, {**body, "sockets": [{"socket": fd}]} if call == "poll" else body)


@contextmanager
def full_listener() -> Iterator[str]:
    """Listen with a backlog that is full; connecting to it goes on until the SYN is given up."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        with socket.create_connection(listening.getsockname()):
            yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_storm_of_killed_accepts_loses_no_connection(daemon, tmp_path):
    """Each connection is held or still in the backlog; one whose curl lived to the end was told of."""
    told = set()
    with listener(daemon) as made:
        address = ("127.0.0.1", made["local"]["port"])
        peers = []
        try:
            for turn in range(ROUNDS):
                output = tmp_path / f"{turn}"
                with curl(daemon, f"{made['fd']}/accept", output) as process:
                    await_waiting_or_ended(daemon, made["fd"], process)
                    at_once(turn, lambda: peers.append(socket.create_connection(address)), process)
                    if process.wait(BOUND_S) == 0:
                        told.add(json.loads(output.read_text())["sockets"][0]["peer"]["port"])
                await_waiting(daemon, made["fd"], begun=False)
            everybody = {peer.getsockname()[1] for peer in peers}
            held = [
                one["peer"]["port"]
                for one in ask(daemon, "GET", "/v1/sockets?limit=10000")["sockets"]
                if one["accepted_from"] == made["fd"]
            ]
            pending = ask(daemon, "GET", f"/v1/sockets/{made['fd']}")["listening"]["pending"]
            assert len(held) == len(set(held))
            assert told <= set(held) <= everybody
            assert len(held) + pending == len(peers) == ROUNDS
        finally:
            for peer in peers:
                peer.close()


def test_storm_of_killed_recvs_gives_each_message_at_most_once_and_in_order(daemon, tmp_path):
    """Killed before the answer was written: it is unread. Only one written to the dead can be missing."""
    delivered: list[str] = []
    completed = 0
    with pair(daemon, "dgram") as (near, far):
        for turn in range(ROUNDS):
            output = tmp_path / f"{turn}"
            with curl(daemon, f"{far}/recv", output) as process:
                await_waiting_or_ended(daemon, far, process)
                at_once(
                    turn,
                    lambda n=turn: ask(daemon, "POST", f"/v1/sockets/{near}/send", {"text": f"{n:04}"}),
                    process,
                )
                if process.wait(BOUND_S) == 0:
                    delivered.append(output.read_text())
                else:
                    completed += 1
            await_waiting(daemon, far, begun=False)
        unread = drain(daemon, far)
    seen = delivered + unread
    assert seen == sorted(set(seen))
    assert ROUNDS - completed <= len(seen) <= ROUNDS


def at_once(turn: int, arrive: Any, process: subprocess.Popen[bytes]) -> None:
    """Kill before, after, or not at all: the turn says which; the daemon meets both at any distance."""
    if turn % 3 == 0:
        process.send_signal(signal.SIGKILL)
        arrive()
    else:
        arrive()
        if turn % 3 == 1:
            process.send_signal(signal.SIGKILL)


def await_waiting_or_ended(daemon: DaemonProcess, fd: int, process: subprocess.Popen[bytes]) -> None:
    """Block until the process waits, or has found what an earlier one left."""
    deadline = time.monotonic() + BOUND_S
    while not waits_on(daemon, fd) and process.poll() is None:
        assert time.monotonic() < deadline


def drain(daemon: DaemonProcess, fd: int) -> list[str]:
    """Receive what is left."""
    answer = daemon.request(
        "POST", f"/v1/sockets/{fd}/recv", {"timeout": 0, "max": ROUNDS}, {"Accept": "application/json"}
    )
    if answer.status == 409:
        assert answer.json()["errno"] == "EAGAIN"
        return []
    return [message["text"] for message in answer.json()["messages"]]
