"""What is asked again when the daemon goes away in the middle, and why nothing is done twice by that.

An attempt at a call may be followed by another one in three cases, until the time of the call is over: the
wait it asked for and the client's ``timeout_s``.

The connection was not made
    Nothing was sent. Every call is tried again: for a quarter of a second by a new client, as a daemon that
    starts binds before it listens, and all the time by one that was answered before: its daemon restarts.
503 with the code ``shutting_down``
    The daemon did nothing. Every call is made again after ``Retry-After``, with a new key and what is left of
    its wait; except ``connect``, which goes on in the kernel: ``Socket.connect`` looks how far it got.
The connection broke before the answer
    It may have been done. ``repeat_of`` says which calls are sent again then, and to whom.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd_client.calls import Call
    from socketd_client.errors import ApiError, ConnectionLostError
    from socketd_client.records import ServiceInfo

MOST_BROKEN: Final = 4
"""Attempts whose connection may break. More would help a request that kills the daemon to do so again."""
CONNECT: Final = "/connect"

_UNAVAILABLE: Final = 503
_SHUTTING_DOWN: Final = "shutting_down"
_SHORTEST_PAUSE_S: Final = 0.02
_REPLAYS: Final = "idempotency"
_NO_KEEPER: Final = "none"
_MAKING: Final = ("/v1/sockets", "/v1/socketpairs", "/accept", "/give")
_LOOKING: Final = ("/poll", "/take")


class Repeat(Enum):
    """To whom a call may be sent again whose connection broke.

    Attributes:
        ALWAYS: To whoever is there.
        KEPT: To the daemon that may have seen it, and to its successor if a keeper outlived it.
        REPLAYED: To the daemon that may have seen it, on a connection that leads to no other.
        NEVER: To nobody.
    """

    ALWAYS = "always"
    KEPT = "kept"
    REPLAYED = "replayed"
    NEVER = "never"

    def allows(self, service: ServiceInfo, elapsed_s: float) -> bool:
        """Tell whether that daemon may get it, ``elapsed_s`` after the first attempt began.

        A daemon that was there before is the one that may have seen it: there is only one at a time.
        """
        if _REPLAYS not in service.extensions:
            return False
        is_same = service.uptime_s > elapsed_s
        return is_same or (self is Repeat.KEPT and service.keeper != _NO_KEEPER)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a call.

    Attributes:
        key: The ``Idempotency-Key``; the same as long as the first try may have been carried out.
        started: When the first try with this key began, in ``time.monotonic()`` seconds.
        lost: How the last one ended, if its connection broke.
        broken: How many have ended so.
    """

    call: Call
    key: str = field(default_factory=lambda: os.urandom(16).hex())
    started: float = field(default_factory=time.monotonic)
    lost: ConnectionLostError | None = None
    broken: int = 0

    def after(self, lost: ConnectionLostError) -> Attempt:
        """Return the next one with the same request, byte for byte: only so the daemon knows it again."""
        return replace(self, lost=lost, broken=self.broken + 1)


def repeat_of(call: Call) -> Repeat:
    """Say what may be done when the connection broke, and the call may have been carried out.

    ``GET`` changes nothing. ``PUT`` says what shall be: a name is ensured, an option set, and the second time
    finds it so. ``DELETE`` with ``If-Match`` names one socket for ever (a cookie is never reused): 404 then
    means that the first did it. ``DELETE`` of a mere name is not sent again, since somebody may have used the
    name anew in between.

    ``POST`` with its ``Idempotency-Key``: ``poll`` and ``take`` leave everything as it was. Those that make
    sockets (``create``, ``create_many``, ``pair``, ``accept``, ``give_from``) get the first answer from the
    same daemon, and from its successor the very sockets, as the keeper has their key; ``give`` of our own
    descriptors finds by key and inode what it gave. ``bind``, ``listen``, ``shutdown``, ``send`` and ``recv``
    are known to the daemon that did them and to nobody after it: no byte is sent or taken twice. A ``take``
    with ``release`` is ``passing.take``'s own affair: it may already have the only descriptor.
    """
    if call.method == "DELETE":
        return Repeat.NEVER if call.if_match is None else Repeat.ALWAYS
    if call.method != "POST":
        return Repeat.ALWAYS
    if call.path.endswith(_LOOKING):
        is_release = isinstance(call.body, Mapping) and call.body.get("release")
        return Repeat.NEVER if is_release else Repeat.ALWAYS
    return Repeat.KEPT if call.path.endswith(_MAKING) else Repeat.REPLAYED


def is_leaving(error: ApiError) -> bool:
    """Tell whether the daemon goes away, and did nothing; 503 alone may be a full table."""
    return error.status == _UNAVAILABLE and error.code == _SHUTTING_DOWN


def pause_s(error: ApiError) -> float:
    """How long the daemon wants to be left alone."""
    return max(error.problem.retry_after_s or 0.0, _SHORTEST_PAUSE_S)
