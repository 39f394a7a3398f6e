"""Whose a held socket is: a user, a token, or a client certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_UID: Final = 2**32 - 2  # the last one means "nobody" to chown(2)
_DIGITS: Final = 10
MOST_NAME: Final = 255
"""Bytes of a token's or certificate's name; a host name of DNS has at most 253."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody to whom sockets belong, told by exactly one of the three.

    Attributes:
        uid: Of a user of this host.
        token: Its name in the token file.
        certificate: The name in a client certificate.
    """

    uid: int | None = None
    token: str | None = None
    certificate: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is nobody, or two at once."""
        if (self.uid, self.token, self.certificate).count(None) != 2:  # noqa: PLR2004 (of three)
            raise ValueError("an owner is a uid, a token or a certificate")

    def __str__(self) -> str:
        if self.uid is not None:
            return f"uid:{self.uid}"
        return f"certificate:{self.certificate}" if self.token is None else f"token:{self.token}"

    def members(self) -> dict[str, int | str]:
        """Say it as it is stored: the one member that is set."""
        if self.uid is not None:
            return {"uid": self.uid}
        return {"certificate": self.certificate or ""} if self.token is None else {"token": self.token}

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Owner:
        """Read what ``members`` gave; a member that is none of the three is passed over.

        Raises:
            ValueError: It is no owner.
        """
        uid, token, certificate = (members.get(name) for name in ("uid", "token", "certificate"))
        if uid is not None and (type(uid) is not int or not 0 <= uid <= MOST_UID):
            raise ValueError("its owner is no uid")
        for name in (token, certificate):
            if name is not None and not is_name(name):
                raise ValueError("its owner's name is no name")
        return cls(uid, token, certificate)

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Read what ``str`` gives, or just a uid.

        Raises:
            ValueError: It is no owner.
        """
        kind, colon, rest = text.partition(":")
        if not colon:
            kind, rest = "uid", text
        if (
            kind == "uid"
            and rest.isascii()
            and rest.isdecimal()
            and len(rest) <= _DIGITS
            and int(rest) <= MOST_UID
        ):
            return cls(int(rest))
        if kind == "token" and is_name(rest):
            return cls(token=rest)
        if kind == "certificate" and is_name(rest):
            return cls(certificate=rest)
        raise ValueError("an owner is uid:NUMBER, token:NAME or certificate:NAME")


def is_name(text: object) -> bool:
    """Whether a token or certificate may be called so: printable, and short enough for a note."""
    return isinstance(text, str) and text.isprintable() and 0 < len(text.encode()) <= MOST_NAME
