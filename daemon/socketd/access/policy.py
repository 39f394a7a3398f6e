"""The policy: every rule that is for a caller adds what it grants, and what none grants is refused."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from socketd.access.caller import user_name
from socketd.access.questions import Act, Bind, Connect, See
from socketd.access.reserved import Reserved
from socketd.access.rules import Quota, Rule, largest

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.access.caller import Caller
    from socketd.access.questions import Question
    from socketd.core.owner import Owner

_REMEMBERED: Final = 1024
_API: Final = Act("api")
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and why, for people; ``rule`` is the name of the one that says yes."""

    is_allowed: bool
    rule: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Grants:
    """What one caller has.

    Attributes:
        rules: Those that are for it, in the policy's order.
        quota: Their bounds together.
        user: What ``{user}`` stands for; ``None`` where the uid has no name.
        sight: Whose sockets it sees besides its own, as text; ``all`` for everybody's.
    """

    rules: tuple[Rule, ...]
    quota: Quota
    user: str | None
    sight: frozenset[str] = frozenset()

    @property
    def sees_all(self) -> bool:
        """Whether everybody's sockets are seen."""
        return ALL in self.sight

    def sees(self, owner: Owner) -> bool:
        """Whether somebody else's sockets are seen."""
        return ALL in self.sight or str(owner) in self.sight


@dataclass(frozen=True, slots=True)
class Document:
    """A policy as it was written down.

    Attributes:
        rules: In the order of the file; the order makes no difference but to which rule is named.
        total: Bounds for all callers together.
        source: The file's path, or what else it came from.
        warnings: What is allowed to stand there and does not do what it seems to.
    """

    rules: tuple[Rule, ...]
    total: Quota
    source: str
    warnings: tuple[str, ...] = ()


class Policy:
    """Decides; knows neither files nor time.

    Args:
        document: What is granted.
        daemon_uid: Who ``daemon_user`` is.
        reserved: The daemon's own addresses.
        name_of: Looks a user up; asked once for each identity.
    """

    def __init__(
        self,
        document: Document,
        *,
        daemon_uid: int,
        reserved: Reserved | None = None,
        name_of: Callable[[int], str | None] = user_name,
    ) -> None:
        self.document = document
        self._daemon_uid = daemon_uid
        self._reserved = reserved or Reserved()
        self._name_of = name_of
        self._grants = lru_cache(_REMEMBERED)(self._find_grants)

    @property
    def total(self) -> Quota:
        """Bounds for all callers together."""
        return self.document.total

    @property
    def source(self) -> str:
        """Where it came from, for people."""
        return self.document.source

    def grants(self, caller: Caller) -> Grants:
        """Find the rules that are for somebody."""
        return self._grants(caller.owner, caller.groups)

    def decide(self, caller: Caller, question: Question) -> Decision:
        """Answer one question for one caller."""
        free = _free(caller, question)
        if free is not None:
            return free
        grants = self.grants(caller)
        rules = self._rules(grants, question)
        if grants.rules and not rules:
            return _no(f"cannot {question}: that is the daemon's own, and no rule has api = true")
        for rule in rules:
            if rule.grants(question, grants.user):
                return Decision(is_allowed=True, rule=rule.name, reason=f"rule {rule.name!r} grants it")
        return _no(_refusal(question, grants))

    def folder(self, caller: Caller, question: Bind | Connect) -> str | None:
        """Name the folder that a granted path may not leave on its way; ``None``: it may go anywhere."""
        grants = self.grants(caller)
        folders = {
            folder
            for rule in self._rules(grants, question)
            if rule.grants(question, grants.user)
            for folder in rule.folders(question, grants.user)
        }
        return None if None in folders else min((each for each in folders if each), key=len, default=None)

    def _rules(self, grants: Grants, question: Question) -> tuple[Rule, ...]:
        """Leave the rules that count: for the daemon's own addresses those that say so."""
        if isinstance(question, Bind | Connect) and question.address in self._reserved:
            return tuple(rule for rule in grants.rules if rule.grants(_API, grants.user))
        return grants.rules

    def _find_grants(self, owner: Owner, groups: frozenset[int]) -> Grants:
        rules = tuple(
            rule for rule in self.document.rules if rule.who.matches(owner, groups, self._daemon_uid)
        )
        sight = frozenset[str]().union(*(rule.see for rule in rules))
        return Grants(rules, largest(rule.quota for rule in rules), self._user(owner), sight)

    def _user(self, owner: Owner) -> str | None:
        if owner.uid is None:
            return owner.token or owner.certificate
        return self._name_of(owner.uid)


def _free(caller: Caller, question: Question) -> Decision | None:
    """Allow what needs no rule: one's own sockets, and to connect to nothing (AF_UNSPEC, connect(2))."""
    match question:
        case See(owner) if owner == caller.owner:
            return Decision(is_allowed=True, rule=None, reason="they are your own")
        case Connect(address) if address.family == socket.AF_UNSPEC:
            return Decision(is_allowed=True, rule=None, reason="it ends an association, and reaches nothing")
    return None


def _no(reason: str) -> Decision:
    return Decision(is_allowed=False, rule=None, reason=reason)


def _refusal(question: Question, grants: Grants) -> str:
    if not grants.rules:
        return f"no rule of the policy is for you, and none lets you {question}"
    names = ", ".join(repr(rule.name) for rule in grants.rules)
    return f"no rule that is for you ({names}) lets you {question}"
