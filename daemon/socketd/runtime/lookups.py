"""``getaddrinfo(3)`` in threads: bounded in number and time, and no caller has all of them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import getcurrent, monkey
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

from socketd.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Hashable

    Answers = list[tuple[int, int, int, str, tuple[Any, ...]]]

MOST: Final = 32
MOST_EACH: Final = 8
"""At the same time, of one asker; more wait for their turn. A silent name server holds each for 10 s."""
ASKER: Final = "socketd_asker"
"""Attribute of the greenlet that serves a connection: whose it is."""

_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")


class Lookups:
    """Resolves (``core.seams.Resolver``); made after the fork. Not in gevent's own threads, which others use.

    A numeric address needs no thread, and so waits for nobody's name server.

    Attributes:
        default_timeout_s: Bounds one look-up, the wait for a thread included; may be changed.
    """

    def __init__(self, default_timeout_s: float) -> None:
        self.default_timeout_s = default_timeout_s
        self._pool: Any = ThreadPool(MOST)
        self._turns: dict[Hashable, _Turns] = {}

    def close(self) -> None:
        """End the threads, when they have done what they were given."""
        self._pool.kill()

    def __call__(
        self, host: str | None, port: str | int | None, family: int, kind: int, proto: int, flags: int, /
    ) -> Answers:
        """Look it up.

        Raises:
            socket.gaierror, OSError, ValueError: As ``getaddrinfo``.
            WaitTimeoutError: No answer came in time.
        """
        question = (host, port, family, kind, proto)
        if _is_number(port):
            try:
                found: Answers = _getaddrinfo(*question, flags | socket.AI_NUMERICHOST)
            except socket.gaierror as error:
                if error.errno != socket.EAI_NONAME or flags & socket.AI_NUMERICHOST:
                    raise
            else:
                return found
        return self._in_time((*question, flags))

    def _in_time(self, question: tuple[Any, ...]) -> Answers:
        timeout_s = self.default_timeout_s
        with gevent.Timeout(timeout_s, WaitTimeoutError("getaddrinfo", timeout_s)):
            found: Answers | Exception = self._aside(question)
        if isinstance(found, Exception):
            raise found
        return found

    def _aside(self, question: tuple[Any, ...]) -> Any:
        asker = getattr(getcurrent(), ASKER, None)
        turns = self._turns.setdefault(asker, _Turns())
        turns.users += 1

        def leave(_result: object = None) -> None:
            turns.users -= 1
            if not turns.users:
                self._turns.pop(asker, None)

        def over(_result: object) -> None:
            turns.semaphore.release()
            leave()

        try:
            turns.semaphore.acquire()
        except BaseException:  # the time is over
            leave()
            raise
        try:
            result = self._pool.spawn(_outcome, question)
        except BaseException:
            over(None)
            raise
        result.rawlink(over)  # not before: the thread is busy even when nobody waits for it any more
        return result.get()


class _Turns:
    """The look-ups of one asker that are under way, and those who wait for their turn."""

    __slots__ = ("semaphore", "users")

    def __init__(self) -> None:
        self.semaphore: Any = BoundedSemaphore(MOST_EACH)
        self.users = 0


def _outcome(question: tuple[Any, ...]) -> Any:
    try:
        return _getaddrinfo(*question)
    except Exception as error:  # noqa: BLE001 - what is raised in a thread gevent prints, with its traceback
        return error


def _is_number(port: str | int | None) -> bool:
    return not isinstance(port, str) or (port.isascii() and port.isdecimal())
