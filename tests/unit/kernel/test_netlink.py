"""Netlink framing: recorded datagrams, cut ones, errors, and a kernel that refuses."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import netlink

ERROR, DONE, DUMP_INTERRUPTED = 2, 3, 0x10


def header(length, kind=20, flags=0):
    return struct.pack("=IHHII", length, kind, flags, 1, 0)


@pytest.mark.parametrize(
    "datagram",
    [bytes(15), header(15), header(17), header(20) + bytes(3), header(16) + b"x", header(0) * 2],
    ids=["header cut", "below header", "beyond end", "payload cut", "rest too short", "no progress"],
)
def test_message_that_does_not_fit_is_a_value_error(datagram):
    with pytest.raises(ValueError, match="netlink"):
        list(netlink.messages(datagram))


@pytest.mark.parametrize("raw", [struct.pack("=HH", 3, 1), struct.pack("=HH", 9, 1) + bytes(4), bytes(4)])
def test_attribute_that_does_not_fit_is_a_value_error(raw):
    with pytest.raises(ValueError, match="attribute"):
        netlink.attributes(raw)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EOPNOTSUPP])
@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_errno_in_an_error_or_at_the_end_of_a_dump_is_raised(kind, number):
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        netlink.raise_for_error(kind, 0, struct.pack("=i", -number))
    assert caught.value.errno == number


def test_dump_that_changed_under_way_is_eintr():
    with pytest.raises(InterruptedError):
        netlink.raise_for_error(20, DUMP_INTERRUPTED, bytes(72))


def test_error_without_an_errno_is_a_value_error():
    with pytest.raises(ValueError, match="NLMSG_ERROR"):
        netlink.raise_for_error(ERROR, 0, bytes(3))


def test_acknowledgement_and_plain_end_are_no_errors():
    netlink.raise_for_error(ERROR, 0, bytes(4))
    netlink.raise_for_error(DONE, 0, b"")
    netlink.raise_for_error(20, 0, bytes(72))


def test_recorded_dump_is_one_message_and_an_end(recorded):
    ((kind, _, payload),) = netlink.messages(recorded("netlink-dump-part"))
    assert (kind, len(payload)) == (20, 148)
    ((kind, flags, payload),) = netlink.messages(recorded("netlink-dump-done"))
    assert kind == DONE
    netlink.raise_for_error(kind, flags, payload)


def test_recorded_error_is_estale(recorded):
    ((kind, flags, payload),) = netlink.messages(recorded("netlink-error-stale"))
    with pytest.raises(OSError, match="Stale") as caught:
        netlink.raise_for_error(kind, flags, payload)
    assert caught.value.errno == errno.ESTALE


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_survive_being_put_together(wanted):
    raw = b"".join(netlink.attribute(kind, value) for kind, value in wanted.items())
    assert netlink.attributes(raw) == wanted


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_apart_or_a_value_error(raw):
    for decode in (netlink.messages, netlink.attributes):
        try:
            found = list(decode(raw))
        except ValueError:
            continue
        assert len(found) <= len(raw)


@pytest.mark.parametrize("question", [netlink.ask, netlink.dump])
def test_question_about_an_unknown_family_is_refused_by_the_kernel(question):
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        question(bytes([200, 0]) + bytes(54))
    assert caught.value.errno in (errno.EINVAL, errno.ENOENT)
