"""Socket options the daemon must not touch for others, and what to say where the kernel refuses one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from socketd.core.option_rows import Option

_ADDRESS: Final = "carries an address in the memory of the process that calls"
_DESCRIPTOR: Final = "names or makes a descriptor of the process that calls"

# The process that calls is the daemon: a caller's number would be read as the daemon's own memory or
# descriptor, and a new descriptor would stay there unseen. CPython hands getsockopt an uninitialised
# buffer, so that what an option reads from it (TCP_ZEROCOPY_RECEIVE) would be chance, or worse.
_REFUSED: Final = {
    (1, 26): ("SO_ATTACH_FILTER", _ADDRESS),
    (1, 50): ("SO_ATTACH_BPF", _DESCRIPTOR),
    (1, 51): ("SO_ATTACH_REUSEPORT_CBPF", _ADDRESS),
    (1, 52): ("SO_ATTACH_REUSEPORT_EBPF", _DESCRIPTOR),
    (1, 77): ("SO_PEERPIDFD", _DESCRIPTOR),
    (6, 35): ("TCP_ZEROCOPY_RECEIVE", _ADDRESS),
    (0, 64): ("IPT_SO_SET_REPLACE", _ADDRESS),
    (0, 65): ("IPT_SO_SET_ADD_COUNTERS", _ADDRESS),
    (0, 96): ("ARPT_SO_SET_REPLACE", _ADDRESS),
    (0, 97): ("ARPT_SO_SET_ADD_COUNTERS", _ADDRESS),
    (0, 128): ("EBT_SO_SET_ENTRIES", _ADDRESS),
    (0, 129): ("EBT_SO_SET_COUNTERS", _ADDRESS),
    (41, 64): ("IP6T_SO_SET_REPLACE", _ADDRESS),
    (41, 65): ("IP6T_SO_SET_ADD_COUNTERS", _ADDRESS),
    (132, 102): ("SCTP_SOCKOPT_PEELOFF", _DESCRIPTOR),
    (132, 111): ("SCTP_SOCKOPT_CONNECTX3", _ADDRESS),
    (132, 122): ("SCTP_SOCKOPT_PEELOFF_FLAGS", _DESCRIPTOR),
    (263, 22): ("PACKET_FANOUT_DATA", _ADDRESS),
    (276, 2): ("RDS_GET_MR", _ADDRESS),
    (276, 7): ("RDS_GET_MR_FOR_DEST", _ADDRESS),
    (283, 4): ("XDP_UMEM_REG", _ADDRESS),
}
REFUSED_NAMES: Final = {name.lower(): pair for pair, (name, _) in _REFUSED.items()}

_OWNERS: Final = {
    0: "IPv4",
    6: "TCP",
    17: "UDP",
    40: "vsock",
    41: "IPv6",
    58: "raw ICMPv6",
    136: "UDP-Lite",
    255: "raw IPv4 ICMP",
    263: "packet",
    270: "netlink",
    284: "MPTCP",
}
_HINTS: Final = {
    ("EACCES", "SO_DEBUG"): "needs CAP_NET_ADMIN",
    ("EPERM", "SO_MARK"): "needs CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17",
    ("EPERM", "SO_PRIORITY"): "above 6 needs CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17",
    ("EPERM", "SO_BINDTODEVICE"): "changing the interface of a socket that has one needs CAP_NET_RAW",
    ("EPERM", "SO_BINDTOIFINDEX"): "changing the interface of a socket that has one needs CAP_NET_RAW",
    ("EPERM", "SO_LOCK_FILTER"): "the filter is locked for good",
    ("EPERM", "SO_DETACH_FILTER"): "SO_LOCK_FILTER is set",
    ("EPERM", "TCP_CONGESTION"): (
        "who lacks CAP_NET_ADMIN may choose from /proc/sys/net/ipv4/tcp_allowed_congestion_control only"
    ),
    ("EPERM", "IP_TRANSPARENT"): "needs CAP_NET_ADMIN or CAP_NET_RAW",
    ("EPERM", "IPV6_TRANSPARENT"): "needs CAP_NET_ADMIN or CAP_NET_RAW",
    ("ENOENT", "TCP_CONGESTION"): "/proc/sys/net/ipv4/tcp_available_congestion_control lists what there is",
    ("ENOENT", "TCP_ULP"): "this kernel has no such protocol (loaded)",
    ("ENODEV", "SO_BINDTODEVICE"): "no network interface has this name",
    ("ENOENT", "SO_DETACH_FILTER"): "no filter is attached",
    ("EINVAL", "IPV6_V6ONLY"): "only before bind",
    ("ENOTCONN", "IP_MTU"): "connect first: the path MTU is that of a connection",
    ("ENOTCONN", "IPV6_MTU"): "connect first: the path MTU is that of a connection",
    ("ENOTCONN", "TCP_ULP"): "connect first",
    ("ERANGE", "SO_PEERGROUPS"): "the list does not fit 1024 bytes",
}
# Linux has one number for EOPNOTSUPP and ENOTSUP, and errno.errorcode names it by the latter.
_NOT_OF_THIS_SOCKET: Final = frozenset({"ENOPROTOOPT", "EOPNOTSUPP", "ENOTSUP"})


def check_allowed(level: int, number: int) -> None:
    """Refuse an option that means the memory or the descriptors of the calling process.

    Raises:
        InvalidRequestError: it is one of them.
    """
    if (level, number) in _REFUSED:
        name, why = _REFUSED[level, number]
        raise InvalidRequestError(
            f"option: {name} {why}, which here is the daemon",
            member="option",
            symbol="EOPNOTSUPP",
            hint="take the descriptor and set the option in your own process: the socket is the same",
        )


def hint(option: Option, symbol: str) -> str | None:
    """Tell what to do about the kernel's refusal; ``None`` where the errno says it all."""
    known = _HINTS.get((symbol, option.name))
    if known is not None:
        return f"{option.name}: {known}"
    if symbol == "EPERM":
        return f"{option.name} needs a capability the daemon lacks, most likely CAP_NET_ADMIN"
    if symbol in _NOT_OF_THIS_SOCKET:
        owner = _OWNERS.get(option.level)
        return (
            f"{option.name} is an option of {owner} sockets" if owner else "no option of this kind of socket"
        )
    return None
