"""What callers ask of a service, one function each, for tables of what is granted and refused."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from socketd.core import address_text
from socketd.core.table import Origin
from socketd.service.attaching import Message
from socketd.service.donation import Offer
from socketd.service.passing import Taking
from tests.held import BOB, specification

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.held import Held


def made_by(**wanted: Any) -> Callable[[Held, Any], object]:
    name = wanted.pop("name", None)

    def act(held: Held, call: Any) -> object:
        origin = Origin(call.caller.owner, name)
        return held.service.sockets.create(call, specification(**wanted), origin, 1.0)

    return act


def many(held: Held, call: Any) -> object:
    origin = Origin(call.caller.owner, "bob")
    return held.service.sockets.create_many(call, specification(), origin, 2, 1.0)


def ensured(held: Held, call: Any) -> object:
    return held.service.sockets.ensure(call, specification(), Origin(call.caller.owner, "bob.x"), 1.0)


def pair(held: Held, call: Any) -> object:
    return held.service.sockets.pair(call, socket.AF_UNIX, socket.SOCK_STREAM, 0, ("ann.l", "bob.r"))


def seqpacket_pair(held: Held, call: Any) -> object:
    return held.service.sockets.pair(call, socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, (None, None))


def on_own(act: Callable[[Held, Any, str], object], **wanted: Any) -> Callable[[Held, Any], object]:
    """Do something to a socket that Ann has made; ``mine`` is made before the state is looked at."""

    def acting(held: Held, call: Any) -> object:
        return act(held, call, "ann.mine")

    acting.wanted = wanted  # type: ignore[attr-defined]
    return acting


def bind(to: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.bind(c, ref, address_text.parse(to)))


def connect(to: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.connect(c, ref, address_text.parse(to), 1.0))


def send(to: str) -> Callable[[Held, Any], object]:
    messages = [Message(b"x", address_text.parse("127.0.0.1:9999")), Message(b"x", address_text.parse(to))]
    return on_own(
        lambda h, c, ref: h.service.transfers.send(c, ref, messages, 0, 1.0), kind=socket.SOCK_DGRAM
    )


def option(name: str) -> Callable[[Held, Any], object]:
    return on_own(lambda h, c, ref: h.service.operations.set_option(c, ref, name, 1))


def listen(held: Held, call: Any, ref: str) -> object:
    return held.service.operations.listen(call, ref, 1)


def take(held: Held, call: Any, ref: str) -> object:
    return held.service.passing.take(call, -1, Taking((ref,), b""))


def give(held: Held, call: Any) -> object:
    return held.service.passing.donation(call, [Offer()], existing_ok=False)


def give_from(held: Held, call: Any) -> object:
    return held.service.passing.give_from(call, os.getpid(), 0, Offer())


def look_up(held: Held, call: Any) -> object:
    del call
    return held.service.guard.require_lookup(held.call(BOB).caller)
