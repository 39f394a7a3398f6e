"""What is asked again when a connection breaks or the daemon goes away, and why nothing is done twice.

An attempt at a call may be followed by others, until the time of the call is over: the wait it asked for and
the client's ``timeout_s``. Between them is a pause that grows.

The connection was not made
    Nothing was sent. Every call is tried again: for a quarter of a second by a new client, as a daemon that
    starts binds before it listens, and all the time by one that was answered before: its daemon restarts.
503 with the code ``shutting_down``
    The daemon did nothing. Every call is made again after ``Retry-After``, with a new key and what is left of
    its wait; except ``connect``, which goes on in the kernel: ``Socket.connect`` looks how far it got.
400 with the code ``cut_body``
    The connection broke on the way to the daemon, which did nothing. Every call is made again.
The connection broke before the whole answer was there
    Or the daemon took us for gone, and says so (``client_gone``). It may have been done. ``repeat_of`` says
    which calls are sent again then, and to whom.

Each request says by ``Socketd-Instance`` which daemon process it is for: the one that answered last. Its
successor answers 412 with the code ``other_instance`` and does nothing; also where the network delivers a
request late, or twice. A proxy hands the header on, and may itself not repeat what is not idempotent
(RFC 9110, 9.2.2).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socketd_client.calls import Call
    from socketd_client.errors import ApiError, ConnectionLostError

INSTANCE: Final = "Socketd-Instance"
MOST_BROKEN: Final = 16
"""Attempts of a caller that looks by itself what became of the last one (``connect``, ``release``)."""
MOST_LOST: Final = 4
"""Daemons a call may be lost with and still go to the next: one that ends its daemon shall not end all."""
POLL: Final = "/v1/poll"

_UNAVAILABLE: Final = 503
_SHUTTING_DOWN: Final = "shutting_down"
_OTHER_INSTANCE: Final = "other_instance"
_ANSWER_FORGOTTEN: Final = "answer_forgotten"
_CUT_BODY: Final = "cut_body"
_CLIENT_GONE: Final = "client_gone"
_SHORTEST_PAUSE_S: Final = 0.02
_PAUSES_S: Final = (0.0, 0.0, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25)
_MAKING: Final = ("/v1/sockets", "/v1/socketpairs", "/accept", "/give")
_LOOKING: Final = (POLL, "/take")
_STREAM: Final = re.compile(r"/v1/sockets/[^/]+/stream")
_CONNECT: Final = "/connect"
_TUNNEL: Final = "/tunnel"
_OPTION: Final = "/options/"
# Reading one uses it up: socket(7), packet(7), tcp(7); by the numbers of Linux, whose the daemon's are.
_USED_UP: Final = ("_SO_ERROR", "_1:4", "_PACKET_STATISTICS", "_263:6", "_TCP_SAVED_SYN", "_6:28")


class Repeat(Enum):
    """To whom a call may be sent again whose connection broke.

    Attributes:
        ALWAYS: To whoever is there.
        KEPT: To the daemon that may have seen it, and to its successor if a keeper outlived it.
        REPLAYED: To the daemon that may have seen it.
        NEVER: To nobody.
    """

    ALWAYS = "always"
    KEPT = "kept"
    REPLAYED = "replayed"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a call.

    Attributes:
        key: The ``Idempotency-Key``; the same as long as the first try may have been carried out.
        instance: The daemon that it is for; ``None`` before any has answered.
        started: When the first try with this key began, in ``time.monotonic()`` seconds.
        lost: How the last one ended that may have been done.
        lost_with: The daemons that it ended so with. One that refused it as another's did nothing.
        vain: How many have come to nothing.
    """

    call: Call
    instance: str | None = None
    key: str = field(default_factory=lambda: os.urandom(16).hex())
    started: float = field(default_factory=time.monotonic)
    lost: ConnectionLostError | None = None
    lost_with: frozenset[str] = frozenset()
    vain: int = 0

    def after(self, lost: ConnectionLostError | None) -> Attempt:
        """Return the next one with the same request, byte for byte: only so the daemon knows it again.

        Args:
            lost: How this one ended; ``None`` if it is sure that it was not done.
        """
        if lost is None:
            return replace(self, vain=self.vain + 1)
        here = () if self.instance is None else (self.instance,)
        return replace(self, lost=lost, lost_with=self.lost_with.union(here), vain=self.vain + 1)

    def elsewhere(self, instance: str | None) -> Attempt:
        """Return the next one, for another daemon."""
        return replace(self, instance=instance, vain=self.vain + 1)

    def pause_s(self) -> float:
        """Say how long to wait before this one: not at all at first, for a kept connection may be old."""
        return _PAUSES_S[min(self.vain, len(_PAUSES_S) - 1)]


def repeat_of(call: Call) -> Repeat:
    """Say what may be done when the connection broke, and the call may have been carried out.

    ``GET`` changes nothing, except for options that reading uses up. These, and whatever changes something,
    have an ``Idempotency-Key``, by which the daemon that may have done it gives its first answer again. What
    its successor may get depends on the call.

    ``PUT`` says what shall be: a name is ensured, an option set, and the second time finds it so. ``DELETE``
    with ``If-Match`` names one socket for ever (a cookie is never reused): 404 then means that the first did
    it. ``DELETE`` of a mere name is no successor's, since somebody may have used the name anew in between.
    The bytes of a ``PUT`` of a stream are known by their position to the daemon that sent them, and no other.
    Those that a ``GET`` of one has taken are known to nobody.

    ``POST``: ``poll`` and ``take`` leave everything as it was. Those that make sockets (``create``,
    ``create_many``, ``pair``, ``accept``, ``give_from``) get from a successor the very sockets, as the keeper
    has their key; ``give`` of our own descriptors finds by key and inode what it gave. ``bind``, ``listen``,
    ``shutdown``, ``send`` and ``recv`` are known to the daemon that did them and to nobody after it: no byte
    is sent or taken twice. A ``take`` with ``release`` is ``passing.take``'s own affair: it may already have
    the only descriptor. ``connect`` is ``Socket.connect``'s, which asks how far it got: one whose wait ends
    with its client goes on in the kernel, and a second would be EALREADY. A ``tunnel`` that broke may have
    taken bytes with it, which no second one has.
    """
    if call.method == "POST":
        return _repeat_of_post(call)
    if call.method == "DELETE":
        return Repeat.REPLAYED if call.if_match is None else Repeat.ALWAYS
    if _STREAM.fullmatch(call.path):
        return {"GET": Repeat.NEVER, "PUT": Repeat.REPLAYED}.get(call.method, Repeat.ALWAYS)
    return Repeat.REPLAYED if _uses_up(call) else Repeat.ALWAYS


def is_keyed(call: Call) -> bool:
    """Tell whether a call has an ``Idempotency-Key``: it does something, or has what it reads forgotten.

    A poll has none: its first answer may no longer be true.
    """
    return call.path != POLL and (call.method != "GET" or _uses_up(call))


def is_leaving(error: ApiError) -> bool:
    """Tell whether the daemon goes away, and did nothing; 503 alone may be a full table."""
    return error.status == _UNAVAILABLE and error.code == _SHUTTING_DOWN


def is_for_another(error: ApiError) -> bool:
    """Tell whether another daemon serves now, and did nothing."""
    return error.code == _OTHER_INSTANCE


def is_forgotten(error: ApiError) -> bool:
    """Tell whether the daemon did it before, and has dropped its answer since."""
    return error.code == _ANSWER_FORGOTTEN


def is_broken(error: ApiError) -> bool:
    """Tell whether the daemon saw our end of the connection while we are here: it was cut on the way."""
    return error.code == _CLIENT_GONE


def is_cut(error: ApiError) -> bool:
    """Tell whether the request did not arrive whole, and nothing was done."""
    return error.code == _CUT_BODY


def pause_s(error: ApiError) -> float:
    """How long the daemon wants to be left alone."""
    return max(error.problem.retry_after_s or 0.0, _SHORTEST_PAUSE_S)


def is_connect(call: Call) -> bool:
    """Tell whether a call goes on in the kernel when the daemon leaves."""
    return call.method == "POST" and call.path.endswith(_CONNECT)


def _repeat_of_post(call: Call) -> Repeat:
    if call.path.endswith(_LOOKING):
        is_release = isinstance(call.body, Mapping) and call.body.get("release")
        return Repeat.NEVER if is_release else Repeat.ALWAYS
    if call.path.endswith((_CONNECT, _TUNNEL)):
        return Repeat.NEVER
    return Repeat.KEPT if call.path.endswith(_MAKING) else Repeat.REPLAYED


def _uses_up(call: Call) -> bool:
    _, is_option, name = call.path.rpartition(_OPTION)
    is_read = call.method == "GET" and bool(is_option)
    return is_read and any(each.endswith(f"_{name.upper()}") for each in _USED_UP)
