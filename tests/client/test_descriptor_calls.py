"""System calls on the number of a held socket within ``installed``: what is answered, and what refused."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client import Socket, installed

if TYPE_CHECKING:
    from pathlib import Path

    from socketd_client import Client


def test_close_on_exec_is_asked_and_set(client: Client):
    with socket.socket() as local, installed(client), socket.socket() as held:
        assert isinstance(held, Socket)
        for given in (held, held.fileno(), local, local.fileno()):
            flags = fcntl.fcntl(given, fcntl.F_GETFD)
            assert flags == fcntl.FD_CLOEXEC
            assert fcntl.fcntl(given, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC) == 0
            assert fcntl.fcntl(given, fcntl.F_GETFL) & os.O_RDWR


def test_what_takes_a_descriptor_says_so(client: Client):
    with installed(client), socket.socket() as held:
        with pytest.raises(OSError, match=r"setblocking\(\)") as caught:
            fcntl.fcntl(held, fcntl.F_SETFL, os.O_NONBLOCK)
        assert caught.value.errno == errno.EOPNOTSUPP


def test_wrong_arguments_end_as_locally(client: Client):
    for prepared in (False, True):
        with installed(client) if prepared else socket.socket(), pytest.raises(TypeError):
            fcntl.fcntl("x", fcntl.F_GETFD)  # type: ignore[call-overload]
        with installed(client) if prepared else socket.socket(), pytest.raises(OSError, match="Bad file"):
            fcntl.fcntl(99_999, fcntl.F_GETFD)


def test_sendfile_refuses_held_sockets_only(client: Client, tmp_path: Path):
    (tmp_path / "file").write_bytes(b"hello")
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "file").open("rb") as file:
        address = listener.getsockname()
        with socket.create_connection(address) as local, installed(client):
            assert os.sendfile(local.fileno(), file.fileno(), 0, 5) == 5
            with socket.create_connection(address) as held:
                with pytest.raises(OSError, match=r"sendfile\(\)") as caught:
                    os.sendfile(held.fileno(), file.fileno(), 0, 5)
                assert caught.value.errno == errno.EOPNOTSUPP
                assert held.sendfile(file) == 5


def test_originals_are_back_afterwards(client: Client):
    originals = fcntl.fcntl, os.sendfile
    with installed(client):
        assert fcntl.fcntl is not originals[0]
        assert os.sendfile is not originals[1]
    assert (fcntl.fcntl, os.sendfile) == originals
