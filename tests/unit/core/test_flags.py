"""Flags by name agree with the socket and select modules, each in its own direction only."""

from __future__ import annotations

import select
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core import flags
from socketd.errors import InvalidRequestError

_SEND = ["OOB", "DONTROUTE", "DONTWAIT", "EOR", "CONFIRM", "NOSIGNAL", "MORE", "FASTOPEN"]
_RECV = ["OOB", "PEEK", "TRUNC", "DONTWAIT", "WAITALL", "ERRQUEUE", "CMSG_CLOEXEC"]


@pytest.mark.parametrize(
    "name", [*sorted(set(_RECV) - set(_SEND)), "ZEROCOPY", "CTRUNC", "nonsense", "64", ""]
)
def test_send_refuses_what_is_not_its_own(name):
    for text in (name, f"MSG_{name}"):
        with pytest.raises(InvalidRequestError) as caught:
            flags.send_flags([text])
        assert caught.value.member == "flags"


@pytest.mark.parametrize("name", [*sorted(set(_SEND) - set(_RECV)), "CTRUNC", "nonsense", "2"])
def test_recv_refuses_what_is_not_its_own(name):
    with pytest.raises(InvalidRequestError) as caught:
        flags.recv_flags([name])
    assert caught.value.member == "flags"


@pytest.mark.parametrize("name", _SEND)
def test_send_flags_are_the_socket_modules(name):
    number = int(getattr(socket, f"MSG_{name}"))
    assert flags.send_flags([name]) == flags.send_flags([f"msg_{name.lower()}"]) == number


@pytest.mark.parametrize("name", _RECV)
def test_recv_flags_are_the_socket_modules(name):
    number = int(getattr(socket, f"MSG_{name}"))
    assert flags.recv_flags([name]) == flags.recv_flags([f"msg_{name.lower()}"]) == number


def test_flags_join_and_a_query_string_is_split_at_commas():
    assert flags.recv_flags(["MSG_PEEK", "waitall"]) == flags.recv_flags("peek, MSG_WAITALL") == 0x102
    assert flags.recv_flags([]) == 0


def test_a_cut_datagram_is_named_trunc():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        theirs.send(b"longer than asked for")
        _, _, back, _ = ours.recvmsg(4, 0, socket.MSG_CMSG_CLOEXEC)
    assert flags.flag_names(back) == ["MSG_TRUNC"]


def test_an_unknown_bit_that_came_back_is_given_in_hex():
    assert flags.flag_names(0x8 | 0x80 | 0x100000) == ["MSG_CTRUNC", "MSG_EOR", "0x100000"]
    assert flags.flag_names(0) == []


@pytest.mark.parametrize("name", sorted(name for name in dir(select) if name.startswith("POLL")))
def test_poll_events_are_the_select_modules(name):
    number = getattr(select, name)
    assert flags.poll_events([name]) == flags.poll_events([name[4:].lower()]) == number
    assert flags.poll_names(number) == [name]


def test_unknown_poll_event_is_refused_with_the_close_ones():
    with pytest.raises(InvalidRequestError) as caught:
        flags.poll_events(["POLLRDHPU"])
    assert caught.value.member == "events"
    assert "rdhup" in caught.value.hint


@given(mask=st.integers(0, 2**16 - 1))
def test_named_poll_masks_lead_back(mask):
    named = [name for name in flags.poll_names(mask) if name.startswith("POLL")]
    assert flags.poll_events(named) == mask & 0x27FF


@pytest.mark.parametrize("value", [3, -1, "sideways", True, None, "3"])
def test_unknown_way_to_shut_down_is_refused(value):
    with pytest.raises(InvalidRequestError) as caught:
        flags.shutdown_how(value)
    assert caught.value.member == "how"


@pytest.mark.parametrize(
    ("how", "spellings"),
    [
        (socket.SHUT_RD, ["read", "SHUT_RD", "rd", 0, "0"]),
        (socket.SHUT_WR, ["write", "SHUT_WR", "wr", 1]),
        (socket.SHUT_RDWR, ["both", "read-write", "SHUT_RDWR", 2]),
    ],
)
def test_ways_to_shut_down_have_names(how, spellings):
    assert {flags.shutdown_how(spelling) for spelling in spellings} == {int(how)}


@pytest.mark.parametrize("name", sorted(name for name in dir(socket) if name.startswith("AI_")))
def test_addrinfo_flags_are_the_socket_modules(name):
    number = int(getattr(socket, name))
    assert flags.addrinfo_flags([name]) == flags.addrinfo_flags([name[3:].lower()]) == number


def test_unknown_addrinfo_flag_is_refused():
    with pytest.raises(InvalidRequestError):
        flags.addrinfo_flags(["AI_ACTIVE"])
