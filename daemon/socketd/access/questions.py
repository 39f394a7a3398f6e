"""What may be asked of a policy: one record an act, with all that the decision depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.core import address_text, constants

if TYPE_CHECKING:
    from socketd.core.address import Address
    from socketd.core.owner import Owner

RIGHTS: Final = {
    "take": "take descriptors",
    "give": "give descriptors",
    "adopt_pid": "have descriptors taken from other processes",
    "persist": "have sockets made again at boot",
    "metrics": "read the metrics",
    "api": "reach the daemon's own sockets",
}
"""What a rule says yes or no to, and what that is; ``api`` counts beside ``bind`` and ``connect``."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make or bring in a socket of this kind (numbers, as socket(2) takes them)."""

    family: int
    type: int
    protocol: int = 0

    def __str__(self) -> str:
        kind = f"{constants.family_name(self.family)} {constants.type_name(self.type)}"
        if self.protocol == 0:
            return f"create a socket {kind}"
        return f"create a socket {kind} {constants.protocol_name(self.protocol, self.family, self.type)}"


@dataclass(frozen=True, slots=True)
class Bind:
    """Give a socket this local address, resolved.

    Attributes:
        is_dual: An IPv6 socket without IPV6_V6ONLY: bound to ``::`` it has the IPv4 port too (ipv6(7)).
    """

    address: Address
    is_dual: bool = False

    def __str__(self) -> str:
        return f"bind {address_text.text(self.address)}"


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect or send to this address, resolved."""

    address: Address

    def __str__(self) -> str:
        return f"connect to {address_text.text(self.address)}"


@dataclass(frozen=True, slots=True)
class SetOption:
    """Set a socket option, by the name that ``core.options.lookup`` gives it."""

    name: str

    def __str__(self) -> str:
        return f"set {self.name}"


@dataclass(frozen=True, slots=True)
class UseName:
    """Give a socket this name."""

    name: str

    def __str__(self) -> str:
        return f"use the name {self.name!r}"


@dataclass(frozen=True, slots=True)
class See:
    """See and use the sockets of this owner."""

    owner: Owner

    def __str__(self) -> str:
        return f"see the sockets of {self.owner}"


@dataclass(frozen=True, slots=True)
class Act:
    """Do what is had or not: one of ``RIGHTS``."""

    right: str

    def __str__(self) -> str:
        return RIGHTS[self.right]


Question = Create | Bind | Connect | SetOption | UseName | See | Act
