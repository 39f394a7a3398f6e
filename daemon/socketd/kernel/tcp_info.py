"""``struct tcp_info``: what TCP knows of one connection or listener."""

from __future__ import annotations

import _socket
import itertools
import struct
import sys
from dataclasses import dataclass

from socketd.kernel import sockopt

STATE_NAMES = (
    "UNKNOWN",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
    "BOUND_INACTIVE",
)
CA_STATE_NAMES = ("OPEN", "DISORDER", "CWR", "RECOVERY", "LOSS")
LISTEN = STATE_NAMES.index("LISTEN")
BOUND_INACTIVE = STATE_NAMES.index("BOUND_INACTIVE")

_OPTION_NAMES = ("timestamps", "sack", "wscale", "ecn", "ecn_seen", "syn_data", "usec_ts", "tfo_child")
_BYTES = struct.Struct("=8B")
_NUMBERS = struct.Struct("=24I4Q6I4Q2I2Q6I2H9I")
_NUMBER_SIZES = [4] * 24 + [8] * 4 + [4] * 6 + [8] * 4 + [4] * 2 + [8] * 2 + [4] * 6 + [2] * 2 + [4] * 9
_ENDS = tuple(itertools.accumulate(_NUMBER_SIZES, initial=_BYTES.size))[1:]
_LONGEST = _ENDS[-1]  # 280 bytes, Linux 6.18
_SHORTEST = 104  # up to tcpi_total_retrans, where Linux 2.6.12 ended
_HOT = struct.Struct("=B23xII")  # tcpi_state, and tcpi_unacked and tcpi_sacked at bytes 24 and 28
_ROOM = 512


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One ``struct tcp_info``, in its order; a name without a unit counts segments or events.

    Attributes:
        unacked: Segments in flight; of a listener the connections waiting to be accepted.
        sacked: Segments acknowledged out of order; of a listener the most that may wait.
        snd_ssthresh: Segments; 2,147,483,647 until slow start has ended once.
        pacing_rate_bytes_per_s: All ones (2**64 - 1) for no limit.
        last_ack_sent_ms: Always 0; the kernel does not remember it.
        accecn_word: The last four bytes as they are. Linux 6.18 has two 16-bit numbers there (fail mode,
            option seen), 7.0 has four bit fields, and the length is the same: the bytes do not say which.
    """

    state: int
    state_name: str
    ca_state: int
    ca_state_name: str
    retransmits: int
    probes: int
    backoff: int
    options: tuple[str, ...]
    snd_wscale: int
    rcv_wscale: int
    delivery_rate_app_limited: bool
    fastopen_client_fail: int
    rto_us: int
    ato_us: int
    snd_mss_bytes: int
    rcv_mss_bytes: int
    unacked: int
    sacked: int
    lost: int
    retrans: int
    fackets: int
    last_data_sent_ms: int
    last_ack_sent_ms: int
    last_data_recv_ms: int
    last_ack_recv_ms: int
    pmtu_bytes: int
    rcv_ssthresh_bytes: int
    rtt_us: int
    rttvar_us: int
    snd_ssthresh: int
    snd_cwnd: int
    advmss_bytes: int
    reordering: int
    rcv_rtt_us: int
    rcv_space_bytes: int
    total_retrans: int
    pacing_rate_bytes_per_s: int | None
    max_pacing_rate_bytes_per_s: int | None
    acked_bytes: int | None
    received_bytes: int | None
    segs_out: int | None
    segs_in: int | None
    notsent_bytes: int | None
    min_rtt_us: int | None
    data_segs_in: int | None
    data_segs_out: int | None
    delivery_rate_bytes_per_s: int | None
    busy_time_us: int | None
    rwnd_limited_us: int | None
    sndbuf_limited_us: int | None
    delivered: int | None
    delivered_ce: int | None
    sent_bytes: int | None
    retrans_bytes: int | None
    dsack_dups: int | None
    reord_seen: int | None
    rcv_ooopack: int | None
    snd_wnd_bytes: int | None
    rcv_wnd_bytes: int | None
    rehash: int | None
    total_rto: int | None
    total_rto_recoveries: int | None
    total_rto_time_ms: int | None
    received_ce: int | None
    delivered_e1_bytes: int | None
    delivered_e0_bytes: int | None
    delivered_ce_bytes: int | None
    received_e1_bytes: int | None
    received_e0_bytes: int | None
    received_ce_bytes: int | None
    accecn_word: int | None


def read(fd: int) -> TcpInfo:
    """Ask ``TCP_INFO``; of an MPTCP socket, its first subflow answers.

    Raises:
        OSError: The kernel's answer, untouched: EOPNOTSUPP or ENOPROTOOPT where the protocol is not TCP.
    """
    return decode(sockopt.get(fd, _socket.IPPROTO_TCP, _socket.TCP_INFO, _ROOM))


def state(fd: int) -> tuple[int, int, int]:
    """Ask only for ``(tcpi_state, tcpi_unacked, tcpi_sacked)``, which one compares with ``LISTEN``.

    Raises:
        OSError: The kernel's answer, untouched: EOPNOTSUPP or ENOPROTOOPT where the protocol is not TCP.
    """
    number, unacked, sacked = _HOT.unpack(sockopt.get(fd, _socket.IPPROTO_TCP, _socket.TCP_INFO, _HOT.size))
    return number, unacked, sacked


def name_of(number: int) -> str:
    """Name a TCP state; the number itself where it is newer than this list."""
    return STATE_NAMES[number] if number < len(STATE_NAMES) else str(number)


def decode(raw: bytes) -> TcpInfo:
    """Turn the bytes of ``getsockopt(TCP_INFO)`` into a record.

    Args:
        raw: What the kernel copied out; may be shorter or longer than today's struct.

    Returns:
        The record; ``None`` where the kernel is too old to say.

    Raises:
        ValueError: ``raw`` ends before the fields every kernel has.

    Source: tcp(7) TCP_INFO; include/uapi/linux/tcp.h.
    """
    if len(raw) < _SHORTEST:
        raise ValueError(f"tcp_info of {len(raw)} bytes, at least {_SHORTEST} expected")
    number, ca_state, retransmits, probes, backoff, options, wscales, flags = _BYTES.unpack_from(raw)
    numbers = _NUMBERS.unpack_from(raw.ljust(_LONGEST, b"\0"), _BYTES.size)
    if len(raw) < _LONGEST:
        numbers = tuple(value if end <= len(raw) else None for value, end in zip(numbers, _ENDS, strict=True))
    snd_wscale, rcv_wscale = _bit_fields(wscales, 4, 4)
    app_limited, fastopen_client_fail = _bit_fields(flags, 1, 2)
    return TcpInfo(
        number,
        name_of(number),
        ca_state,
        CA_STATE_NAMES[ca_state] if ca_state < len(CA_STATE_NAMES) else str(ca_state),
        retransmits,
        probes,
        backoff,
        tuple(name for bit, name in enumerate(_OPTION_NAMES) if options >> bit & 1),
        snd_wscale,
        rcv_wscale,
        bool(app_limited),
        fastopen_client_fail,
        *numbers,
    )


def _bit_fields(byte: int, first_bits: int, second_bits: int) -> tuple[int, int]:
    """Split a byte as C does, whose first bit field is the low end on little-endian machines only."""
    if sys.byteorder == "little":
        first, second = byte, byte >> first_bits
    else:
        first, second = byte >> 8 - first_bits, byte >> 8 - first_bits - second_bits
    return first & (1 << first_bits) - 1, second & (1 << second_bits) - 1
