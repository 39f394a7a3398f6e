"""What does not lie beneath a granted folder is not bound, and leaves no file."""

from __future__ import annotations

import _socket
import os
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from socketd.access.caller import Caller
from socketd.core import calls
from socketd.core.address import Address, FileAccess
from socketd.core.owner import Owner
from socketd.errors import InvalidRequestError, KernelRefusedError, NotPermittedError
from socketd.service import paths
from tests.held import ANN
from tests.unit.service.granted_folders import ROOT, STRANGER, as_root, bind, granted, public, refused

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["granted", "public"]  # fixtures


@pytest.mark.parametrize(
    "path", ["{out}/x", "{in}/../out/x", "{in}/./../../x", "{in}x/y", "/", "{in}/a/../x"]
)
def test_a_path_that_does_not_lie_beneath_is_refused_and_nothing_made(granted: Path, path: str):
    out = granted.parent / "out"
    out.mkdir()
    (granted / "a").mkdir()
    error = refused(path.format_map({"in": granted, "out": out}), granted)
    assert (error.code, error.symbol) == ("not_permitted", "EPERM")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("target", ["/tmp", "..", "real"])
def test_a_link_on_the_way_is_refused_wherever_it_leads(granted: Path, target: str):
    (granted / "real").mkdir()
    (granted / "link").symlink_to(target)
    error = refused(granted / "link" / "x.sock", granted)
    assert (error.code, error.hint) == (
        "not_permitted",
        f"beneath {granted}/ links are not followed; write the path that it leads to",
    )
    assert not (granted / "real" / "x.sock").exists()


def test_a_link_in_the_place_of_the_file_is_in_use_even_if_it_leads_nowhere(granted: Path):
    (granted / "x.sock").symlink_to(granted.parent / "outside")
    assert refused(granted / "x.sock", granted).symbol == "EADDRINUSE"
    assert not (granted.parent / "outside").exists()


def test_a_granted_folder_that_is_a_link_is_refused(granted: Path):
    link = granted.parent / "link"
    link.symlink_to(granted)
    assert "is a link, or no folder" in str(refused(link / "x.sock", link))


@as_root
def test_a_folder_that_another_user_could_replace_is_refused(granted: Path):
    (granted / "sub").mkdir()
    os.chown(granted, STRANGER, -1)
    error = refused(granted / "sub" / "x.sock", granted)
    assert (error.code, f"uid {STRANGER}" in str(error)) == ("not_permitted", True)
    assert bind(granted / "x.sock", granted)


def test_a_folder_that_everybody_may_write_to_is_refused_with_all_that_it_has(granted: Path):
    (granted / "sub").mkdir()
    granted.chmod(0o777)
    assert refused(granted / "sub" / "x.sock", granted).code == "not_permitted"
    assert bind(granted / "x.sock", granted)


def test_a_folder_that_is_missing_is_enoent(granted: Path):
    error = refused(granted / "sub" / "x.sock", granted)
    assert (error.symbol, error.syscall) == ("ENOENT", "bind")
    assert refused(granted / "sub" / "x.sock", None, mode=0o600).symbol == "ENOENT"


def test_a_file_in_the_place_of_a_folder_is_enotdir(granted: Path):
    (granted / "file").touch()
    assert refused(granted / "file" / "x.sock", granted).symbol == "ENOTDIR"


def test_an_unknown_group_is_a_wrong_request():
    for group in ("no-such-group-here", "nul\0", "\ud800"):
        with pytest.raises(InvalidRequestError) as caught:
            paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, group)), ROOT, None)
        assert caught.value.member == "group"


@pytest.mark.parametrize(
    "owner", [Owner(ANN), Owner(token="ci"), Owner(certificate="web1")], ids=["uid", "token", "certificate"]
)
def test_a_group_that_the_caller_is_not_in_is_refused(owner: Owner):
    caller = Caller(owner, None, frozenset({5, ANN}), None, "unix")
    with pytest.raises(NotPermittedError):
        paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, 6)), caller, None)
    assert paths.to_bind(Address(socket.AF_UNIX, "/x", FileAccess(None, 5)), caller, None).way


def test_bind_that_fails_leaves_the_sockets_own_bits_and_no_file(granted: Path):
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        before = os.fstat(sock.fileno()).st_mode
        sock.bind(str(granted / "first"))
        wanted = Address(socket.AF_UNIX, str(granted / "second"), FileAccess(0o600))
        with pytest.raises(KernelRefusedError) as caught:
            calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
        assert caught.value.symbol == "EINVAL"
        assert os.fstat(sock.fileno()).st_mode == before
    assert [each.name for each in granted.iterdir()] == ["first"]


@as_root
def test_what_cannot_be_given_its_group_leaves_no_file(public: Path):
    public.chmod(0o777)
    unprivileged = f"""
import os, _socket, socket
from socketd.access.caller import Caller
from socketd.core.address import Address, FileAccess
from socketd.core.owner import Owner
from socketd.errors import KernelRefusedError
from socketd.service import paths
os.setgroups([]); os.setresgid(1, 1, 1); os.setresuid(1, 1, 1)
caller = Caller(Owner(9), 5, frozenset({{5}}), None, "unix")
wanted = paths.to_bind(Address(socket.AF_UNIX, {str(public / "x")!r}, FileAccess(0o660, 5)), caller, None)
try:
    wanted.way.bind(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), wanted.sockaddr)
except KernelRefusedError as error:
    print(error.symbol, error.syscall, bool(error.hint))
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", unprivileged], env=environ, capture_output=True, check=False)
    assert done.stdout == b"EPERM chown True\n", done.stderr
    assert list(public.iterdir()) == []
