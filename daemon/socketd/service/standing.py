"""Where a caller stands: what the policy grants it, and what of its bounds it uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd.access.caller import Caller
    from socketd.access.policy import Grants
    from socketd.service.guard import Guard


@dataclass(frozen=True, slots=True)
class Standing:
    """What one caller is told of itself.

    Attributes:
        source: Where the policy is from.
        grants: What it grants.
        used: By the names of ``rules.Quota``; what is not counted is not in it.
    """

    source: str
    grants: Grants
    used: Mapping[str, int]


class Standings:
    """Looks up where callers stand."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def of(self, caller: Caller) -> Standing:
        """Tell where a caller stands; this is asked of nobody's leave but its own."""
        policy = self._guard.policy
        return Standing(policy.source, policy.grants(caller), self._guard.used(caller.owner))
