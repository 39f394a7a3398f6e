"""The listening sockets of the API itself: made, locked against a second daemon, and removed."""

from __future__ import annotations

import grp
import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.core.address import Address, unix_path
from socketd.kernel import path_lock
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
        has_tls: Those of TCP speak it.
    """

    listeners: list[socket.socket] = field(default_factory=list)
    path: Path | None = None
    lock_fd: int | None = None
    owner_pid: int = field(default_factory=os.getpid)
    has_tls: bool = False

    @property
    def urls(self) -> list[str]:
        """Return each as a value for ``SOCKETD_URL``."""
        scheme = "https" if self.has_tls else "http"
        return [_url(listener, scheme) for listener in self.listeners]

    @property
    def has_tcp(self) -> bool:
        """Whether anybody needs a token."""
        return any(listener.family != socket.AF_UNIX for listener in self.listeners)

    def addresses(self, keeper: str | None) -> list[Address]:
        """List where callers could come to the daemon itself, and to its keeper if it has one."""
        paths = [str(self.path)] if self.path is not None else []
        paths += [keeper] if keeper else []
        listening = [Address(listener.family, listener.getsockname()) for listener in self.listeners]
        return [*map(unix_path, paths), *listening]

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
            path_lock.remove(self.path)
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
    endpoints = Endpoints(
        sorted(inherited, key=lambda listener: listener.family != socket.AF_UNIX),
        has_tls=settings.tls_certificate is not None,
    )
    try:
        if not inherited:
            _open_unix(endpoints, Path(settings.listen), settings.socket_mode, settings.socket_group)
        if settings.tcp is not None and not _is_among(inherited, settings.tcp):
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
    try:
        endpoints.lock_fd = path_lock.lock(path)
    except path_lock.PathTakenError as error:
        raise EndpointError(f"{path}: another daemon serves there (pid {error.pid})") from None
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


def _is_among(listeners: list[socket.socket], address: TcpAddress) -> bool:
    """Whether one of them listens on ``address``; port 0 is any, as the supervisor has it taken by then."""
    names = [each.getsockname() for each in listeners if each.family != socket.AF_UNIX]
    return any(name[0] == address.host and address.port in (0, name[1]) for name in names)


def _url(listener: socket.socket, scheme: str) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix://{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}"
