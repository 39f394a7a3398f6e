"""A saved specification as the bytes of its file, and back; versioned."""

from __future__ import annotations

from typing import Any, Final

import orjson

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.errors import UnreadableSpecificationError

VERSION: Final = 1
MOST_BYTES: Final = 65536
_LAYOUT: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def encode(saved: Saved) -> bytes:
    """Write it, so that a person can read it, too."""
    return orjson.dumps(
        {
            "version": VERSION,
            "name": saved.name,
            "owner": saved.owner.members(),
            "specification": saved.document,
        },
        option=_LAYOUT,
    )


def decode(data: bytes, name: str, path: str) -> Saved:
    """Read the file ``path`` of the socket ``name``; whether the specification can be meant is not looked at.

    Raises:
        UnreadableSpecificationError: It is cut, of a newer version, or not a specification of that socket.
    """
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableSpecificationError(path, f"it is not JSON: {error}") from error
    match read:
        case {"version": int(version)} if version > VERSION:
            raise UnreadableSpecificationError(
                path, f"it is of version {version}, and this daemon reads up to version {VERSION}"
            )
        case {"version": 1, "name": str(named), "owner": dict(owner), "specification": dict(document)}:
            return _checked(named, owner, document, name, path)
    raise UnreadableSpecificationError(path, "it lacks version, name, owner or specification")


def _checked(named: str, owner: dict[str, Any], document: dict[str, Any], name: str, path: str) -> Saved:
    if named != name:
        raise UnreadableSpecificationError(path, f"it is the specification of {named[:80]!r}")
    try:
        return Saved(named, Owner.read(owner), document)
    except ValueError as error:
        raise UnreadableSpecificationError(path, str(error)) from None
