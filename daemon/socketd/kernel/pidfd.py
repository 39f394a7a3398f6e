"""A descriptor of another process, duplicated into this one."""

from __future__ import annotations

import os
from typing import Final

_SYS_PIDFD_GETFD: Final = 438  # the same on every architecture: include/uapi/asm-generic/unistd.h


def duplicate(pid: int, fd: int) -> int:
    """Duplicate descriptor ``fd`` of process ``pid``, close-on-exec; the caller owns it.

    Raises:
        OSError: ESRCH without such a process; EBADF without such a descriptor; EPERM if we may not trace
            the process (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS); ENOSYS where a filter or an old
            kernel lacks the call.

    Source: pidfd_open(2), pidfd_getfd(2).
    """
    # Imported only here: it makes a closure, which a libffi without static trampolines puts into writable
    # and executable memory, and a service with MemoryDenyWriteExecute= is refused that.
    import ctypes  # noqa: PLC0415 (as just said)

    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        found = int(libc.syscall(_SYS_PIDFD_GETFD, process, fd, 0))
        number = ctypes.get_errno()
    finally:
        os.close(process)
    if found < 0:
        raise OSError(number, os.strerror(number))
    return found
