"""Short ways to write policies and to ask them, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd.access.caller import Caller, Owner
from socketd.access.policy import Policy
from socketd.access.policy_file import parse
from socketd.core import address, address_text

if TYPE_CHECKING:
    from socketd.access.policy import Document
    from socketd.access.questions import Question
    from socketd.access.reserved import Reserved
    from socketd.core.address import Address

DAEMON, ANN, BOB = 990, 1000, 1001
USERS = {"root": 0, "ann": ANN, "bob": BOB}
GROUPS = {"root": 0, "socketd": 990, "web": 2000}


class KnownPeople:
    """A directory of a few."""

    def uid(self, name: str) -> int | None:
        return USERS.get(name)

    def gid(self, name: str) -> int | None:
        return GROUPS.get(name)


def name_of(uid: int) -> str | None:
    return next((name for name, number in USERS.items() if number == uid), None)


def read(text: str) -> Document:
    """Read a policy that begins behind its version."""
    return parse(f"version = 1\n{text}", "policy.toml", KnownPeople())


def policy(text: str, reserved: Reserved | None = None) -> Policy:
    """Make a policy of its text."""
    return Policy(read(text), daemon_uid=DAEMON, reserved=reserved, name_of=name_of)


def for_ann(grants: str, reserved: Reserved | None = None) -> Policy:
    """Make a policy with one rule, which is for Ann."""
    return policy(f'[[rule]]\nname = "ann"\nuid = {ANN}\n{grants}', reserved)


def user(uid: int, *groups: int) -> Caller:
    """Somebody on the Unix socket."""
    return Caller(Owner(uid), uid, frozenset({uid, *groups}), 1, "unix")


def token(name: str) -> Caller:
    """Somebody with a token."""
    return Caller(Owner(token=name), None, frozenset(), None, "tcp")


def certificate(name: str) -> Caller:
    """Somebody with a client certificate."""
    return Caller(Owner(certificate=name), None, frozenset(), None, "tcp")


def where(text: str) -> Address:
    """Read a numeric address."""
    found: Any = address_text.parse(text)
    assert isinstance(found, address.Address)
    return found


def allows(asked: Policy, caller: Caller, question: Question) -> bool:
    """Whether the answer is yes."""
    return asked.decide(caller, question).is_allowed
