"""``struct tcp_info``: recorded, cut short, arbitrary, and beside ``ss``."""

from __future__ import annotations

import dataclasses
import errno
import re
import select
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import tcp_info

EVERY_KERNEL_HAS = 104
MPTCP = 262


def wait_readable(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    assert poll.poll(10_000)


@pytest.mark.parametrize("length", [0, 1, 8, 32, EVERY_KERNEL_HAS - 1])
def test_too_short_is_a_value_error(recorded, length):
    with pytest.raises(ValueError, match=f"{length} bytes"):
        tcp_info.decode(recorded("tcp_info-established")[:length])


def test_recorded_connection_says_what_ss_said(recorded):
    info = tcp_info.decode(recorded("tcp_info-established"))
    assert (info.state, info.state_name, info.ca_state_name) == (1, "ESTABLISHED", "OPEN")
    assert info.options == ("timestamps", "sack", "wscale")
    assert (info.snd_wscale, info.rcv_wscale) == (0, 10)
    assert (info.rto_us, info.rtt_us, info.rttvar_us, info.ato_us) == (204_000, 34, 19, 40_000)
    assert (info.snd_mss_bytes, info.rcv_mss_bytes, info.advmss_bytes) == (10_000, 1234, 65_483)
    assert (info.pmtu_bytes, info.snd_cwnd, info.min_rtt_us, info.rcv_space_bytes) == (65_535, 11, 11, 65_495)
    assert (info.sent_bytes, info.acked_bytes, info.received_bytes) == (9000, 9001, 1234)
    assert (info.segs_out, info.segs_in, info.data_segs_out, info.data_segs_in) == (4, 3, 1, 1)
    assert (info.delivered, info.snd_wnd_bytes, info.delivery_rate_app_limited) == (2, 20_000, True)
    assert info.delivery_rate_bytes_per_s == 7_272_727_272 // 8
    assert info.pacing_rate_bytes_per_s == 60_165_284_576 // 8
    assert info.max_pacing_rate_bytes_per_s == 2**64 - 1
    assert info.accecn_word == 0


def test_recorded_listener_has_an_accept_queue(recorded):
    info = tcp_info.decode(recorded("tcp_info-listen"))
    assert info.state_name == "LISTEN"
    assert (info.unacked, info.sacked) == (3, 7)


@pytest.mark.parametrize(
    ("length", "last_known", "first_unknown"),
    [
        (104, "total_retrans", "pacing_rate_bytes_per_s"),
        (111, "total_retrans", "pacing_rate_bytes_per_s"),
        (112, "pacing_rate_bytes_per_s", "max_pacing_rate_bytes_per_s"),
        (192, "sndbuf_limited_us", "delivered"),
        (232, "snd_wnd_bytes", "rcv_wnd_bytes"),
        (248, "total_rto_time_ms", "received_ce"),
        (276, "received_ce_bytes", "accecn_word"),
    ],
)
def test_what_an_older_kernel_does_not_say_is_none(recorded, length, last_known, first_unknown):
    info = dataclasses.asdict(tcp_info.decode(recorded("tcp_info-established")[:length]))
    names = list(info)
    assert names.index(first_unknown) == names.index(last_known) + 1
    assert None not in [info[name] for name in names[: names.index(first_unknown)]]
    assert {info[name] for name in names[names.index(first_unknown) :]} == {None}


def test_longer_struct_of_a_newer_kernel_is_read_as_far_as_known(recorded):
    raw = recorded("tcp_info-established")
    assert tcp_info.decode(raw + b"\xff" * 40) == tcp_info.decode(raw)


def test_each_number_is_read_from_its_own_place():
    """Number the 59 fields behind the first eight bytes: none may be swapped, skipped or read twice."""
    raw = bytes(8) + struct.pack("=24I4Q6I4Q2I2Q6I2H9I", *range(1, 60))
    assert dataclasses.astuple(tcp_info.decode(raw))[12:] == tuple(range(1, 60))


@pytest.mark.parametrize(
    ("flags", "is_limited", "client_fail"), [(0, False, 0), (1, True, 0), (0b110, False, 3), (0b101, True, 2)]
)
def test_bit_fields_are_split(recorded, flags, is_limited, client_fail):
    raw = bytearray(recorded("tcp_info-established"))
    raw[5], raw[6], raw[7] = 0b1101_1000, 0x7C, flags
    info = tcp_info.decode(bytes(raw))
    assert info.options == ("ecn", "ecn_seen", "usec_ts", "tfo_child")
    assert (info.snd_wscale, info.rcv_wscale) == (0xC, 0x7)
    assert (info.delivery_rate_app_limited, info.fastopen_client_fail) == (is_limited, client_fail)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_record_or_a_value_error(raw):
    if len(raw) < EVERY_KERNEL_HAS:
        with pytest.raises(ValueError, match="tcp_info of"):
            tcp_info.decode(raw)
    else:
        assert tcp_info.decode(raw).state == raw[0]


def test_state_of_a_listener_counts_the_waiting_connections(stack, listener):
    assert tcp_info.state(listener.fileno()) == (tcp_info.LISTEN, 0, 7)
    for _ in range(3):
        stack.enter_context(socket.create_connection(listener.getsockname()))
    wait_readable(listener)
    assert tcp_info.state(listener.fileno()) == (tcp_info.LISTEN, 3, 7)


def test_state_follows_a_connection_to_its_end(connection):
    near, far = connection
    assert tcp_info.read(near.fileno()).state_name == "ESTABLISHED"
    far.close()
    wait_readable(near)
    assert tcp_info.name_of(tcp_info.state(near.fileno())[0]) == "CLOSE_WAIT"


def test_socket_in_no_state_yet_is_in_close(stack):
    sock = stack.enter_context(socket.socket())
    assert tcp_info.name_of(tcp_info.state(sock.fileno())[0]) == "CLOSE"


def test_state_newer_than_the_names_is_its_number():
    assert tcp_info.name_of(99) == "99"


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_UNIX, socket.SOCK_STREAM)]
)
def test_other_protocols_refuse_with_an_oserror(stack, family, kind):
    sock = stack.enter_context(socket.socket(family, kind))
    for ask in (tcp_info.read, tcp_info.state):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            ask(sock.fileno())
        assert caught.value.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT)


def test_mptcp_listener_answers_as_tcp_does(stack):
    try:
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
    except OSError as error:
        pytest.skip(f"this kernel makes no MPTCP socket: {error}")
    sock.bind(("127.0.0.1", 0))
    sock.listen(5)
    stack.enter_context(socket.create_connection(sock.getsockname()))
    wait_readable(sock)
    assert tcp_info.state(sock.fileno()) == (tcp_info.LISTEN, 1, 5)


def ss_value(line, name, pattern=r"[\d./,]+"):
    found = re.search(rf"(?<!\S){name}[: ]({pattern})", line)
    assert found, f"no {name} in {line}"
    return found[1]


@pytest.mark.needs("ss")
def test_connection_agrees_with_ss(connection, ss):
    near, far = connection
    near.sendall(bytes(5000))
    assert len(far.recv(5000, socket.MSG_WAITALL)) == 5000
    far.sendall(bytes(321))
    assert len(near.recv(321, socket.MSG_WAITALL)) == 321
    (line,) = ss("--tcp", "--info", f"sport = {near.getsockname()[1]}")
    info = tcp_info.read(near.fileno())
    assert ss_value(line, "wscale") == f"{info.snd_wscale},{info.rcv_wscale}"
    assert float(ss_value(line, "rto")) * 1000 == info.rto_us
    rtt_ms, rttvar_ms = map(float, ss_value(line, "rtt").split("/"))
    assert (round(rtt_ms * 1000), round(rttvar_ms * 1000)) == (info.rtt_us, info.rttvar_us)
    assert round(float(ss_value(line, "minrtt")) * 1000) == info.min_rtt_us
    same = {
        "mss": info.snd_mss_bytes,
        "pmtu": info.pmtu_bytes,
        "advmss": info.advmss_bytes,
        "cwnd": info.snd_cwnd,
        "bytes_sent": info.sent_bytes,
        "bytes_received": info.received_bytes,
        "data_segs_out": info.data_segs_out,
        "data_segs_in": info.data_segs_in,
        "rcv_space": info.rcv_space_bytes,
        "rcv_ssthresh": info.rcv_ssthresh_bytes,
    }
    assert {name: int(ss_value(line, name)) for name in same} == same
    assert (info.sent_bytes, info.received_bytes) == (5000, 321)
