"""What the daemon answers, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from socketd_client.addresses import Address, address_from_json
from socketd_client.wire import Record, decoded, each

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Owner(Record):
    """Who created or gave a socket: a user, a token or a client certificate; the others are ``None``.

    ``user`` is ``None`` also where the uid has no name.
    """

    uid: int | None = None
    user: str | None = None
    token: str | None = None
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Listening(Record):
    """A listener's queue: ``pending`` connections of at most ``backlog``; ``None`` if not told."""

    backlog: int | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class ProcPaths(Record):
    """Where the daemon's host shows the descriptor."""

    link: str
    path: str
    fdinfo: str


@dataclass(frozen=True, slots=True)
class Taker(Record):
    """Who took a descriptor last, and when; ``pid`` as the daemon sees it."""

    uid: int
    pid: int | None = None
    at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))


@dataclass(frozen=True, slots=True)
class SocketInfo(Record):
    """A held socket as the daemon described it at one moment.

    Attributes:
        fd: The descriptor's number in the daemon's process ``pid``.
        cookie: ``SO_COOKIE``: the socket's identity, never reused.
        state: created, bound, listening, connecting, connected, peer-closed, shut-read, shut-write, shut,
            closed or error; derived from the kernel when asked.
        accepted_from: The listener's ``fd``.
        kept: Who has it: ``daemon`` alone, ``keeper`` too, or a third as well, ``supervisor``, ``systemd``.
        persist: ``"boot"`` if it is made again after a reboot, else ``False``.
        taken: How often its descriptor was handed out, ``taken_by`` to whom last.
    """

    fd: int
    pid: int
    inode: int
    cookie: int
    family: str
    type: str
    protocol: str
    state: str
    name: str | None = None
    owner: Owner | None = field(default=None, metadata=decoded(Owner.from_json))
    local: Address | None = field(default=None, metadata=decoded(address_from_json))
    peer: Address | None = field(default=None, metadata=decoded(address_from_json))
    listening: Listening | None = field(default=None, metadata=decoded(Listening.from_json))
    accepted_from: int | None = None
    created_at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))
    kept: str = "daemon"
    persist: str | Literal[False] = False
    taken: int = 0
    taken_by: Taker | None = field(default=None, metadata=decoded(Taker.from_json))
    proc: ProcPaths | None = field(default=None, metadata=decoded(ProcPaths.from_json))


@dataclass(frozen=True, slots=True)
class Queues(Record):
    """Bytes in a socket's two directions: arrived and not read, sent and not acknowledged."""

    unread_bytes: int | None = None
    unsent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class KernelView(Record):
    """What the kernel knows about a socket; ``tcp_info`` and ``memory`` have their units in the names."""

    fd: int
    inode: int
    cookie: int
    state: str
    queues: Queues | None = field(default=None, metadata=decoded(Queues.from_json))
    listening: Listening | None = field(default=None, metadata=decoded(Listening.from_json))
    memory: Mapping[str, Any] | None = None
    tcp_info: Mapping[str, Any] | None = None
    poll: tuple[str, ...] = field(default=(), metadata=decoded(tuple))
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class SocketOption(Record):
    """One option; ``value`` is ``None`` where only ``base64`` can say it."""

    name: str
    level: int
    number: int
    type: str
    value: Any = None
    base64: str | None = None
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Limits(Record):
    """What the daemon gives one caller or one call at most."""

    timeout_s: float | None = None
    body_bytes: int | None = None
    recv_bytes: int | None = None
    waits: int | None = None
    count: int | None = None
    descriptors: int | None = None


@dataclass(frozen=True, slots=True)
class Caller(Record):
    """Who the daemon takes this client for; ``via`` is ``unix`` or ``tcp``."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    user: str | None = None
    token: str | None = None
    certificate: str | None = None
    via: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceInfo(Record):
    """The daemon's description of itself.

    Attributes:
        keeper: ``up`` if held sockets outlive the daemon, ``away`` if the keeper is not there for now,
            ``none`` if there is no keeper.
    """

    service: str
    version: str
    pid: int
    uptime_s: float
    api_versions: tuple[str, ...] = field(default=(), metadata=decoded(tuple))
    extensions: frozenset[str] = field(default=frozenset(), metadata=decoded(frozenset))
    sockets: int = 0
    keeper: str = "none"
    limits: Limits = field(default=Limits(), metadata=decoded(Limits.from_json))
    links: Mapping[str, str] | None = None
    caller: Caller | None = field(default=None, metadata=decoded(Caller.from_json))


@dataclass(frozen=True, slots=True)
class DescriptorUsage(Record):
    """How many descriptors the daemon has open, and how many it may."""

    open: int
    soft_limit: int
    hard_limit: int


@dataclass(frozen=True, slots=True)
class ProcessInfo(Record):
    """The daemon's process."""

    pid: int
    ppid: int
    uid: int
    gid: int
    command: tuple[str, ...] = field(default=(), metadata=decoded(tuple))
    started_at: datetime | None = field(default=None, metadata=decoded(datetime.fromisoformat))
    uptime_s: float | None = None
    threads: int | None = None
    rss_bytes: int | None = None
    descriptors: DescriptorUsage | None = field(default=None, metadata=decoded(DescriptorUsage.from_json))
    byte_order: str | None = None


@dataclass(frozen=True, slots=True)
class HeldBrief(Record):
    """A held socket in one line of the descriptor list; ``local`` and ``peer`` are text."""

    name: str | None = None
    family: str | None = None
    type: str | None = None
    protocol: str | None = None
    state: str | None = None
    local: str | None = None
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Descriptor(Record):
    """One descriptor of the daemon, of whatever kind; ``socket`` is set for held sockets."""

    fd: int
    link: str
    socket: HeldBrief | None = field(default=None, metadata=decoded(HeldBrief.from_json))


@dataclass(frozen=True, slots=True)
class DescriptorDetail(Record):
    """One descriptor's ``fdinfo``; ``flags`` is octal, as the kernel writes it, ``text`` the file itself."""

    fd: int
    link: str
    pos: int | None = None
    flags: str | None = None
    flag_names: tuple[str, ...] = field(default=(), metadata=decoded(tuple))
    mnt_id: int | None = None
    ino: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class AddrInfo(Record):
    """One result of ``getaddrinfo``, names as ``sockets.create`` takes them."""

    family: str
    type: str
    protocol: str
    address: Address = field(metadata=decoded(address_from_json))


@dataclass(frozen=True, slots=True)
class Resolution(Record):
    """All results of ``getaddrinfo``, in the resolver's order."""

    canonical_name: str | None = None
    results: tuple[AddrInfo, ...] = field(default=(), metadata=decoded(each(AddrInfo.from_json)))


@dataclass(frozen=True, slots=True)
class ByteOrder(Record):
    """A number between host and network order, with the bytes of both in memory order."""

    function: str
    width_bits: int
    value: int
    result: int
    value_hex: str = ""
    result_hex: str = ""
    host_bytes: tuple[int, ...] = field(default=(), metadata=decoded(tuple))
    network_bytes: tuple[int, ...] = field(default=(), metadata=decoded(tuple))
    host_order: str = ""


@dataclass(frozen=True, slots=True)
class BinaryNetwork(Record):
    """Address, mask and network as bits."""

    address: str = ""
    mask: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Network(Record):
    """What an address and a prefix length mean; ``broadcast`` is ``None`` for IPv6."""

    address: str
    version: int
    prefix: int
    mask: str
    wildcard: str
    network: str
    broadcast: str | None
    first_host: str
    last_host: str
    host_count: int
    address_count: int
    kinds: tuple[str, ...] = field(default=(), metadata=decoded(tuple))
    binary: BinaryNetwork | None = field(default=None, metadata=decoded(BinaryNetwork.from_json))
