"""Files that decide who may come in: read only if nobody else can have written them."""

from __future__ import annotations

import io
import logging
import os
import stat
from typing import Final

from socketd.runtime.config import ConfigError

MOST_BYTES: Final = 1024 * 1024
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


def read(key: str, path: str, *, is_secret: bool) -> str:
    """Read the file that a key of the configuration names.

    Args:
        key: The key, for messages.
        path: The file.
        is_secret: Warn if every user may read it.

    Raises:
        ConfigError: It cannot be read, is no ordinary file of text, or others may write it.
    """
    where = f"{key} {path}"
    try:
        # With an opener, since what fails on a descriptor (of a folder: EISDIR) leaves it open.
        with io.FileIO(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            _check(where, status)
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from error
    if is_secret and status.st_mode & stat.S_IROTH:
        log.warning("%s: every user may read it (chmod o-r)", where)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{where}: more than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: no text: {error.reason} at byte {error.start}") from error


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # not to be held up by a FIFO


def _check(where: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{where}: no ordinary file")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{where}: it belongs to uid {status.st_uid}, who could change it (chown)")
    if status.st_mode & _OTHERS_WRITE:
        raise ConfigError(f"{where}: others may write it (chmod go-w)")
