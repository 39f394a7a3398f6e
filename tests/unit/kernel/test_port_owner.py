"""Whose socket keeps an address and port from being bound, beside what bind(2) itself says."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING

import pytest

from socketd.kernel import facts, sock_diag
from tests.own_network import own_network
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY = "0.0.0.0"


@pytest.fixture(scope="module", autouse=True)
def _alone() -> Iterator[None]:
    """Keep others' sockets from being found; who may not have a network of its own shares theirs."""
    with ExitStack() as network:
        with suppress(PermissionError):
            network.enter_context(own_network())
        yield


def inet(stack, family, kind, address, port=None, *, is_v6only=False):
    """Bind a socket without listening, to a port that nobody has at another address either."""
    sock = stack.enter_context(socket.socket(family, kind))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_v6only)
    sock.bind((address, port or free_port(kind)))
    return sock


@pytest.mark.parametrize(
    ("held_family", "held", "family", "wanted", "is_found"),
    [
        (socket.AF_INET, "127.0.0.1", socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, ANY, socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "127.0.0.1", socket.AF_INET, ANY, True),
        (socket.AF_INET, "127.0.0.1", socket.AF_INET, "127.0.0.2", False),
        (socket.AF_INET6, "::", socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET6, "::1", socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET6, "::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "127.0.0.1", socket.AF_INET6, "::", True),
        (socket.AF_INET, "127.0.0.1", socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::1", socket.AF_INET6, "::1", True),
    ],
)
@pytest.mark.parametrize(
    ("kind", "protocol"),
    [(socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)],
    ids=["tcp", "udp"],
)
def test_owner_is_found_where_bind_is_refused(  # noqa: PLR0913, PLR0917 - a table of cases
    stack, held_family, held, family, wanted, is_found, kind, protocol
):
    sock = inet(stack, held_family, kind, held)
    port = sock.getsockname()[1]
    if kind == socket.SOCK_STREAM:
        sock.listen()
    owner = (facts.inode(sock.fileno()), os.geteuid())
    assert sock_diag.owner_of(family, protocol, wanted, port) == (owner if is_found else None)
    refusal = pytest.raises(OSError, match="in use") if is_found else nullcontext()
    with refusal:
        inet(stack, family, kind, wanted, port)


def test_scope_of_an_address_is_ignored(stack):
    sock = inet(stack, socket.AF_INET6, socket.SOCK_DGRAM, "::1")
    found = sock_diag.owner_of(socket.AF_INET6, socket.IPPROTO_UDP, "::1%lo", sock.getsockname()[1])
    assert found == (facts.inode(sock.fileno()), os.geteuid())


def test_v6only_wildcard_leaves_ipv4_alone(stack):
    sock = inet(stack, socket.AF_INET6, socket.SOCK_STREAM, "::", is_v6only=True)
    sock.listen()
    port = sock.getsockname()[1]
    assert sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, "127.0.0.1", port) is None
    assert sock_diag.owner_of(socket.AF_INET6, socket.IPPROTO_TCP, "::1", port) is not None


def test_very_address_comes_before_a_wildcard(stack):
    wildcard = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    exact = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    port = free_port(socket.SOCK_DGRAM)
    for sock, address in ((wildcard, ANY), (exact, "127.0.0.1")):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    for sock, address in ((wildcard, ANY), (exact, "127.0.0.1"), (wildcard, "127.0.0.9")):
        found = sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_UDP, address, port)
        assert found == (facts.inode(sock.fileno()), os.geteuid())


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 8),
    reason="Linux shows bound sockets from 6.8 on",
)
def test_owner_of_a_port_only_bound_is_found(stack):
    sock = inet(stack, socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1")
    found = sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, *sock.getsockname())
    assert found == (facts.inode(sock.fileno()), os.geteuid())


def test_socket_only_bound_to_another_port_is_no_owner(stack):
    inet(stack, socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1")
    assert sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, "127.0.0.1", free_port()) is None


def test_port_that_was_closed_has_no_owner(stack):
    sock = inet(stack, socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1")
    address = sock.getsockname()
    sock.close()
    assert sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, *address) is None


def test_owner_of_a_name_is_a_value_error():
    with pytest.raises(ValueError, match="localhost"):
        sock_diag.owner_of(socket.AF_INET, socket.IPPROTO_TCP, "localhost", 80)
