"""Stand-ins for system calls on a socket's number, where programs go on if they are answered rightly."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any, Final, NoReturn

from socketd_client.watch import held_number

# The originals: what a program finds in the modules is replaced later.
_fcntl: Final = fcntl.fcntl
_sendfile: Final = os.sendfile

_FLAGS: Final = {
    fcntl.F_GETFD: fcntl.FD_CLOEXEC,  # there is no descriptor that a program could inherit
    fcntl.F_SETFD: 0,  # nor does it matter then, as with set_inheritable
    fcntl.F_GETFL: os.O_RDWR,
}


def control(fd: Any, cmd: int, arg: Any = 0, /) -> Any:
    """Do as ``fcntl.fcntl``; for a held socket answer what servers ask and set after making it.

    Raises:
        OSError: EOPNOTSUPP, it cannot be done to a held socket.
    """
    if held_number(fd) is None:
        return _fcntl(fd, cmd, arg)
    if cmd not in _FLAGS:
        _refuse("setblocking() says whether its calls wait")
    return _FLAGS[cmd]


def send_file(out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
    """Do as ``os.sendfile``; refuse a held socket so that programs send by ``send`` instead.

    For EBADF, which the kernel would say, they take the connection to be lost.

    Raises:
        OSError: EOPNOTSUPP, it is a held socket.
    """
    if held_number(out_fd) is not None:
        _refuse("its own sendfile() sends files")
    return _sendfile(out_fd, in_fd, offset, count)


CALLS: Final[dict[tuple[str, str], object]] = {("fcntl", "fcntl"): control, ("os", "sendfile"): send_file}
"""What stands for what, by module and name."""


def _refuse(instead: str) -> NoReturn:
    raise OSError(errno.EOPNOTSUPP, f"a held socket is no descriptor of this process; {instead}")
