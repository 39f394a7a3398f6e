"""The audit: every change as a line of JSON, written by a thread so that no disk stops the loop."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
from gevent import monkey
from gevent.threadpool import ThreadPool

from socketd.runtime.config import ConfigError
from socketd.service.journal import decoded
from socketd.web.journal import audit_line
from socketd.web.representation import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.runtime.settings import Settings
    from socketd.service.journal import Journal, Record

OFF: Final = "off"
STDERR: Final = "stderr"
MOST_WAITING: Final = 65_536
"""Changes between the loop and the thread: those of making twenty thousand listeners in one call."""

_BATCH: Final = 1024
_PAUSE_S: Final = 0.01
"""What comes meanwhile is written in one go; waking for each takes the GIL from the loop."""
_MODE: Final = 0o600  # the group of the daemon are its callers, who may not know of each other
_END_S: Final = 2.0
_STDERR: Final = 2

# gevent's own, which monkey patching puts in its place, would wake greenlets of the loop from the thread.
_new_queue = monkey.get_original("queue", "SimpleQueue")
_sleep = monkey.get_original("time", "sleep")
_Empty: type[Exception] = monkey.get_original("queue", "Empty")


class AuditError(Exception):
    """The audit cannot be opened; the message is one line."""


class Target:
    """Where the lines go: a file that is appended to, or stderr.

    Args:
        where: ``stderr``, or a path.

    Raises:
        AuditError: It cannot be opened.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.fd = os.dup(_STDERR) if where == STDERR else _open(where)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)


class Audit:
    """Takes records from the loop, without ever waiting, and has them written.

    What there is no room for, and what cannot be written, is lost and counted; how many is written as a line
    of its own as soon as one can be written again.

    Args:
        target: Where to; closed by the thread.
        most: Records that may wait.
    """

    def __init__(self, target: Target, most: int = MOST_WAITING) -> None:
        self._target = target
        self._most = most
        self._queue: Any = _new_queue()
        self._dropped = 0  # counted by the loop alone
        self._unwritten = 0  # counted by the thread alone
        self._told = 0
        self._is_torn = False
        self._is_failing = False
        self._pool: Any = ThreadPool(1)
        self._ended: Any = self._pool.spawn(self._run)

    @property
    def lost(self) -> int:
        """Lines that were never written, since the start."""
        return self._dropped + self._unwritten

    def add(self, record: Record) -> None:
        """Take a record; from the loop's thread."""
        if self._queue.qsize() >= self._most:
            self._dropped += 1
        else:
            self._queue.put(record)

    def move(self, where: str) -> None:
        """Write there from here on; the same path is opened anew, as the old file may have been renamed."""
        self._queue.put(where)

    def close(self, timeout_s: float = _END_S) -> None:
        """Write what is left, as far as the disk takes it in that time, and end the thread."""
        self._queue.put(None)
        self._ended.wait(timeout_s)

    def _run(self) -> None:
        """Write until told to end; runs in the thread."""
        is_ended = False
        while not is_ended:
            lines: list[bytes] = []
            for each in self._batch():
                if each is None:
                    is_ended = True
                elif isinstance(each, str):
                    self._write(lines)
                    lines = []
                    self._reopen(each)
                else:
                    lines += self._encoded(each)
            self._write(lines)
        self._write([])
        self._target.close()

    def _encoded(self, record: Record) -> list[bytes]:
        try:
            return [orjson.dumps(audit_line(decoded(record)), option=orjson.OPT_APPEND_NEWLINE)]
        except Exception as error:  # noqa: BLE001 (one line less, rather than no audit any more)
            self._unwritten += 1
            self._say(f"change {record[0]} cannot be written: {error!r}")
            return []

    def _reopen(self, where: str) -> None:
        try:
            target = Target(where)
        except AuditError as error:  # it could be opened a moment ago
            self._say(f"{error}; the audit goes on where it was")
            return
        self._target.close()
        self._target, self._is_torn = target, False

    def _batch(self) -> Iterator[Any]:
        """Wait for something, and give what is there."""
        yield self._queue.get()
        _sleep(_PAUSE_S)
        with suppress(_Empty):
            for _ in range(_BATCH):
                yield self._queue.get_nowait()

    def _write(self, lines: list[bytes]) -> None:
        told = self.lost
        if not lines and told == self._told:
            return
        if told > self._told:
            lines = [_loss(told - self._told), *lines]
        try:
            _write_all(self._target.fd, b"\n" * self._is_torn + b"".join(lines))
        except OSError as error:
            self._fail(error, len(lines) - (told > self._told))
        else:
            self._told = told
            self._is_torn = False
            self._recover()

    def _fail(self, error: OSError, count: int) -> None:
        # How much of them stands there is not known, so all count as lost; a line may be torn.
        self._unwritten += count
        self._is_torn = True
        if not self._is_failing:
            self._is_failing = True
            self._say(f"the audit cannot be written: {error.strerror}; lines are lost until it can")

    def _recover(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._say(f"the audit is written again; {self.lost} lines were lost so far")

    def _say(self, text: str) -> None:
        """Say it in the log; by hand, since the locks of ``logging`` are the loop's."""
        if self._target.where != STDERR:
            with suppress(OSError):
                os.write(_STDERR, f"WARNING {__name__}[{os.getpid()}]: {text}\n".encode())


class Auditing:
    """The audit that is configured, if one is; changed by a reload, and so opened anew for logrotate."""

    def __init__(self, journal: Journal, where: str) -> None:
        self._journal = journal
        self._audit: Audit | None = None
        if where != OFF:
            self._start(Target(where))

    @property
    def lost(self) -> int | None:
        """Lines that were never written; ``None`` while there is no audit."""
        return None if self._audit is None else self._audit.lost

    def reload(self, settings: Settings, /) -> Callable[[], None]:
        """Check that it can be opened; return what puts it in force (``reloading.Reloadable``)."""
        where = settings.audit
        try:
            if where != OFF:
                Target(where).close()
        except AuditError as error:
            raise ConfigError(str(error)) from error
        return lambda: self._switch(where)

    def close(self) -> None:
        """Write what is left, and end."""
        self._journal.audit = None
        if self._audit is not None:
            self._audit.close()
            self._audit = None

    def _switch(self, where: str) -> None:
        if where == OFF:
            self.close()
        elif self._audit is None:
            with suppress(AuditError):  # it could be opened a moment ago, and the next reload says so
                self._start(Target(where))
        else:
            self._audit.move(where)

    def _start(self, target: Target) -> None:
        self._audit = Audit(target)
        self._journal.audit = self._audit.add


def _open(path: str) -> int:
    try:
        # O_NONBLOCK: the open of a FIFO that nobody reads fails rather than wait.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    except OSError as error:
        raise AuditError(f"audit {path}: {error.strerror}") from error
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise AuditError(f"audit {path}: it is a directory")
    os.set_blocking(fd, True)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _loss(count: int) -> bytes:
    line = {"time": timestamp(time.time()), "event": "lost", "lines": count}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
