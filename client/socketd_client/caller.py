"""What the daemon tells its caller of itself: who that is, and what it may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from socketd_client.wire import Record, decoded, each

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Group(Record):
    """A group of the caller's; ``group`` is ``None`` where the daemon's host has no name for it."""

    gid: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Rule(Record):
    """A rule of the policy that is for the caller; ``grants`` as it stands in the policy."""

    name: str
    grants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bound(Record):
    """A bound: ``most`` is ``None`` where there is none, ``used`` where it is of a rate."""

    most: float | None = None
    used: int | None = None


def _bounds(found: Mapping[str, Any]) -> dict[str, Bound]:
    return {name: Bound.from_json(bound) for name, bound in found.items()}


@dataclass(frozen=True, slots=True)
class CallerInfo(Record):
    """Who the daemon takes us for, and what we may.

    Attributes:
        uid: On the Unix socket, or with the daemon's own token; else ``token`` or ``certificate`` is set.
        groups: Of our process, as they were when it connected.
        via: ``"unix"`` or ``"tcp"``.
        policy: Where the policy is from.
        rules: Those that are for us; what they grant adds up.
        quota: By name: ``sockets``, ``waits``, ``buffered_bytes``, ``requests_per_s``, ``burst``.
    """

    via: str
    uid: int | None = None
    user: str | None = None
    token: str | None = None
    certificate: str | None = None
    gid: int | None = None
    groups: tuple[Group, ...] = field(default=(), metadata=decoded(each(Group.from_json)))
    pid: int | None = None
    policy: str | None = None
    rules: tuple[Rule, ...] = field(default=(), metadata=decoded(each(Rule.from_json)))
    quota: Mapping[str, Bound] = field(default_factory=dict, metadata=decoded(_bounds))
