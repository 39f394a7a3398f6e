"""The journal of a real daemon: followed by curl, written by the audit, and never with what was sent."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import running_daemon
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon_process import DaemonProcess

MARK = "s3cr3t-mark"
RAW = MARK.encode()
PATIENCE_S = 60.0
GENTLY_S = 30.0  # the daemon's graceful time, which is not to be used up
SSE = ("-H", "Accept: text/event-stream")


@contextmanager
def curl(daemon: DaemonProcess, *arguments: str, query: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Follow with ``curl -N``; the greeting has come when the body begins."""
    command = ["curl", "-sSN", "--unix-socket", daemon.socket_path, *arguments]
    with subprocess.Popen(
        [*command, f"http://localhost/v1/events{query}"], stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    """Read one line that comes in time."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE_S)[0]
    return process.stdout.readline()


def audited(path: Path, count: int) -> list[dict[str, Any]]:
    """Read the lines of an audit, when there are so many."""
    await_true(lambda: path.read_text().count("\n") >= count, path.read_text)
    return [json.loads(line) for line in path.read_text().splitlines()]


def figures(daemon: DaemonProcess) -> dict[str, str]:
    text = daemon.request("GET", "/metrics").body.decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_curl_follows_and_is_told_at_once(daemon: DaemonProcess):
    with curl(daemon) as process:
        assert json.loads(line_of(process))["event"] == "heartbeat"
        daemon.request("POST", "/v1/sockets", {"name": "followed"})
        said = json.loads(line_of(process))
        assert (said["event"], said["socket"]["name"]) == ("created", "followed")


def test_a_reader_that_has_left_is_forgotten(daemon: DaemonProcess):
    with curl(daemon, *SSE) as process:
        line_of(process)
        assert figures(daemon)["socketd_followers"] == "1"
    await_true(lambda: figures(daemon)["socketd_followers"] == "0", lambda: str(figures(daemon)))


def test_the_end_of_the_daemon_is_the_end_of_the_stream(fresh_daemon):
    daemon = fresh_daemon()
    with curl(daemon) as process:
        line_of(process)
        daemon.stop()
        assert process.wait(PATIENCE_S) == 0  # the last chunk came: curl tells a stream that breaks off


def test_a_reader_that_takes_nothing_neither_costs_memory_nor_holds_up_the_end(fresh_daemon):
    daemon = fresh_daemon("--graceful-timeout-s", str(GENTLY_S))
    with socket.socket(socket.AF_UNIX) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        reader.connect(daemon.socket_path)
        reader.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert reader.recv(1) == b"H"
        before = int(figures(daemon)["process_resident_memory_bytes"])
        for _ in range(20):
            made = daemon.request("POST", "/v1/sockets", {"count": 500}).json()["sockets"]
            assert len(made) == 500
            for one in made[::100]:
                assert daemon.request("DELETE", f"/v1/sockets/{one['fd']}").status == 204
        assert int(figures(daemon)["process_resident_memory_bytes"]) - before < 200 * 1024 * 1024
        log = daemon.stop()
        assert "cut off" not in log


def test_a_slow_reader_learns_what_it_has_missed(fresh_daemon):
    daemon = fresh_daemon()
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(daemon.socket_path)
        reader.sendall(b"GET /v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        reader.settimeout(PATIENCE_S)
        assert reader.recv(1) == b"H"
        for _ in range(10):
            daemon.request("POST", "/v1/sockets", {"count": 1000})
        text = b""
        while b'"gap"' not in text:
            piece = reader.recv(1 << 20)
            assert piece
            text += piece


def test_every_change_is_a_line_with_who_and_what(fresh_daemon, tmp_path: Path):
    daemon = fresh_daemon("--audit", str(tmp_path / "audit"))
    daemon.request("POST", "/v1/sockets", {"name": "web", "bind": "127.0.0.1:0", "listen": True})
    daemon.request("POST", "/v1/sockets/web/listen", {"backlog": 1}, {"X-Request-Id": "the-id"})
    daemon.request("DELETE", "/v1/sockets/web")
    lines = audited(tmp_path / "audit", 5)
    assert [line["event"] for line in lines] == ["created", "bound", "listening", "listening", "closed"]
    assert lines[3]["request_id"] == "the-id"
    for line in lines:
        assert line.keys() >= {"time", "sequence", "result", "uid", "pid", "via", "fd", "inode", "cookie"}
        assert (line["uid"], line["pid"], line["name"]) == (os.getuid(), os.getpid(), "web")
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0


def test_the_audit_goes_to_stderr_with_the_log(fresh_daemon):
    daemon = fresh_daemon(environ={"SOCKETD_AUDIT": "stderr"})
    daemon.request("POST", "/v1/sockets", {"name": "logged"})
    daemon.await_log('"name":"logged"')
    (line,) = [line for line in daemon.log.splitlines() if line.startswith("{")]
    assert json.loads(line)["event"] == "created"


def test_what_the_end_closes_is_audited(fresh_daemon, tmp_path: Path):
    daemon = fresh_daemon("--audit", str(tmp_path / "audit"))
    daemon.request("POST", "/v1/socketpairs")
    daemon.stop()
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["created", "created", "closed", "closed"]
    assert [line["via"] for line in lines] == ["unix", "unix", "daemon", "daemon"]


def test_a_full_disk_stops_nobody_and_is_said(fresh_daemon, tmp_path: Path):
    file = tmp_path / "socketd.toml"
    file.write_text('audit = "/dev/full"\n')
    daemon = fresh_daemon("--config", str(file))
    assert daemon.request("POST", "/v1/sockets", {"count": 100}).status == 201
    daemon.await_log("the audit cannot be written: No space left on device")
    await_true(
        lambda: figures(daemon)["socketd_audit_lost_lines_total"] == "100", lambda: str(figures(daemon))
    )
    file.write_text(f'audit = "{tmp_path / "audit"}"\n')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_log("reloaded: audit changed")
    daemon.request("POST", "/v1/sockets", {})
    lost, created = audited(tmp_path / "audit", 2)
    assert (lost["event"], lost["lines"], created["event"]) == ("lost", 100, "created")


def test_a_rotated_file_is_opened_anew_at_a_reload(fresh_daemon, tmp_path: Path):
    path = tmp_path / "audit"
    daemon = fresh_daemon("--audit", str(path))
    daemon.request("POST", "/v1/sockets", {"name": "old"})
    audited(path, 1)
    path.rename(tmp_path / "audit.1")
    daemon.process.send_signal(signal.SIGHUP)
    await_true(path.exists, lambda: daemon.log)
    daemon.request("POST", "/v1/sockets", {"name": "new"})
    assert [line["name"] for line in audited(path, 1)] == ["new"]
    assert [line["name"] for line in audited(tmp_path / "audit.1", 1)] == ["old"]


def test_an_audit_that_cannot_be_opened_stops_the_start(fresh_daemon, tmp_path: Path):
    daemon = fresh_daemon("--audit", str(tmp_path / "not" / "there"), ready=False)
    assert daemon.process.wait(PATIENCE_S) != 0
    assert "No such file or directory" in daemon.log
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("path", ["audit.log", "Off", "./x"])
def test_a_word_that_is_no_path_is_refused(fresh_daemon, path: str):
    daemon = fresh_daemon("--audit", path, ready=False)
    assert daemon.process.wait(PATIENCE_S) != 0
    assert "absolute path" in daemon.log


def test_neither_what_is_sent_nor_a_token_is_ever_told(tmp_path: Path):
    """Marked bytes go through every verb that carries some, and are in neither the events nor the audit."""
    flags = ("--audit", str(tmp_path / "audit"), "--tcp", "127.0.0.1:0", "--token", MARK)
    with running_daemon(tmp_path, *flags) as daemon, ExitStack() as stack:
        process = stack.enter_context(curl(daemon))
        line_of(process)
        carry(daemon)
        ask_by_token(daemon)
        daemon.request("POST", "/v1/sockets", {"name": "last"})
        followed, deadline = b"", time.monotonic() + PATIENCE_S
        while b'"last"' not in followed:
            assert time.monotonic() < deadline
            followed += line_of(process)
        kept = daemon.request("GET", "/v1/events?after=0&timeout=0").body
        metrics = daemon.request("GET", "/metrics").body
        await_true(lambda: '"last"' in (tmp_path / "audit").read_text(), lambda: "no audit")
        log = daemon.log.replace(f"Bearer {MARK}", "")
    audit = (tmp_path / "audit").read_bytes()
    encoded = base64.b64encode(RAW)
    for text in (followed, kept, metrics, audit):
        assert text
        assert RAW not in text
        assert encoded not in text
    assert "Traceback" not in log


def carry(daemon: DaemonProcess) -> None:
    """Send the marked bytes through everything that takes bytes, well and badly."""
    pair = daemon.request("POST", "/v1/socketpairs", {"type": "dgram"}).json()["sockets"]
    left, right = (one["fd"] for one in pair)
    octets = {"Content-Type": "application/octet-stream"}
    datagrams = {"messages": [{"text": MARK}, {"base64": base64.b64encode(RAW).decode()}]}
    daemon.request("POST", f"/v1/sockets/{left}/send", RAW, octets)
    daemon.request("POST", f"/v1/sockets/{left}/send", datagrams)
    daemon.request("POST", f"/v1/sockets/{left}/send", {"text": MARK, "to": "@nobody"})
    assert RAW in daemon.request("POST", f"/v1/sockets/{right}/recv", {"size": 100}).body
    daemon.request("POST", "/v1/sockets/none/send", RAW, octets)
    for value in (MARK, base64.b64encode(RAW).decode(), {"base64": base64.b64encode(RAW).decode()}):
        for option in ("TCP_CONGESTION", "SO_BINDTODEVICE", "TCP_MD5SIG", "IP_OPTIONS", "SO_KEEPALIVE"):
            made = daemon.request("POST", "/v1/sockets", {}).json()["fd"]
            daemon.request("PUT", f"/v1/sockets/{made}/options/{option}", {"value": value})
            daemon.request("POST", "/v1/sockets", {"options": {option: value}})
            daemon.request("DELETE", f"/v1/sockets/{made}")
    daemon.request("POST", "/v1/sockets", {}, {"Idempotency-Key": MARK, "Authorization": f"Bearer {MARK}"})
    daemon.request("DELETE", f"/v1/sockets/{left}")


def ask_by_token(daemon: DaemonProcess) -> None:
    """Make and refuse something over TCP."""
    url = next(word.rstrip(",") for word in daemon.log.split() if word.startswith("http://127.0.0.1:"))
    for token in (MARK, MARK + "x"):
        command = ["curl", "-sS", "-H", f"Authorization: Bearer {token}", "--json", "{}", f"{url}/v1/sockets"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
