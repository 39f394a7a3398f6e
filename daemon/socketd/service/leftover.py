"""Socket files whose sockets are gone: ``bind`` is refused where one lies, and nobody removes it."""

from __future__ import annotations

import _socket
import os
import stat

from socketd.kernel import sock_diag


def remove_leftover(path: str, kind: int) -> bool:
    """Unlink a socket file of our own user that no socket is bound to; say whether it was one.

    Args:
        path: Where the file is.
        kind: The type of socket that it was made for.
    """
    try:
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            return False
        if sock_diag.is_unix_file_bound(found.st_ino) or not _refuses(path, kind):
            return False
        os.unlink(path)  # noqa: PTH108 (beside lstat, of the same string)
    except (OSError, ValueError):
        return False
    return True


def _refuses(path: str, kind: int) -> bool:
    """Whether nobody answers there, in another network namespace either, where sock_diag sees nothing."""
    probe = _socket.socket(_socket.AF_UNIX, kind)
    try:
        probe.setblocking(False)  # noqa: FBT003 (its signature)
        probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        probe.close()
