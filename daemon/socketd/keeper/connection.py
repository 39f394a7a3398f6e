"""What one daemon says, done at once, and what it is told in return."""

from __future__ import annotations

import errno
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from socketd.keeper import held as holds
from socketd.keeper import protocol
from socketd.keeper.fetching import Fetching
from socketd.keeper.protocol import (
    Ack,
    Commit,
    Forget,
    Hello,
    Kept,
    MalformedError,
    Missing,
    Mode,
    Ping,
    Refused,
    Retain,
    Store,
    Update,
    Welcome,
)
from socketd.keeper.staging import Staging
from socketd.kernel import scm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from socketd.keeper.holding import Holding
    from socketd.keeper.packets import Packets

MOST_RETAINED: Final = 1_048_576
"""Items of one Retain list: sysctl_nr_open of fs/file.c, the most descriptors a process has by default."""

log = logging.getLogger(__name__)


class Pumped(Enum):
    """How far reading came."""

    IDLE = auto()  # nothing more is there, or nobody reads our answers
    MORE = auto()
    ENDED = auto()  # ``close`` is next


class Connection:
    """A daemon, from its accept to its end.

    Attributes:
        pid: Of the process that connected.
        packets: To and from it.
        hears_of_copies: It knows what is in the supervisor's store, and is told of changes.
    """

    def __init__(self, packets: Packets, pid: int, holding: Holding) -> None:
        """Take ownership of ``packets``."""
        self.pid = pid
        self.packets = packets
        self.hears_of_copies = False
        self._holding = holding
        self._staging = Staging()
        self._fetching: Fetching | None = None
        self._retained: dict[int, int] = {}
        self._is_greeted = False
        self._work: Mapping[type[Any], Callable[[int, Any], None]] = {
            Hello: self._greet,
            Commit: self._commit,
            Update: self._update,
            Forget: self._forget,
            Retain: self._retain,
            Ping: self._answer,
            Ack: self._acknowledged,
        }

    def pump(self, most: int) -> Pumped:
        """Do what the daemon says, up to so many packets."""
        try:
            for _ in range(most):
                if self.packets.is_full and not self.packets.flush():
                    return Pumped.IDLE
                arrived = self.packets.receive()
                if arrived is None:
                    return Pumped.IDLE
                if not arrived.data:
                    return Pumped.ENDED
                self._do(arrived)
        except MalformedError as error:
            self.refuse(errno.EPROTO, str(error))
            return Pumped.ENDED
        except scm.TruncatedError:
            self.refuse(
                errno.EMFILE, "the keeper is out of descriptors: raise its LimitNOFILE= or `ulimit -Hn`"
            )
            return Pumped.ENDED
        return Pumped.MORE

    def advance(self) -> None:
        """Send what waits: answers, batches, and changes of the supervisor's store."""
        is_through = self.packets.flush()
        while is_through and self._fetching is not None and self._fetching.is_due:
            is_through = self._give(self._fetching)
        changes = self._holding.copies.changes
        if not self.hears_of_copies:
            changes.clear()  # it is told of all that is there, once it has fetched or retained
        if changes and not self.packets.is_full:
            items = tuple(changes.items())
            for start in range(0, len(items), protocol.MOST_LISTED):
                self.packets.say(Kept(items[start : start + protocol.MOST_LISTED]))
            changes.clear()

    def refuse(self, number: int, text: str) -> None:
        """Say why it cannot go on; ``close`` is next."""
        log.warning("refused the daemon (pid %d): %s: %s", self.pid, errno.errorcode[number], text)
        self.packets.say(Refused(number, text))
        self.packets.discard()

    def close(self) -> None:
        """Close it, and what it had staged."""
        self._staging.close()
        self.packets.close()

    def _do(self, arrived: scm.Message) -> None:
        try:
            sequence, message = protocol.from_daemon(arrived.data, len(arrived.descriptors))
        except MalformedError:
            scm.close(arrived.descriptors)
            raise
        if isinstance(message, Hello) is self._is_greeted:
            scm.close(arrived.descriptors)
            raise MalformedError("Hello is the first message, and only the first")
        if isinstance(message, Store):
            self._store(sequence, message, arrived.descriptors)
        else:
            self._work[type(message)](sequence, message)

    def _answer(self, sequence: int, _message: Ping | None = None) -> None:
        self.packets.say(Ack(sequence))

    def _greet(self, _sequence: int, message: Hello) -> None:
        self._is_greeted = True
        holding = self._holding
        welcome = Welcome(protocol.VERSION, len(holding), holding.last_number, holding.copies.label)
        self.packets.say(welcome)
        log.info("a daemon (pid %d) connected, to %s", self.pid, message.mode.name.lower())
        if message.mode is Mode.FETCH:
            self._fetching = Fetching(holding)

    def _store(self, sequence: int, message: Store, descriptors: tuple[int, ...]) -> None:
        for index, (record, fd) in enumerate(zip(message.records, descriptors, strict=True)):
            try:
                held = holds.take(record.number, fd, record.note)
            except holds.NotASocketError as error:
                scm.close(descriptors[index + 1 :])
                raise MalformedError(str(error)) from error
            if message.group:
                self._staging.add(message.group, held)
            else:
                self._holding.hold(held)
        self._answer(sequence)

    def _commit(self, sequence: int, message: Commit) -> None:
        for held in self._staging.commit(message.group):
            self._holding.hold(held)
        self._answer(sequence)

    def _update(self, sequence: int, message: Update) -> None:
        for record in message.records:
            self._staging.update(record.number, record.note)
            self._holding.update(record.number, record.note)
        self._answer(sequence)

    def _forget(self, sequence: int, message: Forget) -> None:
        self._staging.drop(message.numbers)
        self._holding.forget(message.numbers, lambda: self._answer(sequence))

    def _retain(self, _sequence: int, message: Retain) -> None:
        self._retained.update(message.identities)
        if len(self._retained) > MOST_RETAINED:
            raise MalformedError(f"a Retain list of more than {MOST_RETAINED}")
        if not message.is_last:
            return
        missing = self._holding.retain(self._retained)
        self._retained = {}
        for start in range(0, max(len(missing), 1), protocol.MOST_LISTED):
            part = tuple(missing[start : start + protocol.MOST_LISTED])
            self.packets.say(Missing(part, is_last=start + protocol.MOST_LISTED >= len(missing)))
        self._tell_of_copies()

    def _acknowledged(self, _sequence: int, message: Ack) -> None:
        if self._fetching is None:
            raise MalformedError("an acknowledgement of nothing")
        self._fetching.acknowledged(message.sequence)

    def _give(self, fetching: Fetching) -> bool:
        """Send the next batch; return whether it went."""
        batch, descriptors = fetching.batch()
        sequence = self.packets.say_now(batch, descriptors)
        if sequence is None:
            return False
        fetching.sent(sequence)
        if batch.is_last:
            self._tell_of_copies()
        return True

    def _tell_of_copies(self) -> None:
        self._holding.copies.repeat()
        self.hears_of_copies = True
