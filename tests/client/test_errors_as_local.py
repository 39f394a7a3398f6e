"""Errors as programs that know only Python's own tell them apart."""

from __future__ import annotations

import copy
import pickle
import socket
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, Socket

if TYPE_CHECKING:
    from socketd_client import Client


def caught(sock: Socket) -> BaseException:
    with pytest.raises(OSError, match="recv") as found:
        sock.recv(1)
    return found.value


def test_class_of_an_error_is_pythons_own(client: Client):
    """redis-py looks up what may be tried again by ``error.__class__``."""
    with Socket(socket.AF_INET, socket.SOCK_DGRAM, client=client) as sock:
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        nothing = caught(sock)
        sock.settimeout(0.01)
        late = caught(sock)
    with Socket(client=client) as sock:
        unconnected = caught(sock)
        assert [each.__class__ for each in (nothing, late, unconnected)] == [
            BlockingIOError,
            TimeoutError,
            OSError,
        ]
    for each in (nothing, late, unconnected):
        assert isinstance(each, ApiError)
        for twin in (copy.copy(each), pickle.loads(pickle.dumps(each))):
            assert type(twin) is type(each)
            assert twin.problem == each.problem


def test_timeout_says_that_it_timed_out(client: Client):
    with Socket(socket.AF_INET, socket.SOCK_DGRAM, client=client) as sock:
        sock.settimeout(0.01)
        late = caught(sock)
    assert late.args == ("timed out",)
    assert str(late).startswith("timed out")
    assert "nothing was taken" in str(late)
