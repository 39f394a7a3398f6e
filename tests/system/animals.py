"""Held sockets of every kind, each with something in it that a death of the daemon could lose or double."""

from __future__ import annotations

import hashlib
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from tests.system.place import await_true
from tests.system.sender import PIECE_BYTES, Sender

if TYPE_CHECKING:
    from tests.system.place import Place

LOOPBACK = "127.0.0.1:0"
QUEUED = 3
DATAGRAMS = 20
OPTIONS = {"SO_RCVBUF": 65536, "SO_KEEPALIVE": True, "SO_LINGER": {"enabled": True, "seconds": 7}}
IDENTITY = (
    "fd",
    "name",
    "cookie",
    "inode",
    "owner",
    "family",
    "type",
    "protocol",
    "state",
    "local",
    "peer",
    "listening",
    "accepted_from",
    "created_at",
    "persist",
    "taken",
)
"""What a death may not change of a held socket; ``pid``, ``proc`` and ``kept`` it may."""


class Animal:
    """One held socket, and what must still be true of it after a death.

    Args:
        place: Where the daemon is.
        name: Of the socket, which is made.
        body: The rest of what ``POST /v1/sockets`` gets; ``None`` where somebody else makes it.
    """

    def __init__(self, place: Place, name: str, body: dict[str, Any] | None) -> None:
        self.place = place
        self.name = name
        self.path = f"/v1/sockets/{name}"
        self.peers = ExitStack()
        self._remembered: dict[str, Any] = {}
        if body is not None:
            place.ask("POST", "/v1/sockets", {"name": name, **body}, status=201)

    def remember(self) -> None:
        """Note what it is and how its options are set."""
        self._remembered = self._seen()

    def check(self) -> None:
        """Fail if it is not what it was, or if what was in it is lost or doubled."""
        assert self._seen() == self._remembered
        by_number = self.place.ask("GET", f"/v1/sockets/{self._remembered['fd']}")
        assert by_number["cookie"] == self._remembered["cookie"]

    def close(self) -> None:
        """Close it and our ends; harmless after a failure."""
        self.peers.close()
        with suppress(OSError):
            self.place.request("DELETE", self.path)

    @property
    def address(self) -> tuple[str, int]:
        """Where it is bound."""
        local = self.place.ask("GET", self.path)["local"]
        return local["host"], local["port"]

    def _seen(self) -> dict[str, Any]:
        whole = self.place.ask("GET", self.path)
        options = self.place.ask("GET", f"{self.path}/options")["options"]
        by_name = {one["name"]: one.get("value") for one in options}
        return {member: whole[member] for member in IDENTITY} | {name: by_name[name] for name in OPTIONS}


class Fresh(Animal):
    """A socket that is neither bound nor connected, with options of its own."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name, {"options": OPTIONS})


class Bound(Animal):
    """A socket that has its port and does not listen."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name, {"bind": LOOPBACK, "options": OPTIONS})

    def check(self) -> None:
        """Listen on it after all."""
        super().check()
        self.place.ask("POST", f"{self.path}/listen")
        self.peers.enter_context(self.place.connect(self.address))
        (made,) = self.place.ask("POST", f"{self.path}/accept", status=201)["sockets"]
        self.place.ask("DELETE", f"/v1/sockets/{made['fd']}", status=204)


class Listener(Animal):
    """A listener with connections that nobody has accepted and that have sent bytes already."""

    def __init__(self, place: Place, name: str, body: dict[str, Any]) -> None:
        super().__init__(place, name, {"listen": {"backlog": 16}, "options": OPTIONS, **body})
        self._waiting: dict[bytes, socket.socket] = {}
        for nth in range(QUEUED):
            peer = self.peers.enter_context(place.connect(self.door))
            hello = f"{nth} says hello".encode()
            peer.sendall(hello)
            self._waiting[hello] = peer
        await_true(
            lambda: place.ask("GET", self.path)["listening"]["pending"] == QUEUED,
            lambda: f"not {QUEUED} connections are queued",
        )

    @property
    def door(self) -> tuple[str, int] | str:
        """What ``Place.connect`` takes."""
        return self.address

    def check(self) -> None:
        """Accept every connection once, hear what each sent, and answer it."""
        super().check()
        waiting = dict(self._waiting)
        while waiting:
            made = self.place.ask("POST", f"{self.path}/accept", {"max": QUEUED}, status=201)["sockets"]
            for one in made:
                path = f"/v1/sockets/{one['fd']}"
                hello = receive(self.place, path, len(next(iter(waiting))))
                peer = waiting.pop(hello)
                self.place.ask("POST", f"{path}/send", {"text": "welcome"})
                self.place.ask("DELETE", path, status=204)
                assert read_to_the_end(peer) == b"welcome"
        assert_nothing(self.place, f"{self.path}/accept", {"timeout": 0})


class TcpListener(Listener):
    """One on a port."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name, {"bind": LOOPBACK})


class UnixListener(Listener):
    """One on a path, which must stay."""

    def __init__(self, place: Place, name: str) -> None:
        self._file = place.folder / f"{name}.sock"
        bind = f"{place.folder_inside}/{name}.sock"
        super().__init__(place, name, {"family": "unix", "bind": bind})
        self._inode = self._file.stat().st_ino

    @property
    def door(self) -> tuple[str, int] | str:
        """Its file."""
        return self._file.name

    def check(self) -> None:
        """Look at the path, then as for every listener."""
        assert self._file.stat().st_ino == self._inode
        super().check()


class Mailbox(Animal):
    """A UDP socket with datagrams that nobody has received."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name, {"type": "dgram", "bind": LOOPBACK, "options": OPTIONS})
        self._letters = [f"letter {nth}".encode() for nth in range(DATAGRAMS)]
        sender = self.peers.enter_context(place.socket(kind=socket.SOCK_DGRAM))
        for letter in self._letters:
            sender.sendto(letter, self.address)

    def check(self) -> None:
        """Receive each once, in order."""
        super().check()
        came = [self.place.request("POST", f"{self.path}/recv?size=1000").body for _ in self._letters]
        assert came == self._letters
        assert_nothing(self.place, f"{self.path}/recv?timeout=0")


class Stream(Animal):
    """An accepted connection with unread bytes, whose peer is in the middle of a transfer."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name, None)
        self._peer = self.peers.enter_context(self._accept())
        self._sender = Sender(self._peer, name)
        self._sender.start()
        # What was read before the death may not come again: the sum goes on from here.
        self._read = hashlib.sha256(receive(place, self.path, PIECE_BYTES))

    def check(self) -> None:
        """Read on to the end: every byte came once, in order; and the other direction works."""
        super().check()
        self._sender.finish()
        total, is_over = PIECE_BYTES, False
        while not is_over:
            answer = self.place.request("POST", f"{self.path}/recv?size=1000000")
            assert answer.status == 200, answer.body
            self._read.update(answer.body)
            total += len(answer.body)
            is_over = answer.headers["Socket-Eof"] == "true"
        self._sender.join()
        assert self._sender.failure is None
        assert (total, self._read.digest()) == (self._sender.total, self._sender.sent.digest())
        self.place.ask("POST", f"{self.path}/send", {"text": "thanks"})
        assert self._peer.recv(100) == b"thanks"

    def close(self) -> None:
        """End the peer first: one that nobody reads from is stuck in its send."""
        self._sender.finish()
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        self._sender.join()
        super().close()

    def _accept(self) -> socket.socket:
        """Have the daemon accept it from a listener that is closed again."""
        listener = Animal(
            self.place, f"{self.name}-door", {"bind": LOOPBACK, "listen": True, "options": OPTIONS}
        )
        try:
            peer = self.place.connect(listener.address)
            self.place.ask("POST", f"{listener.path}/accept", {"name": self.name}, status=201)
        finally:
            listener.close()
        return peer


KINDS: dict[str, type[Fresh | Bound | TcpListener | UnixListener | Mailbox | Stream]] = {
    "fresh": Fresh,
    "bound": Bound,
    "tcp": TcpListener,
    "unix": UnixListener,
    "udp": Mailbox,
    "stream": Stream,
}


def receive(place: Place, path: str, size: int) -> bytes:
    """Receive exactly ``size`` bytes of a held stream, which must come."""
    data = b""
    while len(data) < size:
        answer = place.request("POST", f"{path}/recv?size={size - len(data)}")
        assert answer.status == 200, answer.body
        assert answer.body, f"the stream ended after {data!r}"
        data += answer.body
    return data


def read_to_the_end(sock: socket.socket) -> bytes:
    """Read until the other side has closed in good order."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def assert_nothing(place: Place, path: str, body: Any = None) -> None:
    """Fail if a call that does not wait finds something."""
    answer = place.request("POST", path, body)
    assert (answer.status, answer.json()["errno"]) == (409, "EAGAIN"), answer.body
