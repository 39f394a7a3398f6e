"""Descriptors in messages of held sockets: given to the daemon to be sent, taken from it when they came."""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd_client import passing
from socketd_client.ancillary import RIGHTS, descriptors_of
from socketd_client.calls import Call
from socketd_client.constants import FILENO_BASE
from socketd_client.descriptors import close_all
from socketd_client.errors import ApiError, SocketdError
from socketd_client.records import SocketInfo
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from socketd_client.ancillary import Item
    from socketd_client.exchange import Exchange

_MOST_GIVEN: Final = 16
_NOT_HERE: Final = (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES)
"""It is TCP, or who asks may not take."""


@dataclass(frozen=True, slots=True)
class Lent:
    """Descriptors that the daemon holds so that it can send them.

    Attributes:
        numbers: Its number of each.
        made: Those that it holds only for that. It is to forget them in the step that sends them: closed
            later, they might by then be what a receiver was told of.
    """

    numbers: Mapping[int, int]
    made: frozenset[int]

    def number(self, fd: int) -> int:
        """Name the held socket of a descriptor, or of what stands for one."""
        return fd - FILENO_BASE if fd >= FILENO_BASE else self.numbers[fd]

    def is_gone(self, error: ApiError) -> bool:
        """Tell whether a send was refused as one is held no more that was held when it was asked for."""
        others = {str(each) for each in self.numbers.values() if each not in self.made}
        return error.symbol == "EBADF" and error.problem.socket in others


def sending(exchange: Exchange, items: Iterable[Item], send: Callable[[Lent], int]) -> int:
    """Have descriptors held while they are sent.

    One that stands for a held socket, or is a duplicate of one, is that. Another client may be about to let
    go of it, who was sent it before: then it is given again.

    Raises:
        OSError: EBADF, it is not open; ENOTSOCK, only sockets can be held; EOPNOTSUPP over TCP.
    """
    files: dict[int, tuple[int, int]] = {}
    for fd in (fd for item in items for fd in descriptors_of(*item) or ()):
        if fd < FILENO_BASE:
            found = os.fstat(fd)
            files[fd] = (found.st_dev, found.st_ino)
    for left in reversed(range(_MOST_GIVEN)):
        lent, made = _lent(exchange, files)
        try:
            return send(lent)
        except BaseException as error:
            for each in made:
                _close(exchange, each.fd, each.cookie)
            if not left or not isinstance(error, ApiError) or not lent.is_gone(error):
                raise
    raise AssertionError("unreachable")


def _lent(exchange: Exchange, files: dict[int, tuple[int, int]]) -> tuple[Lent, list[SocketInfo]]:
    """Give descriptors; one for each file of several."""
    firsts = {file: fd for fd, file in reversed(files.items())}
    given, made = _give(exchange, list(firsts.values()))
    numbers = {fd: given[firsts[file]] for fd, file in files.items()}
    return Lent(numbers, frozenset(each.fd for each in made)), made


def taken(exchange: Exchange, control: Sequence[Mapping[str, Any]]) -> tuple[dict[int, list[int]], bool]:
    """Take the sockets that came; give the local descriptors of each, and whether some did not fit.

    A socket that came several times has as many descriptors, as it would have from the kernel.
    The daemon forgets those that it did not hold before. Over TCP they stay there, and the numbers are those
    that ``fileno()`` of a handle gives.

    Raises:
        SocketdError: The connection broke; the daemon still holds them.
    """
    rights = [each for each in control if "sockets" in each]
    came = Counter(fd for each in rights for fd in each["sockets"])
    new = {fd for each in rights for fd in each.get("new", ())}
    blocking = {fd for each in rights for fd in each.get("blocking", ())} & new
    groups: tuple[tuple[list[int], dict[str, bool]], ...] = (
        ([fd for fd in came if fd in blocking], {"release": True, "blocking": True}),
        ([fd for fd in came if fd in new - blocking], {"release": True}),
        ([fd for fd in came if fd not in new], {}),
    )
    found: dict[int, list[int]] = {}
    try:
        for wanted, how in groups:
            for fd, number in _taken(exchange, wanted, how).items():
                found[fd] = [number]
                found[fd] += (_again(number) for _ in range(came[fd] - 1))
    except BaseException:
        close_all(number for numbers in found.values() for number in numbers if number < FILENO_BASE)
        raise
    return found, len(found) < len(came)


def has_rights(items: Iterable[Item]) -> bool:
    """Tell whether descriptors are among control messages."""
    return any((level, kind) == RIGHTS for level, kind, _ in items)


def _give(exchange: Exchange, descriptors: list[int]) -> tuple[dict[int, int], list[SocketInfo]]:
    """Give descriptors; return the held number of each, and what is held only since now."""
    found: dict[int, int] = {}
    left = list(descriptors)
    while left:
        try:
            answer = passing.give(exchange, left, [{} for _ in left], existing_ok=False)
        except ApiError as error:
            index, held = error.problem.index, error.problem.socket
            if error.symbol != "EEXIST" or index is None or not (held or "").isdecimal():
                raise
            found[left.pop(index)] = int(held or 0)
            continue
        made = [SocketInfo.from_json(each) for each in listed(answer, "sockets")]
        found.update(zip(left, (each.fd for each in made), strict=True))
        return found, made
    return found, []


def _taken(exchange: Exchange, wanted: list[int], how: dict[str, bool]) -> dict[int, int]:
    if not wanted:
        return {}
    call = Call("POST", "/v1/sockets/take", {"fields": "fd"}, {"sockets": wanted, **how})
    try:
        _, socks = passing.take(exchange, call, len(wanted))
    except OSError as error:
        if error.errno in _NOT_HERE:
            return {fd: FILENO_BASE + fd for fd in wanted}
        if error.errno != errno.EMFILE:
            raise
        if how:  # as the kernel does: what does not fit into the process is closed
            for fd in wanted:
                _close(exchange, fd, None)
        return {}
    return {fd: sock.detach() for fd, sock in zip(wanted, socks, strict=True)}


def _again(number: int) -> int:
    return number if number >= FILENO_BASE else os.dup(number)


def _close(exchange: Exchange, fd: int, cookie: int | None) -> None:
    with suppress(SocketdError):
        exchange.send(Call("DELETE", f"/v1/sockets/{fd}", if_match=cookie))
