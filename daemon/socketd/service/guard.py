"""The one place where the policy is asked: may they, and is there room for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from socketd.errors import NotPermittedError, QuotaError
from socketd.service.rates import Rates
from socketd.service.waits import CountedWaiter, Waits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd.access.caller import Caller
    from socketd.access.policy import Policy
    from socketd.access.questions import Bind, Connect, Question
    from socketd.core.owner import Owner
    from socketd.core.seams import Clock, Waiter
    from socketd.core.table import SocketTable

_HINT: Final = "GET /v1/caller shows what you may; 'socketd policy check' tells the operator why"
_SOCKETS_HINT: Final = "close sockets you no longer need, or ask the operator for more"


class InForce(Protocol):
    """What has the policy that decides: another one after a reload."""

    @property
    def policy(self) -> Policy:
        """The one in force."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A policy that stays (``InForce``)."""

    policy: Policy


class Guard:
    """Answers for the policy in force, and counts what it bounds.

    Args:
        source: Has the policy.
        table: Counts the sockets.
        clock: Time.
    """

    def __init__(self, source: InForce, table: SocketTable, clock: Clock) -> None:
        self._source = source
        self._tally = table.tally
        self._rates = Rates(clock)
        self._waits = Waits()

    @property
    def policy(self) -> Policy:
        """The policy in force; another one after a reload."""
        return self._source.policy

    def allows(self, caller: Caller, question: Question) -> bool:
        """Whether the policy grants it."""
        return self.policy.decide(caller, question).is_allowed

    def require(self, caller: Caller, *questions: Question) -> None:
        """Return if the policy grants all of it.

        Raises:
            NotPermittedError: It does not grant one.
        """
        policy = self.policy
        for question in questions:
            if not policy.decide(caller, question).is_allowed:
                raise refusal(caller, str(question))

    def require_lookup(self, caller: Caller) -> None:
        """Return if names may be looked up for somebody: who may reach and bind nothing has no use for that.

        A name server of a stranger's is told what is looked up, and the answer tells what is within.

        Raises:
            NotPermittedError: It may not.
        """
        if not any(rule.bind or rule.connect for rule in self.policy.grants(caller).rules):
            raise refusal(caller, "have names looked up")

    def folder(self, caller: Caller, question: Bind | Connect) -> str | None:
        """Name the folder that a granted path may not leave on its way; ``None``: it may go anywhere."""
        return self.policy.folder(caller, question)

    def may_see(self, caller: Caller, owner: Owner) -> bool:
        """Whether sockets of ``owner`` exist for a caller; its own do."""
        return owner == caller.owner or self.policy.grants(caller).sees(owner)

    def sees_all(self, caller: Caller) -> bool:
        """Whether everybody's sockets exist for a caller."""
        return self.policy.grants(caller).sees_all

    def admit(self, caller: Caller) -> None:
        """Count a request.

        Raises:
            QuotaError: There were too many of late.
        """
        policy = self.policy
        self._rates.count(caller.owner, policy.grants(caller).quota, policy.total)

    def require_room(self, caller: Caller, owner: Owner, count: int = 1) -> None:
        """Return if ``count`` more sockets may be held.

        Args:
            caller: Who asks; its quota counts.
            owner: Whose they will be.
            count: How many.

        Raises:
            QuotaError: They would be too many.
        """
        policy, held = self.policy, self._tally
        most = policy.grants(caller).quota.sockets
        if most is not None and held.of(owner) + count > most:
            raise QuotaError(
                f"{told(owner)} holds {held.of(owner)} sockets and may hold {most}", hint=_SOCKETS_HINT
            )
        if policy.total.sockets is not None and held.total + count > policy.total.sockets:
            raise QuotaError("all callers together hold as many sockets as they may", hint=_SOCKETS_HINT)

    def waiter(self, caller: Caller, waiter: Waiter) -> Waiter:
        """Make of how a request waits a way that is counted, and bounded by the quota of now."""
        policy = self.policy
        bounds = (policy.grants(caller).quota.waits, policy.total.waits)
        return CountedWaiter(waiter, self._waits, caller.owner, bounds)

    def bounds_of_buffers(self, caller: Caller) -> tuple[int | None, int | None]:
        """How many bytes of answers may be kept, for a caller and for all together."""
        policy = self.policy
        return policy.grants(caller).quota.buffered_bytes, policy.total.buffered_bytes

    def used(self, owner: Owner) -> Mapping[str, int]:
        """Count what somebody uses now, by the names of ``rules.Quota``."""
        return {"sockets": self._tally.of(owner), "waits": self._waits.of(owner)}


def refusal(caller: Caller, act: str) -> NotPermittedError:
    """Say that the policy does not grant something.

    Args:
        caller: Who asked.
        act: What it asked for, as an infinitive.
    """
    return NotPermittedError(
        f"the policy does not let {told(caller.owner)} {act}", symbol="EACCES", hint=_HINT
    )


def told(owner: Owner) -> str:
    """Name somebody in a sentence: ``uid 1000``, ``token ci``."""
    return str(owner).replace(":", " ", 1)
