"""A socket handle whose daemon answers as it is told, what was asked through it, and a call of each kind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from socketd_client import Client, Socket
from tests.client.http_stand_in import SERVICE, Reply, Seen, serving, socket_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Handle:
    """A socket handle, and what was asked through it; answers are given in turn, the last one for ever."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[Seen] = []

    @contextmanager
    def __call__(self, *answers: Reply | Callable[[Seen], Reply], **members: Any) -> Iterator[Socket]:
        given = list(answers)

        def answer(seen: Seen) -> Reply:
            if seen.path in ("/v1/", "/v1/sockets/0"):
                return Reply(SERVICE if seen.path == "/v1/" else socket_json(**members))
            self.asked.append(seen)
            reply = given.pop(0) if len(given) > 1 else given[0]
            return reply if isinstance(reply, Reply) else reply(seen)

        with serving(answer, self._folder / "s") as server, Client(server.url) as client:
            yield client.sockets.get(0)


@pytest.fixture
def handle(tmp_path: Path) -> Handle:
    return Handle(tmp_path)


CALLS = {
    "bind": (("127.0.0.1", 0),),
    "listen": (),
    "accept": (),
    "connect": (("127.0.0.1", 1),),
    "send": (b"x",),
    "sendall": (b"x",),
    "sendto": (b"x", ("127.0.0.1", 1)),
    "recv": (1,),
    "recvfrom": (1,),
    "shutdown": (2,),
    "getsockname": (),
    "getpeername": (),
    "getsockopt": (1, 2),
    "setsockopt": (1, 2, 3),
    "info": (),
    "inspect": (),
    "option": ("SO_REUSEADDR",),
    "set_option": ("SO_REUSEADDR", True),
    "options": (),
    "close": (),
}
