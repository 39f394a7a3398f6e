"""A caller binds socket files beneath the folder it was granted, with the access it asks for."""

from __future__ import annotations

import _socket
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from socketd.core import calls
from socketd.core.address import Address, FileAccess, unix_abstract, unix_path, unix_unnamed
from socketd.errors import NotPermittedError
from socketd.service import paths
from tests.unit.service.granted_folders import ROOT, access_of, as_root, bind, granted

__all__ = ["granted"]  # a fixture


@pytest.mark.parametrize("below", ["x.sock", "sub/x.sock", "sub//./x.sock"])
def test_a_path_beneath_is_bound_by_its_own_name(granted: Path, below: str):
    (granted / "sub").mkdir()
    path = f"{granted}/{below}"
    made = bind(path, granted)
    found = Path(path).lstat()
    assert made is not None
    assert (made.path, made.device, made.inode) == (path, found.st_dev, found.st_ino)
    made.remove()
    assert not Path(path).exists()


def test_the_whole_file_system_can_be_granted(granted: Path):
    assert bind(granted / "x.sock", "") is not None


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777, 0])
@pytest.mark.parametrize("confined", [True, False])
def test_the_file_has_the_mode_asked_for_whatever_the_umask(granted: Path, mode: int, confined: bool):  # noqa: FBT001
    path = granted / "x.sock"
    assert bind(path, granted if confined else None, mode=mode) is not None
    assert access_of(path)[0] == mode


@as_root
@pytest.mark.parametrize("group", [12345, "daemon"])
def test_the_file_has_the_group_asked_for(granted: Path, group: int | str):
    assert bind(granted / "x.sock", granted, mode=0o660, group=group) is not None
    mode, gid = access_of(granted / "x.sock")
    assert mode == 0o660
    assert gid == (12345 if group == 12345 else 1)


def test_until_its_group_is_set_the_file_is_its_owners_alone(granted: Path):
    seen = []

    class Watched(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            seen.append(access_of(Path(address))[0])

    with closing(Watched(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        calls.bind(sock, paths.to_bind(wanted, ROOT, None))
    assert seen[0] & 0o077 == 0
    assert access_of(granted / "x.sock")[0] == 0o666


@pytest.mark.parametrize("replacement", ["file", "link", "hard link"])
def test_what_is_put_in_the_files_place_is_refused_and_left_alone(granted: Path, replacement: str):
    precious = granted.parent / "precious"
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as theirs:
        theirs.bind(str(precious))

    class Replaced(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            Path(address).unlink()
            if replacement == "hard link":
                os.link(precious, address)
            elif replacement == "link":
                Path(address).symlink_to(precious)
            else:
                Path(address).touch()

    before = access_of(precious)
    with closing(Replaced(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        with pytest.raises(NotPermittedError, match="replaced"):
            calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
    assert access_of(precious) == before
    assert (granted / "x.sock").exists()


def test_a_file_that_is_gone_at_once_is_no_error(granted: Path):
    class Removed(_socket.socket):
        def bind(self, address: str, /) -> None:
            super().bind(address)
            Path(address).unlink()

    with closing(Removed(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        wanted = Address(socket.AF_UNIX, str(granted / "x.sock"), FileAccess(0o666))
        assert calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/")) is None


def test_what_is_no_path_and_what_is_not_confined_stays_as_it_is():
    for address in (unix_abstract("x"), unix_unnamed(), Address(socket.AF_INET, ("127.0.0.1", 0))):
        assert paths.to_bind(address, ROOT, "/granted/") is address
        assert paths.to_reach(address, "/granted/") is address
    anywhere = unix_path("/run/x.sock")
    assert paths.to_bind(anywhere, ROOT, None) is anywhere
    assert paths.to_reach(anywhere, None) is anywhere


def test_a_way_makes_no_other_address():
    plain, on_its_way = unix_path("/run/x.sock"), paths.to_reach(unix_path("/run/x.sock"), "/run/")
    assert on_its_way.way is not None
    assert on_its_way == plain
    assert hash(on_its_way) == hash(plain)
