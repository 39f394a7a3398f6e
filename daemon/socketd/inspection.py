"""One held socket as the kernel sees it right now, nothing of it remembered."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core.address import Address
from socketd.kernel import facts, sock_diag, sockopt, tcp_info

if TYPE_CHECKING:
    from socketd.core.entry import Entry

_IPPROTO_MPTCP: Final = 262
_INET: Final = (socket.AF_INET, socket.AF_INET6)
_POLLERR: Final = 0x008
_POLLHUP: Final = 0x010
_POLLRDHUP: Final = 0x2000

# include/net/tcp_states.h. Those that need a second question are not in here.
_TCP_CLOSE: Final = 7
_TCP_ESTABLISHED: Final = 1
_TCP_FIN_WAIT: Final = (4, 5)
_TCP_LISTEN: Final = 10
_TCP_WITHOUT_PEER: Final = (2, _TCP_CLOSE, _TCP_LISTEN)  # getpeername answers ENOTCONN
_KERNEL: Final = (0, 0)
_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared with, never bound to)
_DEFAULT_PROTOCOLS: Final[dict[int, int]] = {
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}
"""What protocol 0 becomes (ip(7))."""
_UINT32_MAX: Final = 2**32 - 1
_TCP_STATES: Final = {
    2: "connecting",  # SYN_SENT
    3: "connecting",  # SYN_RECV
    6: "closed",  # TIME_WAIT
    8: "peer-closed",  # CLOSE_WAIT
    9: "closed",  # LAST_ACK
    10: "listening",
    11: "closed",  # CLOSING
    12: "connecting",  # NEW_SYN_RECV
}
STATES: Final = (
    "created",
    "bound",
    "listening",
    "connecting",
    "connected",
    "peer-closed",
    "shut-read",
    "shut-write",
    "shut",
    "closed",
    "error",
)
"""Every state a held socket can be in.

``shut``: both directions by us, and the peer has not ended its own (TCP), or there is none that could (UDP).
``closed``: nothing can go either way any more. A Unix stream shut both ways is that at once, and whether its
reading side was shut by us or its peer's writing side by the peer is one and the same to the kernel
(unix_shutdown tells both ends): ``peer-closed``. MPTCP does not tell these two apart either, and that the
writing side of an MPTCP, datagram or seqpacket socket was shut is shown by no call that changes nothing.
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue of a listener: its limit and how many connections wait in it to be accepted.

    ``None`` where the family does not tell (vsock).
    """

    backlog: int | None
    pending: int | None


class View:
    """What the kernel says of one socket, asked when it is asked for, TCP_INFO once."""

    __slots__ = ("_fd", "_tcp", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._fd = entry.fd
        self._tcp: tuple[int, int, int] | None = None
        if entry.type == socket.SOCK_STREAM and entry.family in _INET:
            try:
                self._tcp = tcp_info.state(entry.fd)
            except OSError:  # SCTP and others have no TCP_INFO
                self._tcp = None

    @property
    def local(self) -> Address | None:
        """Where it is bound; ``None`` if nowhere yet."""
        entry = self.entry
        try:
            sockaddr = entry.sock.getsockname()
        except OSError:  # of AF_XDP and some more CPython knows no addresses ("getsockaddrlen: bad family")
            return None
        return Address(entry.family, sockaddr) if _is_bound(entry, sockaddr) else None

    @property
    def peer(self) -> Address | None:
        """Whom it is connected to; ``None`` if to nobody (any more)."""
        if self._tcp is not None and self._tcp[0] in _TCP_WITHOUT_PEER:
            return None
        try:
            sockaddr = self.entry.sock.getpeername()
        except OSError:  # ENOTCONN, or EOPNOTSUPP of families without peers
            return None
        if self.entry.family == socket.AF_NETLINK and sockaddr == _KERNEL:
            return None  # netlink_getname never says ENOTCONN
        return Address(self.entry.family, sockaddr)

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self._state() if self._tcp is None else self._tcp_state(self._tcp[0])

    @property
    def backlog(self) -> Backlog | None:
        """The listener's queue; ``None`` if it does not listen."""
        if self._tcp is not None:
            state, pending, limit = self._tcp
            return Backlog(limit, pending) if state == _TCP_LISTEN else None
        if not self._is_listening():
            return None
        if self.entry.family != socket.AF_UNIX:
            return Backlog(None, None)
        pending, limit = sock_diag.unix_listener_queue(self.entry.inode, self.entry.cookie)
        return Backlog(limit, pending)

    def _is_listening(self) -> bool:
        return sockopt.number(self._fd, socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0

    def _tcp_state(self, number: int) -> str:
        if number in _TCP_STATES:
            return _TCP_STATES[number]
        ready = facts.readiness(self._fd)
        if number in _TCP_FIN_WAIT:
            return "shut" if ready & _POLLRDHUP else "shut-write"
        if number == _TCP_ESTABLISHED and self.entry.protocol == _IPPROTO_MPTCP:
            return self._mptcp_state(ready)
        if number == _TCP_ESTABLISHED:
            # The peer's FIN would have made it CLOSE_WAIT, so a shut reading side is our own.
            return "shut-read" if ready & _POLLRDHUP else "connected"
        if ready & _POLLERR:
            return "error"
        # tcp_poll: a socket that was connected once is shut down both ways, a fresh one is not; both hang up.
        return "closed" if ready & _POLLRDHUP else self._unconnected()

    @staticmethod
    def _mptcp_state(ready: int) -> str:
        """Tell by poll(2) alone: TCP_INFO is that of a subflow, which stays ESTABLISHED beyond DATA_FIN."""
        if ready & _POLLHUP:
            return "shut"
        return "peer-closed" if ready & _POLLRDHUP else "connected"

    def _state(self) -> str:
        if self._is_listening():
            return "listening"
        ready = facts.readiness(self._fd)
        if ready & _POLLERR:
            return "error"
        if self.peer is None:
            return self._unconnected()
        # Only of a connection can the peer end a direction; elsewhere it was ourselves.
        is_connection = self.entry.type in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
        if ready & _POLLHUP:
            return "closed" if is_connection else "shut"
        if ready & _POLLRDHUP:
            return "peer-closed" if is_connection else "shut-read"
        return "shut-write" if self._is_shut_for_writing() else "connected"

    def _unconnected(self) -> str:
        return "created" if self.local is None else "bound"

    def _is_shut_for_writing(self) -> bool:
        """Tell a Unix stream whose writing side was shut: poll(2) does not show it.

        unix_stream_sendmsg looks at the shutdown bits first, and has nothing else to do for no bytes.
        """
        entry = self.entry
        if (entry.family, entry.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
            return False
        try:
            entry.sock.send(b"", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BrokenPipeError:
            return True
        except OSError:
            return False
        return False


@dataclass(frozen=True, slots=True)
class Info:
    """All the numbers that the kernel keeps about one socket; ``None`` where the family has none."""

    state: str
    queues: facts.Queues
    backlog: Backlog | None
    memory: facts.Memory
    tcp_info: tcp_info.TcpInfo | None
    poll: int
    mark: int
    priority: int
    incoming_cpu: int


def info(entry: Entry) -> Info:
    """Ask the kernel everything about a socket; some fifteen system calls."""
    view = View(entry)
    details = None
    if entry.type == socket.SOCK_STREAM and entry.family in _INET:
        try:
            details = tcp_info.read(entry.fd)
        except OSError:
            details = None
    return Info(
        state=view.state,
        queues=facts.queues(entry.fd),
        backlog=view.backlog,
        memory=facts.memory(entry.fd),
        tcp_info=details,
        poll=facts.readiness(entry.fd),
        mark=sockopt.number(entry.fd, socket.SOL_SOCKET, socket.SO_MARK),
        priority=sockopt.number(entry.fd, socket.SOL_SOCKET, socket.SO_PRIORITY),
        incoming_cpu=sockopt.number(entry.fd, socket.SOL_SOCKET, socket.SO_INCOMING_CPU),
    )


def holder_hint(address: Address | None, kind: int, protocol: int) -> str | None:
    """Say who is bound to an inet address, for the hint of an EADDRINUSE; ``None`` if nobody is found.

    The kernel tells uid and inode to everybody (as ``ss -e`` does).
    """
    if address is None or address.family not in _INET:
        return None
    host, port, *_ = address.sockaddr
    try:
        found = sock_diag.owner_of(address.family, protocol or _DEFAULT_PROTOCOLS.get(kind, 0), host, port)
    except OSError:  # no inet_diag for this protocol
        return None
    return None if found is None else f"it is held by a socket of uid {found[1]} (inode {found[0]})"


def _is_bound(entry: Entry, sockaddr: object) -> bool:
    """Whether a local address is more than the empty one that every socket begins with."""
    match entry.family, sockaddr:
        case ((socket.AF_INET | socket.AF_INET6), (host, port, *_)):
            # raw(7): what stands in a raw socket's port is its protocol.
            return host not in _WILDCARDS or (bool(port) and entry.type != socket.SOCK_RAW)
        case socket.AF_VSOCK, (_, port):
            return port != _UINT32_MAX
        case socket.AF_PACKET, (interface, *_):
            return bool(interface)
        case socket.AF_NETLINK, (pid, groups):
            return bool(pid or groups)
    return bool(sockaddr)


def port(view: View) -> int | None:
    """Read the local port; ``None`` for a socket without ports and for one that has none yet."""
    local = view.local
    if local is None or local.family not in (*_INET, socket.AF_VSOCK) or view.entry.type == socket.SOCK_RAW:
        return None
    return int(local.sockaddr[1])
