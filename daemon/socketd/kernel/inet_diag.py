"""``struct inet_diag_msg``: how to ask for internet sockets, and the record of one answer."""

from __future__ import annotations

import _socket
import struct
import sys
from dataclasses import dataclass

from socketd.kernel import facts, netlink, tcp_info

_SKMEMINFO, _SHUTDOWN, _SKV6ONLY, _MARK, _CGROUP_ID = 7, 8, 11, 15, 21  # INET_DIAG_*
_EXTENSIONS = 1 << (_SKMEMINFO - 1)  # the others here come unasked
_REQ_PROTOCOL = 3  # INET_DIAG_REQ_PROTOCOL
_LAST_BYTE_PROTOCOL = 255

# Ports and addresses are in network order and the rest is in the host's, hence the bytes in between. A cookie
# is two words, the low one first on every architecture.
_REQUEST = struct.Struct("=BBBxI2s2s16s16sI2I")
_MESSAGE = struct.Struct("=4B2s2s16s16sI2I5I")
_PORT = struct.Struct("!H")
_NO_PORT, _NO_ADDRESS, _NO_COOKIE = bytes(2), bytes(16), 0xFFFFFFFF
_ADDRESS_BYTES = {int(_socket.AF_INET): 4, int(_socket.AF_INET6): 16}
_TIMER_NAMES = ("off", "retransmit", "keepalive", "time_wait", "probe")


@dataclass(frozen=True, slots=True)
class InetSocket:
    """One internet socket of this network namespace.

    Attributes:
        state: TCP's number, for every protocol; an unconnected UDP socket is in CLOSE.
        interface: Index of the network interface it is bound to, or 0.
        timer_expires_ms: Until the running timer fires; 0 when none runs.
        retrans: Retransmissions or probes so far, by what the timer is for.
        rqueue: Bytes to be received; of a listener the connections waiting to be accepted.
        wqueue: Bytes not yet acknowledged; of a listener the most connections that may wait.
        inode: 0 where no descriptor refers to it (TIME_WAIT, not accepted yet, closed).
        is_v6only: ``None`` on IPv4, and once connected.
        shutdown: Bit 0 for reading, bit 1 for writing; ``None`` where there is nothing to shut (TIME_WAIT).
        mark: ``SO_MARK``; ``None`` when we lack CAP_NET_ADMIN.
        cgroup_id: ``None`` on kernels without.
    """

    family: int
    protocol: int
    state: int
    state_name: str
    local: tuple[str, int]
    peer: tuple[str, int]
    interface: int
    cookie: int
    timer: str
    timer_expires_ms: int
    retrans: int
    rqueue: int
    wqueue: int
    uid: int
    inode: int
    is_v6only: bool | None
    shutdown: int | None
    memory: facts.Memory | None
    mark: int | None
    cgroup_id: int | None


def request(family: int, protocol: int, states: int, local_port: int = 0) -> bytes:
    """Put together ``struct inet_diag_req_v2``.

    Args:
        family: ``AF_INET`` or ``AF_INET6``.
        protocol: ``IPPROTO_*``; one above 255 (MPTCP is 262) goes into an attribute, as the field is a byte.
        states: One bit a state, ``1 << tcp_info.LISTEN``.
        local_port: Only sockets on this port; 0 for all.
    """
    is_wide = protocol > _LAST_BYTE_PROTOCOL
    fixed = _REQUEST.pack(
        family,
        0 if is_wide else protocol,
        _EXTENSIONS,
        states,
        _PORT.pack(local_port),
        _NO_PORT,
        _NO_ADDRESS,
        _NO_ADDRESS,
        0,
        _NO_COOKIE,
        _NO_COOKIE,
    )
    if not is_wide:
        return fixed
    return fixed + netlink.attribute(_REQ_PROTOCOL, protocol.to_bytes(4, sys.byteorder))


def decode(payload: bytes, protocol: int) -> InetSocket:
    """Turn one answer into a record.

    Args:
        payload: What follows the netlink header.
        protocol: What was asked for; the answer does not repeat it.

    Raises:
        ValueError: ``payload`` ends early, or is of no family asked for.

    Source: sock_diag(7); include/uapi/linux/inet_diag.h.
    """
    if len(payload) < _MESSAGE.size:
        raise ValueError(f"inet_diag_msg of {len(payload)} bytes, at least {_MESSAGE.size} expected")
    fixed = _MESSAGE.unpack_from(payload)
    family, state, timer, retrans, local_port, peer_port, local_address, peer_address, interface = fixed[:9]
    cookie_low, cookie_high, expires_ms, rqueue, wqueue, uid, inode = fixed[9:]
    found = netlink.attributes(payload[_MESSAGE.size :])
    return InetSocket(
        family=family,
        protocol=protocol,
        state=state,
        state_name=tcp_info.name_of(state),
        local=_address(family, local_address, local_port),
        peer=_address(family, peer_address, peer_port),
        interface=interface,
        cookie=cookie_high << 32 | cookie_low,
        timer=_TIMER_NAMES[timer] if timer < len(_TIMER_NAMES) else str(timer),
        timer_expires_ms=expires_ms,
        retrans=retrans,
        rqueue=rqueue,
        wqueue=wqueue,
        uid=uid,
        inode=inode,
        is_v6only=_flag(found, _SKV6ONLY),
        shutdown=_number(found, _SHUTDOWN),
        memory=facts.decode_memory(found[_SKMEMINFO]) if _SKMEMINFO in found else None,
        mark=_number(found, _MARK),
        cgroup_id=_number(found, _CGROUP_ID),
    )


def _address(family: int, address: bytes, port: bytes) -> tuple[str, int]:
    length = _ADDRESS_BYTES.get(family)
    if length is None:
        raise ValueError(f"inet_diag_msg of family {family}")
    return _socket.inet_ntop(family, address[:length]), int.from_bytes(port, "big")


def _flag(found: dict[int, bytes], kind: int) -> bool | None:
    number = _number(found, kind)
    return None if number is None else bool(number)


def _number(found: dict[int, bytes], kind: int) -> int | None:
    return int.from_bytes(found[kind], sys.byteorder) if kind in found else None
