"""Classes that programs derive from ``socket.socket``, with the methods that such classes replace."""

from __future__ import annotations

import abc
import socket
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Socket, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND_S = 30.0
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture(params=[None, "descriptor"], ids=["by-request", "by-descriptor"])
def held_instead(client: Client, request: pytest.FixtureRequest) -> Iterator[Client]:
    with installed(client, prefer=request.param):
        yield client


@pytest.mark.usefixtures("held_instead")
def test_duplicate_is_made_by_the_derived_constructor():
    class Noted(socket.socket):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.notes: list[str] = []

        def close(self) -> None:
            self.notes.append("closed")
            super().close()

    with Noted(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(LOOPBACK)
        first.settimeout(3)
        second = first.dup()
        assert isinstance(second, Noted)
        assert (second.notes, second.gettimeout(), second.proto) == ([], 3.0, first.proto)
        assert second.getsockname() == first.getsockname()
        second.close()
        assert second.notes == ["closed"]
        assert first.getsockname()[0] == "127.0.0.1"


def test_duplicate_that_its_constructor_refuses_is_not_left_open(client: Client):
    class Once(Socket):
        made = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            Once.made += 1
            if Once.made > 1:
                raise LookupError

    with Once(client=client) as first:
        with pytest.raises(LookupError):
            first.dup()
        assert len(list(client.sockets.list())) == 1
        first.info()
    assert list(client.sockets.list()) == []


@pytest.mark.usefixtures("held_instead")
def test_accept_is_written_anew_over_the_one_below():
    class Accepting(socket.socket):
        def accept(self) -> tuple[Any, Any]:
            number, address = self._accept()  # type: ignore[attr-defined]  # as Lib/socket.py does
            return type(self)(self.family, self.type, self.proto, fileno=number), address

    with Accepting() as listener:
        listener.bind(LOOPBACK)
        listener.listen()
        with socket.create_connection(listener.getsockname(), BOUND_S) as peer:
            guest, address = listener.accept()
            with guest:
                assert isinstance(guest, Accepting)
                assert address == peer.getsockname()
                guest.sendall(b"hello")
                assert peer.recv(100) == b"hello"
            assert peer.recv(100) == b""


@pytest.mark.usefixtures("held_instead")
def test_abstract_class_may_be_another_base():
    class Reading(abc.ABC):
        @abc.abstractmethod
        def read(self) -> bytes: ...

    class Unfinished(socket.socket, Reading):
        pass

    class Finished(socket.socket, Reading):
        def read(self) -> bytes:
            return b"read"

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()  # type: ignore[abstract]  # that is the question
    with Finished() as sock:
        assert sock.read() == b"read"
        assert isinstance(sock, Reading)
        assert isinstance(sock, socket.socket)
        assert not isinstance(sock, Unfinished)


@pytest.mark.usefixtures("held_instead")
def test_new_is_handed_the_constructors_arguments():
    """As pytest-socket's class does, which refuses some families there."""

    class Guarded(socket.socket):
        def __new__(cls, *args: Any, **options: Any) -> Any:
            if socket.AF_UNIX in args:
                raise PermissionError("no Unix sockets here")
            return super().__new__(cls, *args, **options)

    with Guarded(socket.AF_INET, socket.SOCK_DGRAM) as sock, sock.dup() as twin:
        assert (sock.type, type(twin)) == (socket.SOCK_DGRAM, Guarded)
    with pytest.raises(PermissionError):
        Guarded(socket.AF_UNIX)
