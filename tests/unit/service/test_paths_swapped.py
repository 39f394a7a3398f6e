"""A folder that is swapped by a link while it is used lets nothing out."""

from __future__ import annotations

import _socket
import os
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from socketd.core import calls
from socketd.core.address import Address, FileAccess, unix_path
from socketd.errors import SocketdError
from socketd.service import paths
from tests.held import specification
from tests.swapping import swapping
from tests.unit.service.granted_folders import ROOT, STRANGER, as_root, granted, public, sent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.held import Held

__all__ = ["granted", "public"]  # fixtures

ROUNDS = 300
MOST_ROUNDS = 100_000  # of what ends by itself once both processes had their turn


@pytest.mark.parametrize(
    "attacker", [-1, pytest.param(STRANGER, marks=as_root)], ids=["same user", "another user"]
)
def test_a_folder_that_is_swapped_by_a_link_lets_no_file_out(public: Path, attacker: int):
    granted, outside = public / "granted", public / "outside"
    (granted / "sub").mkdir(parents=True)
    outside.mkdir()
    if attacker < 0:
        granted.chmod(0o777)
    else:
        os.chown(granted, attacker, -1)
    path = granted / "sub" / "x.sock"
    with swapping(granted / "sub", outside, attacker):
        for _ in range(ROUNDS):
            with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
                wanted = Address(socket.AF_UNIX, str(path), FileAccess(0o666))
                with pytest.raises(SocketdError) as caught:
                    calls.bind(sock, paths.to_bind(wanted, ROOT, f"{granted}/"))
                assert caught.value.symbol in {"EPERM", "ENOENT"}
    assert list(outside.iterdir()) == []
    assert not path.exists()


def test_the_same_swapping_does_lead_out_whoever_may_go_everywhere(public: Path):
    """Shows that the attack of these tests is one."""
    folder, outside = public / "folder", public / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    path = folder / "sub" / "x.sock"
    with swapping(folder / "sub", outside):
        for _ in range(MOST_ROUNDS):
            with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock, suppress(OSError):
                sock.bind(str(path))
            if any(outside.iterdir()):
                return
    pytest.fail("never outside")


def test_a_folder_that_is_swapped_by_a_link_lets_no_connection_out(
    held: Held, tmp_path_factory: pytest.TempPathFactory, granted: Path
):
    outside = tmp_path_factory.mktemp("outside")
    (granted / "sub").mkdir()
    inner = held.make(specification(kind=socket.SOCK_DGRAM, bind=str(granted / "sub" / "x.sock")))
    outer = held.make(specification(kind=socket.SOCK_DGRAM, bind=str(outside / "x.sock")))
    near = held.make(specification(socket.AF_UNIX, socket.SOCK_DGRAM))
    address = paths.to_reach(unix_path(str(granted / "sub" / "x.sock")), f"{granted}/")
    arrived = 0
    with swapping(granted / "sub", outside):
        for done in range(MOST_ROUNDS):
            if done >= ROUNDS and arrived:
                break
            try:
                sent(held, near, address)
            except SocketdError as error:
                assert error.symbol in {"EPERM", "ENOENT"}  # noqa: PT017 (it need not fail)
            else:
                arrived += inner.sock.recv(10, socket.MSG_DONTWAIT) == b"hello"
    assert arrived
    with pytest.raises(BlockingIOError):
        outer.sock.recv(10, socket.MSG_DONTWAIT)
