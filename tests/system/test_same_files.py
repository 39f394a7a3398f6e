"""``makefile`` and ``sendfile`` of held sockets, beside those of local ones."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.same import connected, end, same

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.same import Comparison

__all__ = ["same"]  # a fixture

MODES = ("r", "w", "rw", "rb", "wb", "rwb", "b", "", "x")
BUFFERINGS = (None, 0, 1)
TEXTS: tuple[dict[str, str], ...] = (
    {"encoding": "latin-1"},
    {"encoding": "utf-8", "errors": "replace"},
    {"encoding": "utf-8", "newline": ""},
    {"encoding": "latin-1", "newline": "\r\n"},
)


def used(mode: str, buffering: int | None) -> list[Any]:
    with connected() as (calling, called):
        file = called.makefile(mode, buffering)
        seen: list[Any] = [file.readable(), file.writable(), file.seekable(), getattr(file, "mode", None)]
        seen.append(end(lambda: file.fileno() == called.fileno()))
        if file.writable():
            line: Any = b"line\n" if "b" in mode else "line\n"
            seen += [file.write(line), file.writelines([line, line]), file.flush()]
            calling.settimeout(None)
            seen.append(calling.recv(15, socket.MSG_WAITALL))
        if file.readable():
            calling.sendall(b"one\r\ntwo\nthree\nfour")
            calling.shutdown(socket.SHUT_WR)
            seen += [file.readline(), file.readline(2), file.read(3), list(file), file.read()]
        called.close()
        seen.append(called.fileno() == -1)
        file.close()
        return [*seen, called.fileno(), end(file.read)]


@pytest.mark.parametrize("mode", MODES)
def test_mode_and_buffering(same: Comparison, mode: str):
    for buffering in BUFFERINGS:
        same(used, mode, buffering)


def texts(options: dict[str, str]) -> list[Any]:
    with connected() as (calling, called):
        with called.makefile("rw", **options) as file:  # type: ignore[call-overload]
            calling.sendall(b"\xe4\r\nb\rc\n")
            calling.shutdown(socket.SHUT_WR)
            seen = [end(file.readlines), file.write("x\ny")]
        called.close()
        with calling.makefile("rb") as file:
            return [*seen, file.read()]


@pytest.mark.parametrize("options", TEXTS)
def test_encoding_and_newline(same: Comparison, options: dict[str, str]):
    same(texts, options)


def late() -> list[Any]:
    with connected() as (calling, called), called.makefile("rb") as file:
        called.settimeout(0.05)
        calling.sendall(b"half a li")
        return [end(file.readline), end(file.readline)]


def test_line_that_does_not_come_in_time(same: Comparison):
    assert same(late) == [(TimeoutError, "timed out"), (OSError, "cannot read from timed out object")]


def unblocked() -> list[Any]:
    with connected() as (calling, called):
        called.setblocking(False)  # noqa: FBT003 - the socket module's signature
        with called.makefile("rb", 0) as raw, called.makefile("rb") as buffered:
            seen: list[Any] = [raw.read(3), raw.readinto(bytearray(3)), end(buffered.read, 3)]
        with called.makefile("wb", 0) as raw:
            while raw.write(b"x" * 1_000_000) is not None:
                pass
        calling.shutdown(socket.SHUT_WR)
        return seen


def test_file_that_does_not_wait(same: Comparison):
    assert same(unblocked) == [None, None, None]


def sent(path: Path) -> list[Any]:
    seen: list[Any] = []
    with connected() as (calling, called), path.open("rb") as file:
        for arguments in ((), (9990,), (0, 7), (10, 20), (10_000,), (20_000,)):
            count = calling.sendfile(file, *arguments)
            seen += [count, file.tell()]
            with called.makefile("rb", 0) as received:
                while count:
                    seen.append(received.read(count))
                    count -= len(seen[-1])
        memory = io.BytesIO(b"in memory")
        seen += [calling.sendfile(memory, 3), memory.tell(), called.recv(100)]  # type: ignore[arg-type]
        for wrong in ((0, 0), (0, -1), (0, "x")):
            seen.append(end(calling.sendfile, file, *wrong))
        calling.settimeout(0)
        seen += [end(calling.sendfile, file), end(calling.sendfile, io.StringIO("text"))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, path.open("rb") as file:
        return [*seen, end(datagrams.sendfile, file)]


def test_sendfile(same: Comparison, tmp_path: Path):
    (tmp_path / "file").write_bytes(bytes(range(250)) * 40)
    same(lambda: b"".join(part for part in sent(tmp_path / "file") if isinstance(part, bytes)))
    same(lambda: [part for part in sent(tmp_path / "file") if not isinstance(part, bytes)])
