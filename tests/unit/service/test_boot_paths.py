"""Promised Unix sockets: a file that a killed daemon left is replaced, and no other."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.address import Address
from socketd.core.owner import Owner
from socketd.core.saving import Saved
from tests.held import ANN
from tests.unit.service.reboots import create, declared, held, hosts, named

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.service.reboots import Hosts

__all__ = ["held", "hosts"]  # fixtures


class Unix:
    """A promised Unix listener, and the file that a killed daemon leaves."""

    def __init__(self, hosts: Hosts, folder: Path, kind: str) -> None:
        self.path = folder / "x.sock"
        words = {"type": kind, "bind": str(self.path)} | ({"listen": True} if kind != "dgram" else {})
        hosts.shelf.saved = {"local": Saved("local", Owner(ANN), words)}
        self.kind = getattr(socket, f"SOCK_{kind.upper()}")

    def bound(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, self.kind)
        sock.bind(str(self.path))
        return sock


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_a_socket_file_that_a_killed_daemon_left_is_replaced(hosts, tmp_path, kind):
    unix = Unix(hosts, tmp_path, kind)
    unix.bound().close()
    held = hosts.start()
    held.service.boot.remake()
    entry = named(held, "local").entry
    assert entry is not None
    assert entry.sock.getsockname() == str(unix.path)


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_a_socket_file_that_is_in_use_is_left_alone_even_where_nobody_listens(hosts, tmp_path, kind):
    unix = Unix(hosts, tmp_path, kind)
    with unix.bound():
        inode = unix.path.lstat().st_ino
        held = hosts.start()
        held.service.boot.remake()
        assert named(held, "local").failure is not None
        assert unix.path.lstat().st_ino == inode


def test_a_file_that_is_no_socket_is_left_alone(hosts, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.path.write_text("kept")
    held = hosts.start()
    held.service.boot.remake()
    assert named(held, "local").failure is not None
    assert unix.path.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_socket_file_of_another_user_is_left_alone(hosts, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.bound().close()
    os.chown(unix.path, 1234, 1234)
    held = hosts.start()
    held.service.boot.remake()
    assert named(held, "local").failure is not None
    assert unix.path.is_socket()


def test_a_path_stays_refused_to_who_asks_now(hosts, held, tmp_path):
    unix = Unix(hosts, tmp_path, "stream")
    unix.bound().close()
    held.service.boot.end()
    wanted = declared(bind=str(unix.path), listen=True)
    assert isinstance(wanted.wanted.bind, Address)
    with pytest.raises(Exception, match="Address already in use"):
        create(held, "mine", wanted)
