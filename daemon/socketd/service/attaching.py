"""Control messages that callers send: what they may, and held sockets that go out with them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from socketd.access.questions import Act, SetOption
from socketd.core import control
from socketd.core.control import RIGHTS, Attached, ControlMessage
from socketd.core.entry import Taker
from socketd.core.transfer import is_stream
from socketd.errors import InvalidRequestError, UnknownSocketError
from socketd.kernel import scm
from socketd.service import changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.core.address import Endpoint
    from socketd.core.entry import Entry
    from socketd.service.call import Call
    from socketd.service.ground import Ground


@dataclass(frozen=True, slots=True)
class Control:
    """A control message as it is asked for.

    Attributes:
        references: Of ``SCM_RIGHTS`` the held sockets, by number or name.
        released: Those of them that are forgotten when they are sent: who receives them has them then.
    """

    level: int
    type: int
    data: bytes = b""
    references: tuple[str, ...] = ()
    released: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is asked for."""

    data: bytes
    to: Endpoint | None = None
    control: tuple[Control, ...] = ()


class Attaching:
    """Makes of what is asked for what can be sent."""

    def __init__(self, ground: Ground) -> None:
        self._table = ground.table
        self._clock = ground.clock
        self._keeper = ground.keeper
        self._journal = ground.journal

    def attached(self, call: Call, entry: Entry, message: Message) -> Attached | None:
        """Look the sockets up, and ask the policy about each control message.

        Raises:
            NotPermittedError: It is credentials, or the policy grants neither the option nor to take.
            InvalidRequestError: It cannot be sent for others, or not on this socket, or not be released.
            UnknownSocketError: A reference to no socket of the caller's.
        """
        if not message.control:
            return None
        made = [self._made(call, each) for each in message.control]
        handed = [each for item in made for each in item.sockets]
        if handed:
            _check_rights(entry, message.data, len(handed))
        released = [self._find(call, each) for control in message.control for each in control.released]
        _check_released(released, handed)
        return Attached(tuple(made), self._table.lent, partial(self._note, call, handed, released))

    def _made(self, call: Call, asked: Control) -> ControlMessage:
        kind = (asked.level, asked.type)
        if kind != RIGHTS:
            call.require(SetOption(control.option_of(kind)))
            return ControlMessage(*kind, asked.data)
        call.require(Act("take"))  # who receives them has them
        if not asked.references:
            raise InvalidRequestError(
                "sockets: SCM_RIGHTS names held sockets; numbers in its bytes would be the daemon's own",
                member="sockets",
            )
        return ControlMessage(*kind, sockets=tuple(self._find(call, each) for each in asked.references))

    def _find(self, call: Call, reference: str) -> Entry:
        entry = self._table.find(reference)  # not call.find: If-Match is about the socket that sends
        if not call.may_see(entry.owner):
            raise UnknownSocketError(reference)
        return entry

    def _note(self, call: Call, handed: Sequence[Entry], released: Sequence[Entry]) -> None:
        """Note that descriptors are out, as of a take: who has them outlives the close of ours."""
        # At once: a caller of ours that receives them now shall find them held by nobody.
        gone = dict.fromkeys(released)
        for entry in gone:
            self._table.forget(entry)
        for entry in gone:
            self._journal.note(call, changes.RELEASED, entry)
        uid = call.caller.uid
        for entry in handed:
            if entry in gone:
                continue
            entry.taken += 1
            if uid is not None:
                entry.taken_by = Taker(uid, call.caller.pid, self._clock.time())
            self._keeper.update(entry)
            self._journal.note(call, changes.TAKEN, entry)


def _check_released(released: Sequence[Entry], handed: Sequence[Entry]) -> None:
    for entry in released:
        if entry not in handed:
            raise InvalidRequestError(f"socket {entry.reference} is released and not sent", member="control")
        if entry.persist is not None:
            raise InvalidRequestError(
                f"socket {entry.reference} is promised for the next boot", member="control", hint="take it"
            )


def _check_rights(entry: Entry, data: bytes, count: int) -> None:
    """Refuse what the kernel would not: sendmsg on TCP, or with no bytes, succeeds and sends none."""
    if entry.family != socket.AF_UNIX:
        raise InvalidRequestError(
            "descriptors travel over Unix sockets only", member="control", symbol="EOPNOTSUPP"
        )
    if not data and is_stream(entry):
        raise InvalidRequestError("on a stream, no bytes carry no descriptors", member="control")
    if count > scm.MOST_DESCRIPTORS:
        raise InvalidRequestError(
            f"{count} descriptors in a message; {scm.MOST_DESCRIPTORS} are the most", member="control"
        )
