"""Why the kernel, the resolver or the daemon answers with an errno; written down here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an errno comes, and what helps in general; what helps one call is in ``core/hints.py``."""

    why: str
    cure: str = ""


CAUSES: Final[Mapping[str, Cause]] = {
    "EACCES": Cause(
        "Permission is missing: for a low port, a raw socket, a broadcast or a Unix path; or the daemon's "
        "policy does not grant it to you.",
        "`GET /v1/caller` shows what the policy grants you; `socketd policy check` tells the operator why.",
    ),
    "EADDRINUSE": Cause(
        "Another socket has the address. A TCP port is also taken for a minute after its last connection "
        "(TIME_WAIT).",
        "Set SO_REUSEADDR before bind to get past TIME_WAIT. Where we may know who has the port, "
        "the problem's `hint` says so.",
    ),
    "EADDRNOTAVAIL": Cause(
        "The address is not one of this host's; or, on connect, every ephemeral port to that peer is in use.",
        "`net.ipv4.ip_local_port_range` sets how many ephemeral ports there are.",
    ),
    "EAFNOSUPPORT": Cause(
        "The family is not in this kernel, or an address does not fit the socket's family."
    ),
    "EAGAIN": Cause(
        "Nothing is there and the call does not wait; or a queue is full; or too many calls wait already.",
        "Give a `timeout` above 0. On status 429, ask again after Retry-After.",
    ),
    "EALREADY": Cause(
        "An earlier connect on this socket is still under way; or the request with this Idempotency-Key was "
        "done before, and its answer is kept no more."
    ),
    "EBADF": Cause("The number or the name is none of yours: never made, closed, or another caller's."),
    "EBUSY": Cause("Somebody else uses it in a way that excludes this call."),
    "ECANCELED": Cause("The client hung up while its call waited. Nothing was taken from the socket."),
    "ECONNABORTED": Cause("The connection ended before it was accepted.", "Accept again."),
    "ECONNREFUSED": Cause("Nobody listens at the address; for a datagram, the peer said so by ICMP."),
    "ECONNRESET": Cause(
        "The peer ended the connection with a reset; what was unread at its side, and at ours, may be gone.",
        "Make a new connection.",
    ),
    "EDESTADDRREQ": Cause("The socket has no peer and the call names none."),
    "EDOM": Cause("A number is outside of what an option takes."),
    "EDQUOT": Cause(
        "You, or all callers together, have as many sockets or waiting calls as the policy lets you have, or "
        "have asked too often of late.",
        "Close what you no longer need, or ask again after Retry-After. `GET /v1/caller` shows your bounds.",
    ),
    "EEXIST": Cause("It is there already: the name, or a socket of that name with another specification."),
    "EHOSTDOWN": Cause("The peer's link says that the host is down.", "Check the host and the link."),
    "EHOSTUNREACH": Cause(
        "A router, or address resolution on the last link, says that the host cannot be reached.",
        "Check the host, its firewall (`REJECT`) and the route.",
    ),
    "EINPROGRESS": Cause("The connection is being made; the call did not wait for it."),
    "EINTR": Cause("The daemon is shutting down; the wait was ended and nothing was taken."),
    "EINVAL": Cause(
        "An argument cannot be meant, or the call does not fit the state of the socket.",
        "On status 422 `members` says which member of the request is wrong.",
    ),
    "EIO": Cause(
        "The daemon made a mistake; its log has the traceback under the request's id.", "Please report it."
    ),
    "EISCONN": Cause("The socket is connected already."),
    "ELOOP": Cause("The Unix path goes round in symbolic links."),
    "EMFILE": Cause("The daemon has as many descriptors as it may have."),
    "EMSGSIZE": Cause(
        "A datagram is longer than the protocol or the socket takes; or the request's body is too large.",
        "`limits.body_bytes` of `GET /v1/` is the largest body. Send streams in parts.",
    ),
    "ENAMETOOLONG": Cause(
        "A Unix path is longer than 107 bytes.", "Use a shorter directory or an abstract name."
    ),
    "ENETDOWN": Cause("The network interface is down.", "`ip link` shows it; `ip link set … up` starts it."),
    "ENETUNREACH": Cause(
        "No route leads to the address.", "`ip route get ADDRESS` shows what the kernel thinks."
    ),
    "ENFILE": Cause("The whole host has no file handle left."),
    "ENOBUFS": Cause(
        "The kernel has no buffer for it now.", "Ask again; `net.core.*mem_max` bounds buffers."
    ),
    "ENODEV": Cause("No network interface has this name or number.", "`ip link` lists them."),
    "ENOENT": Cause(
        "A Unix path, or a part of it, does not exist; or the API has no such route, or no such forward.",
        "On status 404, `GET /docs` lists the routes, and `GET /v1/forwards` your forwards.",
    ),
    "ENOMEM": Cause("The host has no memory for it now.", "Ask again, or close sockets."),
    "ENOPROTOOPT": Cause(
        "This socket, or this kernel, has no such option.",
        "`GET /v1/sockets/{ref}/options` lists those that it has.",
    ),
    "ENOSPC": Cause(
        "The file system of a Unix path, or of the daemon's state directory, is full.",
        "`df` shows it.",
    ),
    "ENOSYS": Cause(
        "This kernel does not have the call, or a filter of system calls keeps it from the daemon."
    ),
    "ENOTCONN": Cause("The socket is not connected."),
    "ENOTDIR": Cause("A part of the Unix path is a file."),
    "ENOTSOCK": Cause("The descriptor, or the file at the path, is no socket."),
    "EOPNOTSUPP": Cause(
        "This type of socket, this address or this path of the API does not have that operation.",
        "On status 405, the Allow header names the methods that there are.",
    ),
    "EPERM": Cause(
        "Permission is missing: a capability of the daemon, a firewall rule, or your right to it."
    ),
    "EPIPE": Cause("This direction has ended: by the peer's reset or close, or by a shutdown."),
    "EPROTO": Cause(
        "The protocol was violated before the connection was accepted; or a tunnel was asked for without "
        "`Upgrade`."
    ),
    "EPROTONOSUPPORT": Cause("The family and type have no such protocol, or it is not in this kernel."),
    "EPROTOTYPE": Cause("The protocol or the peer is of another socket type."),
    "ERANGE": Cause("An option's value is outside of what the kernel takes, or does not fit the buffer."),
    "EROFS": Cause(
        "The Unix path is on a file system that is mounted read-only.", "Choose another directory."
    ),
    "ESOCKTNOSUPPORT": Cause("The family has no sockets of this type."),
    "ESRCH": Cause("There is no such process, or no such entry in a table of the kernel."),
    "ESTALE": Cause(
        "The number belongs to another socket now than the one that If-Match names; or another daemon "
        "process serves now than the one that Socketd-Instance names."
    ),
    "ETIMEDOUT": Cause(
        "The time was over: the call's `timeout` (code timed_out), or the peer no longer answered "
        "(code kernel_refused).",
        "For the first, raise `timeout`, up to `limits.timeout_s` of `GET /v1/`.",
    ),
    "ETOOMANYREFS": Cause(
        "More descriptors are on their way through Unix sockets than the user may have open."
    ),
    "EAI_ADDRFAMILY": Cause(
        "The host has no address of this family.", "Leave family out, or ask for the other."
    ),
    "EAI_AGAIN": Cause("The name server gave no answer."),
    "EAI_BADFLAGS": Cause("The flags contradict each other.", "AI_CANONNAME needs a host."),
    "EAI_FAIL": Cause("The name server refused for good.", "Check /etc/resolv.conf of the daemon's host."),
    "EAI_FAMILY": Cause(
        "The resolver does not know this family.", "inet, inet6 and unspec are what it knows."
    ),
    "EAI_MEMORY": Cause("The resolver had no memory.", "Ask again."),
    "EAI_NODATA": Cause("The name exists and has no address.", "Ask for the other family."),
    "EAI_NONAME": Cause("There is no such host or service, or neither was given."),
    "EAI_SERVICE": Cause("The service does not exist for this type of socket."),
    "EAI_SOCKTYPE": Cause("The type and the protocol do not go together.", "Leave one of them out."),
    "EAI_SYSTEM": Cause("The resolver itself failed.", "The problem's `detail` says how."),
}
