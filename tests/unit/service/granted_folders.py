"""Folders that a caller was granted, and sockets bound in them for a moment."""

from __future__ import annotations

import _socket
import os
import socket
import stat
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from socketd.access.caller import Caller
from socketd.core import calls, transfer
from socketd.core.address import Address, FileAccess
from socketd.core.owner import Owner
from socketd.core.transfer import Outgoing
from socketd.errors import SocketdError
from socketd.service import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry, UnixFile
    from tests.held import Held

ROOT = Caller(Owner(0), 0, frozenset({0}), None, "unix")
STRANGER = 4_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    found = tmp_path / "granted"
    found.mkdir()
    return found


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a folder that every user may pass, which pytest's are not."""
    with TemporaryDirectory() as name:
        found = Path(name)
        found.chmod(0o755)
        yield found


def access_of(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_gid


def bind(path: Path | str, folder: Path | str | None, **access: int | str) -> UnixFile | None:
    """Bind a socket for a moment; the file stays."""
    asked = Address(socket.AF_UNIX, str(path), FileAccess(**access) if access else None)  # type: ignore[arg-type]
    with closing(_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        made = calls.bind(sock, paths.to_bind(asked, ROOT, None if folder is None else f"{folder}/"))
        assert sock.getsockname() == str(path)
        return made


def refused(path: Path | str, folder: Path | str | None, **access: int | str) -> SocketdError:
    with pytest.raises(SocketdError) as caught:
        bind(path, folder, **access)
    return caught.value


def sent(held: Held, near: Entry, address: Address) -> None:
    transfer.send(near, [Outgoing(b"hello", address)], 0, held.patience(10))
