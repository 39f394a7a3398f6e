"""What is counted: the figures of the daemon, for those who may know everybody's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.access.questions import Act
from socketd.kernel import procfs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd.core.table import SocketTable
    from socketd.kernel.procfs import Process
    from socketd.service.call import Call
    from socketd.service.following import Following
    from socketd.service.forwards import Forwards

_GIVE_WAY_EVERY: Final = 1024


@dataclass(frozen=True, slots=True)
class Figures:
    """How things stand.

    Attributes:
        sockets: Held now, by family and type.
        done: Changes since the start, by kind.
        refused: Refusals, by kind and errno.
        followers: Who read the journal as it grows.
        forwards: That run now.
        forwarded_bytes: What forwards have delivered since the start, both ways.
        process: The daemon's own.
    """

    sockets: Mapping[tuple[int, int], int]
    done: Mapping[str, int]
    refused: Mapping[tuple[str, str], int]
    followers: int
    forwards: int
    forwarded_bytes: int
    process: Process


class Counting:
    """Reads the figures."""

    def __init__(self, table: SocketTable, following: Following, forwards: Forwards) -> None:
        self._table = table
        self._journal = following.journal
        self._following = following
        self._forwards = forwards

    def read(self, call: Call) -> Figures:
        """Read them; other requests run meanwhile.

        Raises:
            NotPermittedError: They tell of sockets that the caller may not see.
        """
        if not call.guard.sees_all(call.caller):
            call.require(Act("metrics"))
        sockets: Counter[tuple[int, int]] = Counter()
        for count, entry in enumerate(self._table.entries(), start=1):
            if count % _GIVE_WAY_EVERY == 0:
                call.waiter.give_way()
            sockets[entry.family, entry.type] += 1
        return Figures(
            sockets,
            self._journal.done,
            self._journal.refusals,
            len(self._following),
            self._forwards.running,
            self._forwards.moved_bytes,
            procfs.process(),
        )
