"""What the journal of a service says, as a test reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd.service.journal import KEPT, decoded

if TYPE_CHECKING:
    from socketd.service.changes import Change
    from tests.held import Held


def told(held: Held) -> list[Change]:
    """Everything that is kept."""
    journal = held.service.journal
    return [decoded(record) for record in journal.read(journal.oldest, KEPT)]


def kinds(held: Held) -> list[str]:
    return [change.event for change in told(held)]
