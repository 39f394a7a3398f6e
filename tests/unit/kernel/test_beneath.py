"""What lies beneath a folder is opened by its path from there; links and ways out are refused."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd.kernel import beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTSIDE = "/etc/passwd"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "file").write_text("beneath")
    held = beneath.hold_folder(str(tmp_path))
    yield held
    os.close(held)


def refusal(folder: int, path: str, *, is_folder: bool = False) -> str:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (its errno is looked at)
        os.close(beneath.hold(folder, path, is_folder=is_folder))
    return errno.errorcode[caught.value.errno or 0]


@pytest.mark.parametrize(
    "path", ["..", "deep/..", "deep/../..", "deep/../../x", "/", OUTSIDE, "/proc/self/root"]
)
def test_a_path_that_leaves_the_folder_is_exdev(folder: int, path: str):
    assert refusal(folder, path) == "EXDEV"


@pytest.mark.parametrize("target", [OUTSIDE, "/", "..", "deep/file", "nowhere"])
def test_a_link_at_the_end_is_eloop_wherever_it_leads(folder: int, tmp_path: Path, target: str):
    (tmp_path / "link").symlink_to(target)
    assert refusal(folder, "link") == "ELOOP"


@pytest.mark.parametrize("target", ["/etc", "..", "deep"])
def test_a_link_on_the_way_is_eloop_wherever_it_leads(folder: int, tmp_path: Path, target: str):
    (tmp_path / "link").symlink_to(target)
    assert refusal(folder, "link/file") == "ELOOP"
    assert refusal(folder, "link/", is_folder=True) == "ELOOP"


def test_a_link_of_proc_is_eloop():
    held = beneath.hold_folder("/proc/self/fd")
    try:
        assert refusal(held, str(held)) == "ELOOP"
        assert refusal(held, f"{held}/self") == "ELOOP"
    finally:
        os.close(held)


def test_what_is_not_there_is_enoent_and_a_file_is_no_folder(folder: int):
    assert refusal(folder, "nowhere") == "ENOENT"
    assert refusal(folder, "deep/file/more") == "ENOTDIR"
    assert refusal(folder, "deep/file", is_folder=True) == "ENOTDIR"
    assert refusal(folder, "deep/file/") == "ENOTDIR"
    assert refusal(folder, "deep/file/.") == "ENOTDIR"


def test_a_closed_folder_is_ebadf():
    assert refusal(10**6, "x") == "EBADF"


def test_a_nul_in_a_path_is_a_value_error(folder: int):
    with pytest.raises(ValueError, match="null"):
        beneath.hold(folder, "deep\0/x")


@pytest.mark.parametrize("name", ["link", "link/", "link//"])
def test_a_folder_that_is_a_link_is_enotdir(tmp_path: Path, name: str):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(NotADirectoryError):
        os.close(beneath.hold_folder(f"{tmp_path}/{name}"))


def test_a_link_in_front_of_the_folder_is_followed(tmp_path: Path):
    (tmp_path / "real" / "granted").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    held = beneath.hold_folder(f"{tmp_path}/link/granted/")
    try:
        assert Path(f"/proc/self/fd/{held}").readlink() == tmp_path / "real" / "granted"
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("path", "is_folder", "leads_to"),
    [
        ("deep/file", False, "deep/file"),
        ("deep//./file", False, "deep/file"),
        ("deep/deeper", True, "deep/deeper"),
        ("deep/deeper/", False, "deep/deeper"),
        (".", True, "."),
    ],
)
def test_what_is_beneath_is_held_and_close_on_exec(
    folder: int,
    tmp_path: Path,
    path: str,
    is_folder: bool,  # noqa: FBT001 (a parameter of the test)
    leads_to: str,
):
    held = beneath.hold(folder, path, is_folder=is_folder)
    try:
        assert Path(f"/proc/self/fd/{held}").readlink() == tmp_path / leads_to
        assert not os.get_inheritable(held)
    finally:
        os.close(held)


def test_bytes_that_are_not_utf8_are_a_path(folder: int, tmp_path: Path):
    name = os.fsdecode(b"\xff")
    (tmp_path / name).touch()
    os.close(beneath.hold(folder, name))


def test_a_socket_file_can_be_held_and_connected_to(folder: int, tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as near:
        listener.bind(f"{tmp_path}/deep/x.sock")
        listener.listen()
        held = beneath.hold(folder, "deep/x.sock")
        try:
            shutil.move(tmp_path / "deep", tmp_path / "elsewhere")
            near.connect(f"/proc/self/fd/{held}")
        finally:
            os.close(held)
        assert near.getpeername() == f"{tmp_path}/deep/x.sock"
