"""Tokens of a real daemon: made by `socketd token`, read from the file, rotated, ended, and never shown."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon_process import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon_process import DaemonProcess


def token_command(*arguments: str, given: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run ``socketd token``."""
    done = subprocess.run(
        [sys.executable, "-m", "socketd", "token", *arguments],
        input=given,
        env=child_environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


class Guarded:
    """A daemon with a token file."""

    def __init__(self, start: Callable[..., DaemonProcess], file: Path, *flags: str) -> None:
        self.file = file
        self.daemon = start("--tcp", "127.0.0.1:0", "--token-file", str(file), *flags)
        self.daemon.await_log("http://")
        self.port = int(re.search(r"http://127\.0\.0\.1:([0-9]+)", self.daemon.log)[1])

    def ask(self, token: str | None, path: str = "/v1/caller") -> tuple[int, Any]:
        """Ask over TCP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                "GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def reload(self) -> str:
        """Have it read the file again; return its status."""
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.await_notification("RELOADING=1")
        return self.daemon.await_notification("READY=1")["STATUS"]


@pytest.fixture
def guarded(fresh_daemon, tmp_path) -> Callable[..., tuple[Guarded, str]]:
    """Start a daemon that knows one token, of ``ci``; return both."""

    def start(*more: str) -> tuple[Guarded, str]:
        file = tmp_path / "tokens.toml"
        token = token_command("ci", "--append", str(file), *more).stdout.strip()
        return Guarded(fresh_daemon, file), token

    return start


def test_only_the_right_token_is_let_in(guarded):
    daemon, token = guarded()
    for wrong in (None, "", "wrong", token[:-1], token + "x", token.upper()):
        assert daemon.ask(wrong)[0] == 401
    digest = re.search('sha256 = "(.*)"', daemon.file.read_text())[1]
    assert daemon.ask(digest)[0] == 401
    status, found = daemon.ask(token)
    assert (status, found["token"], found["uid"], found["groups"]) == (200, "ci", None, [])
    assert token not in daemon.daemon.stop()


def test_token_that_is_over_is_refused_and_says_so(guarded):
    daemon, token = guarded("--expires", "12h")
    assert daemon.ask(token)[0] == 200
    text = re.sub("expires = .*", "expires = 2020-01-01", daemon.file.read_text())
    daemon.file.write_text(text)
    assert daemon.ask(token)[0] == 200  # what was read counts until it is read again
    daemon.reload()
    status, problem = daemon.ask(token)
    assert (status, problem["detail"]) == (401, "the token has expired")


def test_token_ends_while_the_daemon_runs(guarded):
    daemon, token = guarded()
    soon = time.time() + 3
    text = time.strftime("expires = %Y-%m-%dT%H:%M:%SZ\n", time.gmtime(soon))
    daemon.file.write_text(daemon.file.read_text() + text)
    daemon.reload()
    deadline = time.monotonic() + 30
    while daemon.ask(token)[0] == 200:
        assert time.monotonic() < deadline
    assert time.time() >= soon - 1


def test_rotation_lets_both_in_and_then_only_the_new_one(guarded):
    daemon, old = guarded()
    before = daemon.file.read_text()
    new = token_command("ci", "--append", str(daemon.file)).stdout.strip()
    assert daemon.ask(new)[0] == 401
    daemon.reload()
    assert [daemon.ask(token)[1]["token"] for token in (old, new)] == ["ci", "ci"]
    daemon.file.write_text(daemon.file.read_text().removeprefix(before))
    daemon.reload()
    assert [daemon.ask(token)[0] for token in (old, new)] == [401, 200]


@pytest.mark.parametrize(
    "broken", ["", "[[token]]\n", "[[token]]\nname = 'ci'\nsha256 = 'ab", "sesame-and-more\n"]
)
def test_broken_file_changes_nothing_and_is_said(guarded, broken):
    daemon, token = guarded()
    good = daemon.file.read_text()
    daemon.file.write_text(broken)
    assert f"not reloaded: token_file {daemon.file}: " in daemon.reload()
    assert daemon.ask(token)[0] == 200
    daemon.file.write_text(good)
    assert "not reloaded" not in daemon.reload()


def test_next_worker_knows_what_was_reloaded_not_what_is_broken_by_then(guarded):
    daemon, old = guarded()
    new = token_command("ci", "--append", str(daemon.file)).stdout.strip()
    daemon.reload()
    daemon.file.write_text("broken")
    os.kill(daemon.daemon.pid, signal.SIGKILL)
    daemon.daemon.await_notification("READY=1")
    assert [daemon.ask(token)[0] for token in (old, new)] == [200, 200]


@pytest.mark.parametrize(("mode", "says"), [(0o622, "others may write it"), (0o602, "others may write it")])
def test_file_that_others_may_write_is_refused(fresh_daemon, tmp_path, mode, says):
    file = tmp_path / "tokens.toml"
    token_command("ci", "--append", str(file))
    file.chmod(mode)
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", "--token-file", str(file), ready=False)
    assert says in daemon.check_end(2)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_file_of_another_user_is_refused(fresh_daemon, tmp_path):
    file = tmp_path / "tokens.toml"
    token_command("ci", "--append", str(file))
    os.chown(file, 65534, 65534)
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", "--token-file", str(file), ready=False)
    assert "it belongs to uid 65534" in daemon.check_end(2)


def test_file_that_every_user_may_read_is_warned_of(guarded):
    daemon, _ = guarded()
    daemon.file.chmod(0o644)
    daemon.reload()
    assert f"token_file {daemon.file}: every user may read it (chmod o-r)" in daemon.daemon.log


def test_another_tokens_socket_is_not_there(guarded):
    daemon, token = guarded()
    made = daemon.daemon.request("POST", "/v1/sockets", {"family": "inet", "type": "stream"}).json()
    status, problem = daemon.ask(token, f"/v1/sockets/{made['fd']}")
    assert (status, problem["errno"]) == (404, "EBADF")


def test_a_token_of_before_is_converted(fresh_daemon, tmp_path):
    (tmp_path / "token").write_text("a-token-of-an-older-version\n")
    file = tmp_path / "tokens.toml"
    file.write_text(token_command("ci", "--stdin", given="a-token-of-an-older-version\n").stdout)
    assert Guarded(fresh_daemon, file).ask("a-token-of-an-older-version")[1]["token"] == "ci"


def test_command_shows_the_token_once_and_writes_its_hash():
    done = token_command("ci")
    token = re.search(r"^  (sd_\S+)$", done.stderr, re.MULTILINE)[1]
    assert token not in done.stdout
    assert done.stdout.startswith('[[token]]\nname = "ci"\nsha256 = "')


def test_command_appends_and_keeps_what_is_there(tmp_path):
    file = tmp_path / "tokens.toml"
    token_command("a", "--append", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text()
    token_command("b", "--append", str(file))
    assert file.read_text().startswith(first)
    assert re.findall('name = "(.*)"', file.read_text()) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (("",), "", "is no name of a token"),
        (("a\nb",), "", "is no name of a token"),
        (("ci", "--expires", "soon"), "", "--expires: 'soon' is no day"),
        (("ci", "--expires", "2030-01-01T00:00"), "", "is no day"),
        (("ci", "--expires", "2020-01-01"), "", "is over"),
        (("ci", "--expires", "0d"), "", "is over"),
        (("ci", "--stdin"), "two words", "is no token"),
        (("ci", "--stdin"), "sesame", "could be guessed"),
        (("ci", "--append", "/dev/null"), "", "no ordinary file"),
        (("ci", "--append", "/dev/null/x"), "", "Not a directory"),
    ],
)
def test_command_refuses_in_one_line(arguments, given, says):
    done = token_command(*arguments, given=given, status=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_command_adds_to_no_broken_file(tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text("[[token]\n")
    assert "not TOML" in token_command("ci", "--append", str(file), status=2).stderr
    assert file.read_text() == "[[token]\n"
