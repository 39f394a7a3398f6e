"""The daemon's heir: a process with the same descriptors, that says the daemon's last word to the keeper.

A daemon that is killed right after accept4(2) has taken a connection from the backlog and told nobody. Its
heir was forked by clone(2) with CLONE_FILES, so both have one table of descriptors, and that lives as long
as either does. When the daemon is gone, the heir looks into the page in which the daemon says what it is
about to accept, sends the connection if there is one, and exits; with it goes the table. Until then it
sleeps.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
import logging
import os
import platform
import signal
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn

from socketd.kernel import scm
from socketd.runtime.keeping.line import NO_ROOM
from socketd.runtime.keeping.will import Page
from socketd.runtime.supervising.prctl import die_with_parent, name_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.runtime.keeping.will import Will

NAME: Final = "socketd-heir"
LIFE_S: Final = 1.0
"""The longest it outlives the daemon: SIGALRM ends it then, whatever it is at. It is usually done in 1 ms."""
_ROOM_S: Final = 0.5
_RETRY_S: Final = 0.005

_CLONE_FILES: Final = 0x400  # include/uapi/linux/sched.h
# arch/*/include/asm/unistd.h. Not clone3: container runtimes answer ENOSYS to it, as they cannot filter it.
_SYS_CLONE: Final = {"x86_64": 56, "aarch64": 220, "riscv64": 220}

log = logging.getLogger(__name__)


class NoHeirError(Exception):
    """There can be none; the message says why."""


class Heir:
    """The process as the daemon sees it.

    Attributes:
        page: Where the daemon writes what it is about to accept.
    """

    def __init__(self, pid: int, page: Page) -> None:
        """Take ownership of a child process and of ``page``."""
        self.page = page
        self._pid = pid
        self._is_over = False

    @classmethod
    def fork(cls) -> Heir:
        """Make one, of a process that has one thread.

        Nothing that fork(3) does for the sake of locks is done here: what another thread held at that moment
        would be held for ever in the heir. For the same reason one that has died is not made again.

        Raises:
            NoHeirError: Another thread runs, or the system lacks or refuses the call.
        """
        if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - names are enough
            raise NoHeirError("another thread runs already")
        page = Page()
        parent = os.getpid()
        # Python's handlers, and gevent's, are the daemon's. None of them runs in the heir, not once.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = _clone()
            if pid == 0:
                _live(page, parent)
        except BaseException:
            page.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return cls(pid, page)

    def check(self) -> None:
        """Say if it has died, whoever killed it; nothing takes its place, and nothing else depends on it."""
        if not self._is_over and self._reap(os.WNOHANG):
            log.warning(
                "%s (pid %d) is dead. A connection that is accepted as we are killed can be lost from now on",
                NAME,
                self._pid,
            )

    def end(self) -> None:
        """End it, since nothing more is accepted; on return it is gone. Harmless the second time."""
        if not self._is_over and not self._reap(os.WNOHANG):
            os.kill(self._pid, signal.SIGKILL)
            self._reap(0)

    def _reap(self, options: int) -> bool:
        """Whether it is dead; until it is reaped its id is nobody else's."""
        try:
            self._is_over = os.waitpid(self._pid, options)[0] == self._pid
        except ChildProcessError:  # reaped already, by who waits for any child
            self._is_over = True
        return self._is_over


def _clone() -> int:
    """Fork, with one table of descriptors for both; return 0 in the child.

    Raises:
        NoHeirError: The system lacks or refuses the call.

    Source: clone(2).
    """
    number = _SYS_CLONE.get(platform.machine()) if sys.maxsize > 2**32 else None
    if number is None:
        raise NoHeirError(f"clone(2) has no known number on {platform.machine()}")
    # PyDLL keeps the interpreter's lock during the call, and so the child has it.
    syscall = ctypes.PyDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    none = ctypes.c_ulong(0)  # the stack goes on where it is, as after fork(2)
    flags = ctypes.c_ulong(_CLONE_FILES | signal.SIGCHLD)
    pid = int(syscall(ctypes.c_long(number), flags, none, none, none, none))
    if pid < 0:
        raise NoHeirError(f"clone: {os.strerror(ctypes.get_errno())}")
    return pid


def _live(page: Page, parent: int) -> NoReturn:
    """Wait for the daemon's death, do what it wanted, and exit; all signals are blocked."""
    status = 1
    try:
        gc.disable()  # a collection would touch, and so copy, every page of the daemon's heap
        die_with_parent(signal.SIGTERM)
        name_process(NAME)
        # Who kills the daemon's group when its master has died gives us our moment; it is bounded.
        os.setpgid(0, 0)
        while os.getppid() == parent:
            # Whoever else sends one: the daemon lives, and so do we. Of a dying process of several threads
            # each that was our parent sends it, and the last one after it has ceased to be.
            signal.sigwait({signal.SIGTERM})
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, LIFE_S)
        will = page.read()
        if will is not None:
            _execute(will)
        status = 0
    except BaseException:
        log.exception("the heir failed")
    finally:
        os._exit(status)  # nothing of the daemon's own end


def _execute(will: Will) -> None:
    """Send the connection that was accepted, if one was.

    The keeper has it already if the daemon died after sending it: then it is the same under the same number.
    """
    fd = next((fd for fd in will.candidates if _is_from(will.listener_fd, fd)), None)
    if fd is None:
        return
    deadline = monotonic() + _ROOM_S
    while True:
        try:
            scm.send(will.line_fd, will.packet, (fd,))
        except OSError as error:
            if error.errno not in NO_ROOM or monotonic() > deadline:
                log.warning("a connection that was just accepted is lost: %s", error.strerror)
                return
        else:
            return
        signal.sigtimedwait((), _RETRY_S)  # sleeps; gevent's sleep would run the daemon's loop


def _is_from(listener_fd: int, fd: int) -> bool:
    """Whether ``fd`` is a connection that came to the listener, and no file or socket of another thread's."""
    try:
        with _borrowed(listener_fd) as listener, _borrowed(fd) as other:
            return (
                (other.family, other.type) == (listener.family, listener.type)
                and not other.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
                and _door(other) == _door(listener)
            )
    except OSError:  # not open, or no socket
        return False


@contextmanager
def _borrowed(fd: int) -> Iterator[_socket.socket]:
    sock = _socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _door(sock: _socket.socket) -> object:
    """Return what an accepted connection's own address shares with its listener's: a port, or a path."""
    address = sock.getsockname()
    return address[1] if isinstance(address, tuple) else address
