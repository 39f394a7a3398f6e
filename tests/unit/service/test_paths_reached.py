"""Connect and send come to sockets beneath the granted folder, and to none outside."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core import connecting
from socketd.core.address import unix_path
from socketd.errors import KernelRefusedError, NotPermittedError
from socketd.service import paths
from tests.held import specification
from tests.unit.service.granted_folders import granted, sent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from socketd.core.address import Address
    from socketd.core.entry import Entry
    from tests.held import Held

__all__ = ["granted"]  # a fixture


def connected(held: Held, near: Entry, address: Address) -> None:
    connecting.connect(near, address, held.patience(10))


EITHER = pytest.mark.parametrize(
    ("kind", "call"), [(socket.SOCK_STREAM, connected), (socket.SOCK_DGRAM, sent)], ids=["connect", "send"]
)


@EITHER
def test_connect_and_send_reach_a_socket_beneath_and_say_its_name(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    path = str(granted / "x.sock")
    backlog = 64 if kind == socket.SOCK_STREAM else None
    far = held.make(specification(kind=kind, bind=path, backlog=backlog))
    near = held.make(specification(socket.AF_UNIX, kind))
    call(held, near, paths.to_reach(unix_path(path), f"{granted}/"))
    if kind == socket.SOCK_STREAM:
        assert near.sock.getpeername() == path
    else:
        assert far.sock.recv(10) == b"hello"


@EITHER
def test_connect_and_send_follow_no_link_and_leave_no_folder(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    outside = granted.parent / "out.sock"
    backlog = 64 if kind == socket.SOCK_STREAM else None
    held.make(specification(kind=kind, bind=str(outside), backlog=backlog))
    (granted / "link.sock").symlink_to(outside)
    (granted / "up").symlink_to("..")
    near = held.make(specification(socket.AF_UNIX, kind))
    for wrong in (granted / "link.sock", granted / "up" / "out.sock", outside, f"{granted}/../out.sock"):
        with pytest.raises(NotPermittedError):
            call(held, near, paths.to_reach(unix_path(str(wrong)), f"{granted}/"))
        call(held, held.make(specification(socket.AF_UNIX, kind)), unix_path(str(wrong)))


@EITHER
def test_connect_and_send_to_nothing_say_so(
    held: Held, granted: Path, kind: int, call: Callable[[Held, Entry, Address], None]
):
    (granted / "file").touch()
    near = held.make(specification(socket.AF_UNIX, kind))
    for path, symbol in (("nowhere", "ENOENT"), ("file", "ECONNREFUSED"), ("file/x", "ENOTDIR")):
        with pytest.raises(KernelRefusedError) as caught:
            call(held, near, paths.to_reach(unix_path(str(granted / path)), f"{granted}/"))
        assert caught.value.symbol == symbol
