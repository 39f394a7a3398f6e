"""One rule of a policy: whom it is for, and what it grants; nothing it says takes anything away."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, fields
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

from socketd.access import networks
from socketd.access.patterns import Everything, Place, UnixPath, fits
from socketd.access.questions import Act, Bind, Connect, Create, Question, See, SetOption, UseName
from socketd.core import constants
from socketd.core.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from socketd.access.patterns import Pattern
    from socketd.core.owner import Owner

FAR_REACHING: Final = frozenset(
    {
        # which network, which routes and which firewall rules a socket meets
        *("SO_BINDTODEVICE", "SO_BINDTOIFINDEX", "SO_MARK", "SO_PRIORITY", "IP_OPTIONS", "IP_ROUTER_ALERT"),
        *("IPV6_HOPOPTS", "IPV6_RTHDRDSTOPTS", "IPV6_RTHDR", "IPV6_DSTOPTS", "IPV6_ROUTER_ALERT"),
        # addresses that are not this host's, or not yet
        *("IP_TRANSPARENT", "IPV6_TRANSPARENT", "IP_FREEBIND", "IPV6_FREEBIND", "IPV6_JOIN_ANYCAST"),
        *("IP_HDRINCL", "IPV6_HDRINCL"),
        # The kernel lets sockets of one user share a port, and all that the daemon holds are of one user.
        *("SO_REUSEPORT", "SO_DETACH_REUSEPORT_BPF"),
        # memory and processors of the host
        *("SO_RCVBUFFORCE", "SO_SNDBUFFORCE", "SO_RESERVE_MEM", "SO_DEBUG"),
        *("SO_BUSY_POLL", "SO_PREFER_BUSY_POLL", "SO_BUSY_POLL_BUDGET", "PACKET_QDISC_BYPASS"),
        # what the kernel itself does with the bytes, and keys
        *("TCP_ULP", "UDP_ENCAP", "TCP_REPAIR", "TCP_REPAIR_QUEUE", "TCP_QUEUE_SEQ", "TCP_REPAIR_OPTIONS"),
        *("TCP_REPAIR_WINDOW", "TCP_MD5SIG", "TCP_MD5SIG_EXT", "TCP_AO_ADD_KEY", "TCP_AO_DEL_KEY"),
        *("TCP_AO_INFO", "TCP_AO_REPAIR", "TCP_FASTOPEN_KEY", "NETLINK_LISTEN_ALL_NSID"),
    }
)
"""Options that reach beyond the socket; no glob but ``*`` grants them, only their own names do."""

_USUAL_TYPES: Final = frozenset(map(int, (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)))
_USUAL_PROTOCOLS: Final = {
    int(socket.AF_UNIX): frozenset({"default"}),
    int(socket.AF_INET): frozenset({"default", "tcp", "udp", "udplite", "mptcp"}),
    int(socket.AF_INET6): frozenset({"default", "tcp", "udp", "udplite", "mptcp"}),
    int(socket.AF_VSOCK): frozenset({"default"}),
}
"""What needs no ``protocols``; each of the rest (raw, netlink, sctp, …) is one more way into the kernel."""
_IN6_ANY: Final = IPv6Address("::")
_EVERYTHING: Final = Everything()


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a rule is for: any one of these is enough.

    Attributes:
        uids, gids: Users and groups by number; a group is one of the caller's, supplementary ones too.
        tokens, certificates: Names, ``*`` for any.
        is_daemon_user: Whoever has the daemon's own uid.
        is_anyone: Everybody.
    """

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    tokens: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()
    is_daemon_user: bool = False
    is_anyone: bool = False

    def matches(self, owner: Owner, groups: frozenset[int], daemon_uid: int) -> bool:
        """Whether a caller is one of them."""
        return (
            self.is_anyone
            or (owner.uid is not None and owner.uid in self.uids)
            or (self.is_daemon_user and owner.uid == daemon_uid)
            or not self.gids.isdisjoint(groups)
            or _is_named(owner.token, self.tokens)
            or _is_named(owner.certificate, self.certificates)
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """Bounds for one caller, or for all together; ``None``: not bounded here.

    Attributes:
        sockets: Held at the same time.
        waits: Calls that wait at the same time.
        buffered_bytes: Of kept answers.
        requests_per_s: In the long run; ``burst`` at once.
    """

    sockets: int | None = None
    waits: int | None = None
    buffered_bytes: int | None = None
    requests_per_s: float | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a matching caller may do.

    Attributes:
        name: Unique in its policy.
        families, types: Numbers; ``None`` for all.
        protocols: Names besides the usual ones; ``*`` for all.
        options, names: Globs.
        see: Owners as text (``uid:33``), or ``all``; one's own are always seen.
        rights: Of ``questions.RIGHTS``.
        quota: Bounds; by default none.
        words: What it grants as the policy has it, for people.
        line: Where it begins there, if that is known.
    """

    name: str
    who: Who
    families: frozenset[int] | None = frozenset()
    types: frozenset[int] | None = frozenset()
    protocols: frozenset[str] = frozenset()
    bind: tuple[Pattern, ...] = ()
    connect: tuple[Pattern, ...] = ()
    options: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    see: frozenset[str] = frozenset()
    rights: frozenset[str] = frozenset()
    quota: Quota = Quota()
    words: Mapping[str, Any] = field(default_factory=dict, compare=False)
    line: int | None = field(default=None, compare=False)

    def grants(self, question: Question, user: str | None) -> bool:
        """Whether the rule says yes; ``user`` is what ``{user}`` stands for."""
        return _ANSWERS[type(question)](self, question, user)

    def create(self, question: Create, _user: str | None) -> bool:
        """Families and types are both needed, and the protocol where it is not a usual one."""
        return (
            (self.families is None or question.family in self.families)
            and (self.types is None or question.type in self.types)
            and self._speaks(question)
        )

    def _speaks(self, question: Create) -> bool:
        name = constants.protocol_name(question.protocol, question.family, question.type)
        if question.type in _USUAL_TYPES and name in _USUAL_PROTOCOLS.get(question.family, ()):
            return True
        return name in self.protocols or "*" in self.protocols

    def bound(self, question: Bind, user: str | None) -> bool:
        """Whether the address may be bound; ``::`` of a dual socket is ``0.0.0.0`` as well."""
        if _EVERYTHING in self.bind:
            return True
        address = question.address
        wanted = [address]
        if question.is_dual and address.family == socket.AF_INET6:
            host, port = networks.host_of(address)
            if host == _IN6_ANY:
                wanted.append(Address(socket.AF_INET, ("0.0.0.0", port)))  # noqa: S104 (it is asked for)
        return all(_is_covered(self.bind, Place(each, is_remote=False, user=user)) for each in wanted)

    def connected(self, question: Connect, user: str | None) -> bool:
        """Whether the address may be reached, and the one that a tunnel or translator makes of it."""
        if _EVERYTHING in self.connect:
            return True
        wanted = [question.address]
        if question.address.family == socket.AF_INET6:
            host, port = networks.host_of(question.address)
            behind = networks.embedded(host)
            if behind is not None:
                wanted.append(Address(socket.AF_INET, (str(behind), port)))
        return all(_is_covered(self.connect, Place(each, is_remote=True, user=user)) for each in wanted)

    def folders(self, question: Bind | Connect, user: str | None) -> frozenset[str | None]:
        """Name the folders by which a path is granted; ``None`` among them: all paths are."""
        is_remote = isinstance(question, Connect)
        place = Place(question.address, is_remote=is_remote, user=user)
        covering = [each for each in (self.connect if is_remote else self.bind) if each.covers(place)]
        return frozenset(each.folder(user) if isinstance(each, UnixPath) else None for each in covering)

    def option(self, question: SetOption, _user: str | None) -> bool:
        """Whether the option may be set; numbers that have no name could be any."""
        wanted = question.name
        if wanted in FAR_REACHING or ":" in wanted:
            return wanted in self.options or "*" in self.options
        return any(fits(wanted, glob, None) for glob in self.options)

    def named(self, question: UseName, user: str | None) -> bool:
        """Whether the name may be given."""
        return any(fits(question.name, glob, user) for glob in self.names)

    def sees(self, question: See, _user: str | None) -> bool:
        """Whether somebody else's sockets may be seen."""
        return "all" in self.see or str(question.owner) in self.see

    def may(self, question: Act, _user: str | None) -> bool:
        """Whether the right is given."""
        return question.right in self.rights


_ANSWERS: Final[dict[type, Callable[..., bool]]] = {
    Create: Rule.create,
    Bind: Rule.bound,
    Connect: Rule.connected,
    SetOption: Rule.option,
    UseName: Rule.named,
    See: Rule.sees,
    Act: Rule.may,
}


def largest(quotas: Iterable[Quota]) -> Quota:
    """Put the quotas of rules that match together: of each bound the largest; a rule without it has none.

    Otherwise to remove a rule could lift a bound, and a narrower policy grant more.
    """
    given = list(quotas)
    bounds = {}
    for bound in fields(Quota):
        values = [getattr(quota, bound.name) for quota in given]
        bounds[bound.name] = None if None in values or not values else max(values)
    return Quota(**bounds)


def _is_covered(patterns: tuple[Pattern, ...], place: Place) -> bool:
    return any(pattern.covers(place) for pattern in patterns)


def _is_named(name: str | None, wanted: frozenset[str]) -> bool:
    return name is not None and (name in wanted or "*" in wanted)
