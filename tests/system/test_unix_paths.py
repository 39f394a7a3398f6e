"""Socket files of a real daemon: their mode and group, whom they let in, and how they go."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests.swapping import swapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

ANN, BOB, TEAM = 31001, 31002, 32001
ROUNDS = 100
POLICY = """
version = 1
[[rule]]
name = "ann"
uid = [{ann}]
families = ["unix"]
types = ["stream", "dgram"]
bind = ["unix:{folder}/granted/", "unix:{folder}/made/"]
connect = ["unix:{folder}/granted/"]
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root asks as somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that other users may pass; pytest's own may only be entered by ours."""
    with TemporaryDirectory() as name:
        found = Path(name)
        found.chmod(0o711)
        yield found


@pytest.fixture
def granted(folder: Path) -> Path:
    """Give the folder that ``public`` grants to Ann."""
    found = folder / "granted"
    found.mkdir()
    found.chmod(0o755)
    return found


@pytest.fixture
def public(folder: Path, granted: Path, fresh_daemon: Callable[..., DaemonProcess]) -> DaemonProcess:
    """Start a daemon that every user may ask, and Ann may have sockets of."""
    del granted
    policy = folder / "policy.toml"
    policy.write_text(POLICY.format(ann=ANN, folder=folder))
    return fresh_daemon("--socket-mode", "0666", "--policy", str(policy), folder=folder)


def bound(path: Path, **access: object) -> dict[str, Any]:
    return {"bind": {"path": str(path), **access}, "listen": True}


def ask(daemon: DaemonProcess, method: str, where: str, body: object = None) -> tuple[int, Any]:
    answer = daemon.request(method, f"/v1/{where}", body)
    return answer.status, answer.json() if answer.body else None


def access_of(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_gid


def as_user(uid: int, groups: list[int], act: Callable[[], Any]) -> Any:
    """Return what ``act`` gives in a process of another user; it is to be JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writing, json.dumps(act()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return json.loads(told)


def comes_in(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as near:
        try:
            near.connect(str(path))
        except PermissionError:
            return False
    return True


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(
            ("mode", value)
            for value in (660, 0o660, "66", "0888", "04755", "01777", "u=rw", "0o660", "", None)
        ),
        *(("group", value) for value in ("", True, -1, 2**32 - 1, 1.5, ["a"], None)),
    ],
)
def test_what_is_no_mode_or_group_is_422_and_makes_nothing(daemon, folder, member, value):
    status, problem = ask(daemon, "POST", "sockets", bound(folder / "x.sock", **{member: value}))
    assert (status, list(problem["members"])) == (422, [f"bind.{member}"])
    assert list(folder.iterdir()) == []


def test_a_group_that_is_not_there_is_422_and_makes_nothing(daemon, folder):
    status, problem = ask(daemon, "POST", "sockets", bound(folder / "x.sock", group="no-such-group"))
    assert (status, problem["detail"]) == (422, "there is no group 'no-such-group'")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", [{"abstract": "x"}, {"unnamed": True}])
def test_only_a_path_has_a_mode(daemon, address):
    status, problem = ask(daemon, "POST", "sockets", {"bind": {**address, "mode": "0600"}})
    assert (status, list(problem["members"])) == (422, ["bind.mode"])
    assert (
        ask(daemon, "POST", "sockets", {"bind": {"port": 0, "host": "127.0.0.1", "mode": "0600"}})[0] == 422
    )


def test_who_connects_or_sends_makes_no_file_and_gives_no_mode(daemon, folder):
    address = {"path": str(folder / "x.sock"), "mode": "0600"}
    _, made = ask(daemon, "POST", "sockets", {"family": "unix", "type": "dgram"})
    where = f"sockets/{made['fd']}"
    assert ask(daemon, "POST", "sockets", {"connect": address})[0] == 422
    assert ask(daemon, "POST", f"{where}/connect", {"address": address})[0] == 422
    assert ask(daemon, "POST", f"{where}/send", {"text": "x", "to": address})[0] == 422


@pytest.mark.parametrize("path", ["x.sock", "./x.sock", "../x.sock", ""])
def test_a_relative_path_is_422(daemon, path):
    status, problem = ask(daemon, "POST", "sockets", {"bind": {"path": path, "mode": "0600"}})
    assert (status, problem["code"]) == (422, "invalid_request")


@as_root
def test_a_group_that_the_caller_is_not_in_is_403_and_makes_nothing(public, granted):
    path = granted / "x.sock"
    status, problem = as_user(ANN, [], lambda: ask(public, "POST", "sockets", bound(path, group=TEAM)))
    assert (status, problem["errno"], problem["detail"]) == (403, "EPERM", f"you are not in the group {TEAM}")
    assert not path.exists()


@as_root
def test_a_group_of_the_callers_own_comes_in_and_nobody_else(public, granted):
    path = granted / "x.sock"
    body = bound(path, mode="0660", group=TEAM)
    status, made = as_user(ANN, [TEAM], lambda: ask(public, "POST", "sockets", body))
    assert (status, made["local"]["path"]) == (201, str(path))
    assert access_of(path) == (0o660, TEAM)
    assert as_user(BOB, [TEAM], lambda: comes_in(path))
    assert not as_user(BOB, [], lambda: comes_in(path))


def test_bind_gives_the_mode_too_and_the_socket_keeps_its_name(daemon, folder):
    path = folder / "x.sock"
    _, made = ask(daemon, "POST", "sockets", {"family": "unix"})
    body = {"address": {"path": str(path), "mode": "666"}}
    status, shown = ask(daemon, "POST", f"sockets/{made['fd']}/bind", body)
    assert (status, shown["local"]) == (200, {"family": "unix", "text": str(path), "path": str(path)})
    assert access_of(path)[0] == 0o666


def test_a_mode_that_is_not_there_any_more_differs(daemon, folder):
    path = folder / "x.sock"
    assert ask(daemon, "PUT", "names/moded", bound(path, mode="0640"))[0] == 201
    assert ask(daemon, "PUT", "names/moded", bound(path, mode="0640"))[0] == 200
    assert ask(daemon, "PUT", "names/moded", bound(path))[0] == 200
    status, problem = ask(daemon, "PUT", "names/moded", bound(path, mode="0660"))
    assert (status, list(problem["members"])) == (409, ["bind"])
    path.chmod(0o600)
    assert ask(daemon, "PUT", "names/moded", bound(path, mode="0640"))[0] == 409
    path.unlink()
    assert ask(daemon, "PUT", "names/moded", bound(path, mode="0600"))[0] == 409


def test_the_file_goes_with_its_socket_and_what_took_its_place_stays(daemon, folder):
    for path in (folder / "ours", folder / "replaced"):
        assert ask(daemon, "POST", "sockets", {**bound(path, mode="0600"), "name": path.name})[0] == 201
    (folder / "replaced").unlink()
    (folder / "replaced").write_text("precious")
    for name in ("ours", "replaced"):
        assert ask(daemon, "DELETE", f"sockets/{name}")[0] == 204
    assert [(each.name, each.read_text()) for each in folder.iterdir()] == [("replaced", "precious")]


def test_what_is_promised_has_its_mode_again(fresh_daemon, folder, tmp_path):
    path, state = folder / "x.sock", str(tmp_path / "state")
    first = fresh_daemon("--state-directory", state)
    body = {**bound(path, mode="0640"), "persist": "boot"}
    assert ask(first, "PUT", "names/promised", body)[0] == 201
    first.stop()
    path.unlink(missing_ok=True)
    second = fresh_daemon("--state-directory", state)
    assert ask(second, "PUT", "names/promised", body)[0] == 200
    assert access_of(path)[0] == 0o640


# --- who is granted a folder ---


def made_by_ann(daemon: DaemonProcess, path: object) -> int:
    body = {"bind": str(path)}
    return as_user(ANN, [], lambda: ask(daemon, "POST", "sockets", body)[0])


def sent_by_ann(daemon: DaemonProcess, path: object) -> int:
    def act() -> int:
        _, made = ask(daemon, "POST", "sockets", {"family": "unix", "type": "dgram"})
        body = {"text": "hello", "to": str(path)}
        status, _ = ask(daemon, "POST", f"sockets/{made['fd']}/send", body)
        assert ask(daemon, "POST", f"sockets/{made['fd']}/connect", {"address": str(path)})[0] == status
        ask(daemon, "DELETE", f"sockets/{made['fd']}")
        return status

    return as_user(ANN, [], act)


@as_root
@pytest.mark.parametrize(
    "path",
    ["x.sock", "granted/../x.sock", "granted/sub/../../x.sock", "grantedx/x.sock", "granted/link/x.sock"],
)
def test_who_is_granted_a_folder_makes_nothing_outside(public, folder, granted, path):
    (granted / "sub").mkdir()
    (folder / "grantedx").mkdir()
    (granted / "link").symlink_to(folder)
    assert made_by_ann(public, folder / path) == 403
    assert not list(folder.glob("**/x.sock"))


@as_root
def test_who_is_granted_a_folder_sends_and_connects_to_nothing_outside(public, folder, granted):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outer:
        outer.bind(str(folder / "outer.sock"))
        (granted / "link.sock").symlink_to(folder / "outer.sock")
        (granted / "up").symlink_to("..")
        for path in ("granted/link.sock", "granted/up/outer.sock", "granted/../outer.sock", "outer.sock"):
            assert sent_by_ann(public, folder / path) == 403
        with pytest.raises(BlockingIOError):
            outer.recv(10, socket.MSG_DONTWAIT)


@as_root
def test_who_is_granted_a_folder_has_all_of_it(public, granted):
    (granted / "sub").mkdir()
    assert made_by_ann(public, granted / "sub" / "x.sock") == 201
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inner:
        inner.bind(str(granted / "sub" / "inner.sock"))
        assert sent_by_ann(public, granted / "sub" / "inner.sock") == 200
        assert inner.recv(10) == b"hello"


@as_root
def test_a_granted_folder_is_made_for_whom_its_sockets_let_in(public, folder):
    status, _ = as_user(
        ANN, [], lambda: ask(public, "POST", "sockets", bound(folder / "made" / "x", mode="0666"))
    )
    assert status == 201
    assert access_of(folder / "made")[0] == 0o711
    assert as_user(BOB, [], lambda: comes_in(folder / "made" / "x"))


@as_root
def test_a_folder_that_its_owner_swaps_by_a_link_lets_no_file_out(public, folder, granted):
    outside = folder / "outside"
    outside.mkdir()
    (granted / "sub").mkdir()
    os.chown(granted, ANN, -1)
    body = {"bind": str(granted / "sub" / "x.sock")}
    with swapping(granted / "sub", outside, ANN):
        statuses = as_user(ANN, [], lambda: [ask(public, "POST", "sockets", body)[0] for _ in range(ROUNDS)])
    assert set(statuses) <= {403, 422}  # 422: at that moment there was no folder
    assert list(outside.iterdir()) == []
    assert made_by_ann(public, granted / "x.sock") == 201
