"""What a refusal is told as: the kernel's errno, or the one that CPython did not give."""

from __future__ import annotations

import _socket
import errno
import socket

import pytest

from socketd.core.hints import HINTS, number_of, refused

AF_XDP = 44


def test_refusal_has_the_kernels_errno_and_a_hint():
    error = refused(OSError(errno.ECONNREFUSED, "said otherwise"), "connect")
    assert (error.symbol, error.number, error.syscall) == ("ECONNREFUSED", errno.ECONNREFUSED, "connect")
    assert error.hint == HINTS["connect", errno.ECONNREFUSED]


def test_family_whose_addresses_python_cannot_read_is_eafnosupport():
    left, right = socket.socketpair()
    with left, right:
        claimed = _socket.socket(AF_XDP, socket.SOCK_STREAM, 0, left.fileno())
        try:
            with pytest.raises(OSError, match="bad family") as caught:
                claimed.recvfrom(1)
        finally:
            claimed.detach()
    assert caught.value.errno is None
    assert number_of(caught.value) == errno.EAFNOSUPPORT
    error = refused(caught.value, "recv")
    assert (error.symbol, error.title) == ("EAFNOSUPPORT", "Address family not supported by protocol")
    assert error.hint == HINTS["recv", errno.EAFNOSUPPORT]
