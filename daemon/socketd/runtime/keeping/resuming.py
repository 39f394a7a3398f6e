"""After a break: daemon and keeper find out what each has, and the keeper is told the rest."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from socketd.keeper import protocol
from socketd.keeper.messages import Kept, Missing, Retain
from socketd.kernel import scm
from socketd.runtime.keeping.line import LineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from socketd.runtime.keeping.line import Line

Identity = tuple[int, int]
"""Number and inode."""


def retain(line: Line, identities: Sequence[Identity]) -> tuple[set[int], list[tuple[int, bool]]]:
    """Have the keeper forget all but ``identities``; waits for it, and lets the loop run meanwhile.

    Returns:
        The numbers among them that it does not hold, and what it said of its supervisor's store.

    Raises:
        LineError: The line broke, or the keeper does not answer.
    """
    for part, is_last in _parts(identities):
        line.say(Retain(part, is_last))
    missing: set[int] = set()
    stored: list[tuple[int, bool]] = []
    while True:
        heard = line.hear()
        if isinstance(heard.message, Missing):
            missing.update(heard.message.numbers)
            if heard.message.is_last:
                return missing, stored
        elif isinstance(heard.message, Kept):
            stored += heard.message.changes
        else:
            scm.close(heard.descriptors)
            raise LineError(f"the keeper sent {heard.message!r} instead of what it misses")


def _parts(identities: Sequence[Identity]) -> Iterator[tuple[tuple[Identity, ...], bool]]:
    """Cut the list into messages; an empty list is one message."""
    left, rest = len(identities), iter(identities)
    while True:
        part = tuple(islice(rest, protocol.MOST_LISTED))
        left -= len(part)
        yield part, left == 0
        if left == 0:
            return
