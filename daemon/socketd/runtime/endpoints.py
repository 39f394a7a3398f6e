"""The listening sockets of the API itself: made, locked against a second daemon, and removed."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.runtime.config import default_path

if TYPE_CHECKING:
    from socketd.runtime.kinds import TcpAddress
    from socketd.runtime.settings import Settings

# connect(2) on a Unix socket answers EAGAIN at once when the queue is full, so the queue is long.
BACKLOG = 4096
OTHERS_WRITE = 0o022


class EndpointError(Exception):
    """The API cannot listen there; the message is one line that says why."""


@dataclass(slots=True)
class Endpoints:
    """What the API listens on, owned until ``detach``.

    Attributes:
        listeners: Listening sockets, Unix ones first.
        path: The Unix socket's path if we made it, to be removed by ``close``.
        lock_fd: Open as long as no other daemon may serve ``path``.
        owner_pid: Who may remove things: the worker inherits all of this, and is not to.
    """

    listeners: list[socket.socket] = field(default_factory=list)
    path: Path | None = None
    lock_fd: int | None = None
    owner_pid: int = field(default_factory=os.getpid)

    @property
    def urls(self) -> list[str]:
        """Return each as a value for ``SOCKETD_URL``."""
        return [_url(listener) for listener in self.listeners]

    @property
    def has_tcp(self) -> bool:
        """Whether anybody needs a token."""
        return any(listener.family != socket.AF_UNIX for listener in self.listeners)

    def detach(self) -> list[int]:
        """Give up the sockets, not the path and its lock; the caller owns the descriptors."""
        fds = [listener.detach() for listener in self.listeners]
        self.listeners = []
        return fds

    def close(self) -> None:
        """Close what is still ours, remove the path, and last let another daemon have it."""
        for listener in self.listeners:
            listener.close()
        self.listeners = []
        if self.path is not None and os.getpid() == self.owner_pid:
            self.path.unlink(missing_ok=True)
            _lock_path(self.path).unlink(missing_ok=True)
        self.path = None
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None


def open_endpoints(settings: Settings, inherited: list[socket.socket]) -> Endpoints:
    """Listen where ``settings`` say, or on what systemd handed over.

    Takes ownership of ``inherited``.

    Raises:
        EndpointError: Another daemon serves there, or the system refuses.
    """
    endpoints = Endpoints(sorted(inherited, key=lambda listener: listener.family != socket.AF_UNIX))
    try:
        if not inherited:
            _open_unix(endpoints, Path(settings.listen), settings.socket_mode, settings.socket_group)
        if settings.tcp is not None:
            endpoints.listeners.append(_listen_tcp(settings.tcp))
    except OSError as error:
        endpoints.close()
        # Of a path longer than sun_path Python says so itself, without an errno.
        raise EndpointError(f"{settings.listen}: {error.strerror or error}") from error
    except BaseException:
        endpoints.close()
        raise
    return endpoints


def _open_unix(endpoints: Endpoints, path: Path, mode: int, group: str | None) -> None:
    if path == Path(default_path(os.environ)):
        _make_directory(path.parent)
    endpoints.lock_fd = _lock(path)
    _remove_stale(path)
    endpoints.path = path
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    endpoints.listeners.append(listener)
    # Closed to everybody until group and mode are as configured; nobody can connect before listen(2) either.
    mask = os.umask(0o777)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(mask)
    if group is not None:
        os.chown(path, -1, _group_id(group))
    path.chmod(mode)
    listener.listen(BACKLOG)


def _make_directory(folder: Path) -> None:
    """Make the folder of the default place, for us alone; one that is there may be a trap laid in /tmp.

    Raises:
        EndpointError: Others may have a say in it.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & OTHERS_WRITE:
            raise EndpointError(f"{folder}: not a directory that only we can write") from None


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> int:
    """Lock the path for this daemon and its worker, which inherits the lock; return the descriptor.

    Raises:
        EndpointError: Another daemon has it.
    """
    name = _lock_path(path)
    while True:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(fd, name):
                os.ftruncate(fd, 0)
                os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                return fd
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise EndpointError(f"{path}: another daemon serves there (pid {pid})") from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # its owner removed it between our open and our lock: take the next one


def _is_same_file(fd: int, name: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), name.stat())
    return False


def _remove_stale(path: Path) -> None:
    """Remove what a killed daemon left; refuse what is no socket, or what somebody else serves.

    Raises:
        EndpointError: See there.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise EndpointError(f"{path}: there already, and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)  # a full queue of somebody alive answers EAGAIN
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise EndpointError(f"{path}: there already, and not ours: {error.strerror}") from error
        pid = int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
    raise EndpointError(f"{path}: another program serves there (pid {pid})")


def _group_id(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise EndpointError(f"socket_group: no group {group!r} on this host") from None


def _listen_tcp(address: TcpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise EndpointError(f"tcp {address}: {os.strerror(error.errno or 0)}") from error


def _url(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix://{name}"
    return (
        f"http://[{name[0]}]:{name[1]}"
        if listener.family == socket.AF_INET6
        else f"http://{name[0]}:{name[1]}"
    )
