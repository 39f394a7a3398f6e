"""``socketctl`` while the daemon restarts, and its commands for names, on the stand-in."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client.cli.direct import Direct
from socketd_client.cli.failures import CommandError, LostError
from socketd_client.cli.wanted import take
from socketd_client.errors import ApiError
from tests.client.http_stand_in import SERVICE, Reply, Seen, problem, serving, socket_json
from tests.client.restarting import LEAVING, Play
from tests.client.test_names import FAILING, PLAIN
from tests.socketctl_process import socketctl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DESCRIPTOR = {"Socket-Descriptors": "1"}
FEW_S = 20.0
HARMLESS = [("GET", "/v1/sockets/64", None), ("PUT", "/v1/names/web", {}), ("POST", "/v1/sockets/take", {})]
HARMFUL = [("POST", "/v1/sockets", {}), ("POST", "/v1/sockets/take", {"release": True})]


def handing_over(sock: socket.socket, reply: Reply | None) -> Callable[[Seen], Reply | None]:
    """Send the descriptor, and then what follows."""

    def act(seen: Seen) -> Reply | None:
        socket.send_fds(seen.connection, [b"HTTP/1.1 100 Continue\r\n\r\n"], [sock.fileno()])
        return reply

    return act


@pytest.mark.parametrize(("method", "path", "body"), HARMLESS)
def test_what_is_harmless_is_sent_again(
    tmp_path: Path, method: str, path: str, body: dict[str, object] | None
):
    play = Play(SERVICE, None, None, Reply({}))
    with serving(play, tmp_path / "s"), Direct(str(tmp_path / "s"), FEW_S) as direct:
        assert direct.ask(method, path, body).status == 200
    assert len(play.calls) == 3


@pytest.mark.parametrize(("method", "path", "body"), HARMFUL)
def test_what_may_have_been_done_is_not_sent_again(
    tmp_path: Path, method: str, path: str, body: dict[str, object]
):
    play = Play(SERVICE, None, Reply({}))
    with (
        serving(play, tmp_path / "s"),
        Direct(str(tmp_path / "s"), FEW_S) as direct,
        pytest.raises(LostError),
    ):
        direct.ask(method, path, body)
    assert len(play.calls) == 1


def test_nothing_is_sent_a_fifth_time(tmp_path: Path):
    play = Play(SERVICE, None)
    with (
        serving(play, tmp_path / "s"),
        Direct(str(tmp_path / "s"), FEW_S) as direct,
        pytest.raises(LostError),
    ):
        direct.ask("GET", "/v1/sockets/64")
    assert len(play.calls) == 4


@pytest.mark.parametrize(("method", "path", "body"), [HARMLESS[0], *HARMFUL])
def test_daemon_that_leaves_is_asked_again(
    tmp_path: Path, method: str, path: str, body: dict[str, object] | None
):
    play = Play(SERVICE, LEAVING, Reply({}))
    with serving(play, tmp_path / "s"), Direct(str(tmp_path / "s"), FEW_S) as direct:
        assert direct.ask(method, path, body).status == 200
    assert len(play.calls) == 2


def test_daemon_that_leaves_for_longer_than_we_wait_is_the_error(tmp_path: Path):
    long = Reply(LEAVING.body, 503, {**LEAVING.headers, "Retry-After": "60"})
    with (
        serving(Play(SERVICE, long), tmp_path / "s"),
        Direct(str(tmp_path / "s"), FEW_S) as direct,
        pytest.raises(ApiError) as caught,
    ):
        direct.ask("GET", "/v1/sockets/64")
    assert caught.value.code == "shutting_down"


def test_descriptor_of_a_broken_answer_does_not_count_for_the_next(tmp_path: Path):
    with socket.socket() as mine:
        whole = handing_over(mine, Reply({}, headers=DESCRIPTOR))
        play = Play(SERVICE, handing_over(mine, None), whole)
        with serving(play, tmp_path / "s"), Direct(str(tmp_path / "s"), FEW_S) as direct:
            (fd,) = take(direct, ["64"], blocking=False)
            os.close(fd)


def test_released_socket_that_came_is_kept_although_the_answer_did_not(tmp_path: Path):
    with socket.socket() as mine:
        play = Play(SERVICE, handing_over(mine, None))
        with serving(play, tmp_path / "s"), Direct(str(tmp_path / "s"), FEW_S) as direct:
            (fd,) = take(direct, ["64"], blocking=False, release=True)
        try:
            assert os.path.sameopenfile(fd, mine.fileno())
        finally:
            os.close(fd)
    assert len(play.calls) == 1


def test_release_of_which_nothing_came_is_lost(tmp_path: Path):
    with (
        serving(Play(SERVICE, None), tmp_path / "s"),
        Direct(str(tmp_path / "s"), FEW_S) as direct,
        pytest.raises(CommandError, match="ended the connection"),
    ):
        take(direct, ["64"], blocking=False, release=True)


def test_persist_goes_with_the_specification(tmp_path: Path):
    play = Play(SERVICE, Reply(socket_json(name="web", persist="boot")))
    with serving(play, tmp_path / "s") as server:
        done = socketctl(server.url, "ensure", "web", "--listen", "127.0.0.1:0", "--persist", "boot")
        assert (done.returncode, done.stdout.split()) == (0, ["64", "web", "created"])
        socketctl(server.url, "ensure", "web", "--persist", "no")
        done = socketctl(server.url, "create", "--persist", "always")
    assert (done.returncode, "boot" in done.stderr) == (2, True)
    assert [seen.json()["persist"] for seen in play.calls] == ["boot", False]


def test_ls_tells_who_has_it_where_that_is_wanted(tmp_path: Path):
    held = Reply({"sockets": [socket_json(kept="systemd", persist="boot")]})
    with serving(lambda _: held, tmp_path / "s") as server:
        assert "KEPT" not in socketctl(server.url, "ls").stdout
        heading, row = socketctl(server.url, "ls", "--wide").stdout.splitlines()
    assert heading.split()[-2:] == ["KEPT", "PERSIST"]
    assert row.split()[-2:] == ["systemd", "boot"]


def test_names_are_a_table_names_or_json(tmp_path: Path):
    with serving(lambda _: Reply({"names": [FAILING, PLAIN]}), tmp_path / "s") as server:
        lines = socketctl(server.url, "names", "list").stdout.splitlines()
        quiet = socketctl(server.url, "names", "list", "-q").stdout
        whole = json.loads(socketctl(server.url, "names", "list", "--json").stdout)
    assert [line.split() for line in lines] == [
        ["NAME", "FD", "PERSIST", "FAILURE", "RETRY", "OWNER"],
        ["web", "-", "boot", "EADDRINUSE", "2026-11-22T16:29:00Z", "ann"],
        ["dns", "64", "-", "-", "-", "-"],
    ]
    assert (quiet, whole) == ("web\ndns\n", [FAILING, PLAIN])


def test_one_name_is_shown_or_deleted(tmp_path: Path):
    def answer(seen: Seen) -> Reply:
        asked.append(f"{seen.method} {seen.path}")
        if seen.path.endswith("/none"):
            return problem("ENOENT", 404, detail="no such name")
        return Reply(b"", 204) if seen.method == "DELETE" else Reply(FAILING)

    asked: list[str] = []
    with serving(answer, tmp_path / "s") as server:
        shown = socketctl(server.url, "names", "show", "web").stdout
        done = socketctl(server.url, "names", "delete", "web", "none", "never")
    assert dict(line.split() for line in shown.splitlines()) == {
        "name": "web",
        "persist": "boot",
        "failure": "EADDRINUSE",
        "retry": "2026-11-22T16:29:00Z",
        "owner": "ann",
    }
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "socketctl: none: no such name (ENOENT)")
    assert asked[1:] == ["DELETE /v1/names/web", "DELETE /v1/names/none"]
