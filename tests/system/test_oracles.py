"""What the API reports is what ss, lsof and /proc say beside it."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

pytestmark = pytest.mark.needs("ss", "lsof")
SS_STATES = {
    "LISTEN": "listening",
    "ESTAB": "connected",
    "CLOSE-WAIT": "peer-closed",
    "FIN-WAIT-2": "shut-write",
    "UNCONN": "bound",
}
INET_LINE = re.compile(
    r"(?P<netid>\S+)\s+(?P<state>\S+)\s+(?P<recv_q>\d+)\s+(?P<send_q>\d+)\s+(?P<local>\S+)\s+(?P<peer>\S+)"
)
UNIX_LINE = re.compile(
    r"(?P<netid>u_\S+)\s+(?P<state>\S+)\s+(?P<recv_q>\d+)\s+(?P<send_q>\d+)\s+"
    r"(?P<local>\S+) (?P<inode>\d+)\s+(?P<peer>\S+) (?P<peer_inode>\d+)"
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def held(
    daemon: DaemonProcess, stack: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Hold sockets of many kinds and states, with bytes in their queues, and list them."""
    path = str(tmp_path_factory.mktemp("s") / "x.sock")
    create(daemon, bind=path, listen={"backlog": 5})
    create(daemon, bind=f"@oracle-{daemon.pid}", type="dgram")
    create(daemon, bind="[::1]:0", listen={"backlog": 9})
    create(daemon, bind={"host": "127.0.0.1", "port": 0}, type="dgram")
    create(daemon, bind="[::1]:0", type="dgram")
    for _ in range(2):
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.connect(path)
    listener = create(daemon, bind="127.0.0.1:0", listen={"backlog": 7})
    address = ("127.0.0.1", listener["local"]["port"])
    peers = [stack.enter_context(socket.create_connection(address)) for _ in range(6)]
    accepted = ask(daemon, "POST", f"/v1/sockets/{listener['fd']}/accept", {"max": 3})["sockets"]
    for nth, peer in enumerate(peers[:3]):
        peer.sendall(b"x" * (nth + 1))
    peers[1].shutdown(socket.SHUT_WR)
    ask(daemon, "POST", f"/v1/sockets/{accepted[2]['fd']}/shutdown", {"how": "write"})
    stack.callback(lambda: [daemon.request("DELETE", f"/v1/sockets/{fd}") for fd in numbers(daemon)])
    return ask(daemon, "GET", "/v1/sockets")["sockets"]


def ask(daemon: DaemonProcess, method: str, path: str, body: Any = None) -> Any:
    answer = daemon.request(method, path, body, {"Accept": "application/json"})
    assert answer.status < 300, answer.body
    return answer.json()


def create(daemon: DaemonProcess, **wanted: Any) -> dict[str, Any]:
    made: dict[str, Any] = ask(daemon, "POST", "/v1/sockets", wanted)
    return made


def numbers(daemon: DaemonProcess) -> list[int]:
    return [one["fd"] for one in ask(daemon, "GET", "/v1/sockets")["sockets"]]


def ss(*arguments: str) -> list[str]:
    command = ["ss", "--no-header", "--oneline", "--numeric", "--extended", "--processes", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.splitlines()


def rows_of(lines: list[str], pattern: re.Pattern[str]) -> Iterator[dict[str, str]]:
    """Read lines of ss, and who has the descriptors."""
    for line in lines:
        if row := pattern.match(line):
            holders = re.findall(r"pid=(\d+),fd=(\d+)", line)
            details = dict(re.findall(r"\b(ino|sk):([0-9a-f]+)", line))
            yield {**row.groupdict(), **details, "holders": " ".join(f"{pid}/{fd}" for pid, fd in holders)}


def test_inet_sockets_are_what_ss_says(daemon, held):
    listing = rows_of(ss("--all", "--tcp", "--udp", "--info"), INET_LINE)
    rows = {int(row["sk"], 16): row for row in listing if "sk" in row}
    ours = [one for one in held if one["family"] in ("inet", "inet6")]
    assert len(ours) == 7
    for one in ours:
        row = rows[one["cookie"]]
        assert int(row["ino"]) == one["inode"]
        assert f"{one['pid']}/{one['fd']}" in row["holders"].split()
        assert row["local"] == one["local"]["text"]
        assert SS_STATES[row["state"]] == one["state"]
        assert row["netid"] == one["protocol"]
        queues = ask(daemon, "GET", f"/v1/sockets/{one['fd']}/info")["queues"]
        if one["listening"]:
            pending, backlog = one["listening"]["pending"], one["listening"]["backlog"]
            assert (pending, backlog) == (int(row["recv_q"]), int(row["send_q"]))
        else:
            assert (queues["unread_bytes"], queues["unsent_bytes"]) == (without_fin(row), int(row["send_q"]))
        if one["peer"]:
            assert row["peer"] == one["peer"]["text"]


def without_fin(row: dict[str, str]) -> int:
    """Give the unread bytes: ss counts a FIN that came as one more (rcv_nxt - copied_seq)."""
    return int(row["recv_q"]) - (row["state"] == "CLOSE-WAIT")


def test_tcp_states_are_all_there(held):
    states = {one["state"] for one in held if one["protocol"] == "tcp"}
    assert states == {"listening", "connected", "peer-closed", "shut-write"}


def test_unix_sockets_are_what_ss_says(held):
    rows = {int(row["inode"]): row for row in rows_of(ss("--all", "--unix"), UNIX_LINE)}
    ours = [one for one in held if one["family"] == "unix"]
    assert len(ours) == 2
    for one in ours:
        row = rows[one["inode"]]
        assert f"{one['pid']}/{one['fd']}" in row["holders"].split()
        assert row["local"] == one["local"]["text"]
        assert SS_STATES[row["state"]] == one["state"]
        if one["listening"]:
            assert one["listening"] == {"backlog": int(row["send_q"]), "pending": int(row["recv_q"])}
            assert one["listening"] == {"backlog": 5, "pending": 2}


def test_numbers_and_inodes_are_what_proc_says(daemon, held):
    assert held[0]["pid"] == daemon.pid
    for one in held:
        assert str(Path(one["proc"]["path"]).readlink()) == one["proc"]["link"] == f"socket:[{one['inode']}]"
        assert one["proc"]["path"] == f"/proc/{daemon.pid}/fd/{one['fd']}"
        detail = ask(daemon, "GET", f"/v1/process/fds/{one['fd']}")
        assert detail["text"] == Path(one["proc"]["fdinfo"]).read_text()
        fdinfo = dict(re.split(r":\s+", line, maxsplit=1) for line in detail["text"].splitlines())
        assert detail["ino"] == int(fdinfo["ino"]) == one["inode"]
        assert (detail["pos"], detail["flags"]) == (int(fdinfo["pos"]), fdinfo["flags"])
        assert {"O_RDWR", "O_CLOEXEC"} <= set(detail["flag_names"])


def test_descriptor_table_is_what_proc_says(daemon, held):
    table = ask(daemon, "GET", "/v1/process/fds")
    folder = Path(f"/proc/{daemon.pid}/fd")
    # Not those below: the connection that asked is one of them, and may be closed at any moment.
    first = held[0]["fd"]
    there = {int(entry.name): str(entry.readlink()) for entry in folder.iterdir() if int(entry.name) >= first}
    told = {row["fd"]: row["link"] for row in table["descriptors"]}
    assert {fd: link for fd, link in told.items() if fd >= first} == there
    assert {row["fd"] for row in table["descriptors"] if row["socket"]} == {one["fd"] for one in held}


def test_process_is_what_proc_says(daemon):
    told = ask(daemon, "GET", "/v1/process")
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert (told["pid"], told["ppid"]) == (int(status["Pid"]), int(status["PPid"]))
    assert (told["uid"], told["gid"]) == (int(status["Uid"].split()[0]), int(status["Gid"].split()[0]))
    limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    soft, hard = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits).groups()
    assert (told["descriptors"]["soft_limit"], told["descriptors"]["hard_limit"]) == (int(soft), int(hard))
    assert told["command"] == Path(f"/proc/{daemon.pid}/cmdline").read_text().rstrip("\0").split("\0")


def test_lsof_sees_the_same_descriptors(daemon, held):
    command = ["lsof", "-n", "-P", "-a", "-p", str(daemon.pid), "-F", "ftinPT"]
    listing = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    rows = {}
    for block in re.split(r"^f", listing, flags=re.MULTILINE)[1:]:
        number, *fields = block.splitlines()
        rows[number] = {field[0] if field[0] != "T" else field[:3]: field[1:] for field in fields}
    for one in held:
        row = rows[str(one["fd"])]
        if one["family"] == "unix":
            assert (row["t"], int(row["i"])) == ("unix", one["inode"])
            assert row["n"].split()[0] == one["local"]["text"]
            continue
        assert row["t"] == {"inet": "IPv4", "inet6": "IPv6"}[one["family"]]
        assert row["P"].lower() == one["protocol"]
        ends = [one["local"]["text"]] + ([one["peer"]["text"]] if one["peer"] else [])
        assert row["n"] == "->".join(ends)
