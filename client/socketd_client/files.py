"""A handle as a file: ``makefile`` and ``sendfile``."""

from __future__ import annotations

import io
import os
import socket
from typing import IO, TYPE_CHECKING, Any, Final, cast

from socketd_client.lifetime import Lifetime
from socketd_client.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

# Each read or write of the file is a request; one for 256 KiB takes little longer than one for 8.
_READ_BYTES: Final = 256 * 1024
_WRITE_BYTES: Final = 64 * 1024  # what is not flushed waits
_BLOCK_BYTES: Final = 1 << 20


class Files(Transfer, Lifetime):
    """The part of a socket handle that works with files."""

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Return a file of the socket, as ``socket.makefile``; the socket is closed when all its files are.

        By default it reads in pieces of up to 256 KiB and writes in pieces of 64 KiB.
        """
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        is_writing, is_binary = "w" in mode, "b" in mode
        is_reading = "r" in mode or not is_writing
        if buffering == 0 and not is_binary:
            raise ValueError("unbuffered streams must be binary")
        raw = SocketFile(self, "r" * is_reading + "w" * is_writing)
        self._io_refs += 1
        if buffering == 0:
            return cast("IO[Any]", raw)
        usual = _WRITE_BYTES if is_writing else _READ_BYTES
        size = usual if buffering is None or buffering < 0 else buffering
        buffer: Any
        if is_reading and is_writing:
            buffer = io.BufferedRWPair(raw, raw, size)
        else:
            buffer = io.BufferedReader(raw, size) if is_reading else io.BufferedWriter(raw, size)
        if is_binary:
            return cast("IO[Any]", buffer)
        text: Any = io.TextIOWrapper(buffer, io.text_encoding(encoding), errors, newline)
        text.mode = mode
        return cast("IO[Any]", text)

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send a file from ``offset`` to its end, or ``count`` bytes of it; return how many went.

        The file's position is then right after what was sent, also after an error.
        """
        self._check_sendfile(file, count)
        read = _reader(file, offset)
        sent = 0
        try:
            while count is None or sent < count:
                block = memoryview(read(_BLOCK_BYTES if count is None else min(count - sent, _BLOCK_BYTES)))
                if not block:
                    break
                while block:
                    went = self.send(block)
                    sent += went
                    block = block[went:]
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)
        return sent

    def _check_sendfile(self, file: IO[bytes], count: int | None) -> None:
        if "b" not in getattr(file, "mode", "b"):
            raise ValueError("file should be opened in binary mode")
        if not self.type & socket.SOCK_STREAM:
            raise ValueError("only SOCK_STREAM type sockets are supported")
        if count is not None and not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count is not None and count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
        if self.gettimeout() == 0:
            raise ValueError("non-blocking sockets are not supported")


class SocketFile(socket.SocketIO):
    """The file below the buffers of ``makefile``."""

    def __init__(self, sock: Files, mode: str) -> None:
        super().__init__(cast("socket.socket", sock), mode)  # type: ignore[arg-type]  # a mode of its own list
        self._held = sock
        self._is_dropped = False

    def close(self) -> None:
        """Close the file; the socket as well, if that waited for it."""
        if self.closed:
            return
        # io sets _finalizing on an object that is collected, and tells _dealloc_warn of its buffer.
        if self._is_dropped or getattr(self, "_finalizing", False):
            self._held.leave_with_file()
        super().close()

    def _dealloc_warn(self, _source: object) -> None:
        self._is_dropped = True


def _reader(file: IO[bytes], offset: int) -> Callable[[int], bytes]:
    """Return what reads a file's next bytes: by descriptor and offset, as sendfile(2), where it has one."""
    try:
        fd = file.fileno()
        os.pread(fd, 0, 0)
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError; a pipe has no offsets
        if offset:
            file.seek(offset)
        return file.read

    def read(size: int) -> bytes:
        nonlocal offset
        data = os.pread(fd, size, offset)
        offset += len(data)
        return data

    return read
