"""What to do about a system call's refusal: one table by call and errno."""

from __future__ import annotations

import errno
import os
from typing import Final

from socketd.errors import KernelRefusedError

HINTS: Final = {
    ("socket", errno.EAFNOSUPPORT): "this kernel was built without the family, or the module is not loaded",
    (
        "socket",
        errno.EPROTONOSUPPORT,
    ): "the family has no such protocol for this type; leave protocol out for the default",
    ("socket", errno.ESOCKTNOSUPPORT): "the family has no sockets of this type",
    ("socket", errno.EPERM): "raw and packet sockets need CAP_NET_RAW in the daemon",
    ("socket", errno.EACCES): "raw and ping sockets need CAP_NET_RAW, or net.ipv4.ping_group_range for ping",
    ("bind", errno.EACCES): (
        "ports below net.ipv4.ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE in the daemon; "
        "take a larger port, grant the capability, or lower the sysctl. A Unix path needs write "
        "permission on its directory"
    ),
    ("bind", errno.EADDRINUSE): "another socket is bound there; choose another port, or 0 for any free one",
    (
        "bind",
        errno.EADDRNOTAVAIL,
    ): "no interface of this host has the address; 'ip address' lists them, IP_FREEBIND allows it",
    ("bind", errno.EINVAL): "a socket is bound once; this one already has an address",
    ("bind", errno.ENOENT): "a directory of the path does not exist",
    ("bind", errno.ENODEV): "an IPv6 link-local address needs the interface: [fe80::1%eth0]:80",
    ("listen", errno.EOPNOTSUPP): "only stream and seqpacket sockets listen",
    ("listen", errno.EINVAL): "bind it first; a connected socket cannot listen",
    ("listen", errno.EADDRINUSE): "another socket listens on that port",
    ("accept", errno.EINVAL): "call listen first",
    ("accept", errno.EAFNOSUPPORT): "the daemon cannot read addresses of this family; take the descriptor",
    ("accept", errno.EOPNOTSUPP): "only listening stream and seqpacket sockets accept",
    ("connect", errno.ECONNREFUSED): "nobody listens at that address",
    ("connect", errno.EISCONN): "it is connected already; shut it down or make another socket",
    ("connect", errno.EALREADY): "an earlier connect is still under way; poll it for POLLOUT",
    ("connect", errno.EINPROGRESS): "the connection is being made; poll for POLLOUT, then read SO_ERROR",
    ("connect", errno.ENOENT): "there is no socket file at that path",
    ("connect", errno.EACCES): "a broadcast address needs SO_BROADCAST; a Unix path needs write permission",
    ("connect", errno.EPROTOTYPE): "the socket at that path is of another type",
    ("connect", errno.ENETUNREACH): "no route leads there",
    ("send", errno.ENOTCONN): "connect it first, or give the address to send to",
    ("send", errno.EDESTADDRREQ): "give the address to send to, or connect it first",
    ("send", errno.EPIPE): "the peer, or a shutdown of ours, ended this direction",
    (
        "send",
        errno.EMSGSIZE,
    ): "the message is too long for one datagram of this socket (65,507 bytes for UDP over IPv4)",
    ("send", errno.EISCONN): "it is connected; send without an address",
    ("send", errno.EACCES): "a broadcast address needs the option SO_BROADCAST",
    ("recv", errno.ENOTCONN): "connect it first, or accept from a listener",
    ("recv", errno.EAFNOSUPPORT): "the daemon cannot read addresses of this family; take the descriptor",
    ("recv", errno.EINVAL): "no out-of-band data is there; poll it for POLLPRI",
    ("recv", errno.ECONNRESET): "the peer reset the connection",
    ("getsockname", errno.ENOTSOCK): "only sockets can be held; it was closed again",
    ("pidfd_getfd", errno.ESRCH): "no process has this pid in the daemon's namespace",
    ("pidfd_getfd", errno.EBADF): "the process has no such descriptor; ls -l /proc/PID/fd lists them",
    ("pidfd_getfd", errno.EPERM): (
        "the daemon may not trace that process: it needs CAP_SYS_PTRACE, or the same user and a "
        "kernel.yama.ptrace_scope of 0"
    ),
    ("pidfd_getfd", errno.ENOSYS): "this kernel, or the daemon's SystemCallFilter=, lacks the call",
    ("chown", errno.EPERM): (
        "the daemon gives a file only to groups that it is in itself (SupplementaryGroups=), and where its "
        "SystemCallFilter= has @chown; or as root"
    ),
    ("sendmsg", errno.EPERM): "the receiver has turned SO_PASSRIGHTS off on its end of the connection",
    (
        "sendmsg",
        errno.ETOOMANYREFS,
    ): "too many descriptors are under way; let their receivers read them first",
    ("shutdown", errno.ENOTCONN): "only a connected socket can be shut down",
}
OUT_OF: Final = {
    errno.EMFILE: "close sockets you no longer need, or raise LimitNOFILE= (RLIMIT_NOFILE) of the daemon",
    errno.ENFILE: "the whole host is out of file handles; fs.file-max limits them",
}


def refused(error: OSError, syscall: str) -> KernelRefusedError:
    """Say what a system call answered, with what can be done about it."""
    number = number_of(error)
    told = OSError(number, os.strerror(number))
    return KernelRefusedError(told, syscall, hint=HINTS.get((syscall, number)) or OUT_OF.get(number))


def number_of(error: OSError) -> int:
    """Give the errno of a refusal.

    CPython itself refuses families whose addresses it cannot write ("getsockaddrlen: bad family", of AF_XDP
    for one), and gives no errno then.
    """
    return errno.EAFNOSUPPORT if error.errno is None else error.errno
