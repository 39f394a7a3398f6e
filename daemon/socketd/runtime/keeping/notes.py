"""What only the daemon knows of a held socket, as the bytes that the keeper has beside its copy.

A note outlives the program that wrote it. So it says its version, what has its usual value is left out, and
members that this version does not know are passed over: a later one raises the version only when an older
daemon that went on with the socket would do wrong.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from socketd.core.entry import Note, Taker, UnixFile
from socketd.core.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION: Final = 1
_SHOWN: Final = 200
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))  # dumps would make one each time


class UnreadableNoteError(ValueError):
    """The bytes are no note that this daemon could go by."""


class NewerNoteError(UnreadableNoteError):
    """A later version of socketd wrote the note."""

    def __init__(self, version: int) -> None:
        super().__init__(f"its note has version {version}; this daemon reads {VERSION}")


def encode(note: Note) -> bytes:
    """Return the bytes that ``decode`` makes the same note of."""
    members: dict[str, Any] = {
        "v": VERSION,
        "owner": note.owner.members(),
        "at": note.created_at,
        "name": note.name,
        "accepted_from": note.accepted_from,
        "persist": note.persist,
        "taken": note.taken or None,
        "taken_by": _taker_members(note.taken_by),
        "blocking": note.is_blocking or None,
        "file": _file_members(note.socket_file),
        "key": note.key,
        "forwarded": note.forwarded or None,
    }
    present = {name: value for name, value in members.items() if value is not None}
    # ASCII: a path's bytes that are no UTF-8 are lone surrogates here, which only escapes carry.
    return _ENCODER.encode(present).encode("ascii")


def decode(raw: bytes) -> Note:
    """Return the note that these bytes are.

    Raises:
        NewerNoteError: A later version wrote them.
        UnreadableNoteError: They are no note.
    """
    try:
        members = json.loads(raw)
        version = members["v"]
        if version > VERSION:
            raise NewerNoteError(version)
        return _note(members)
    except UnreadableNoteError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise UnreadableNoteError(f"its note cannot be read: {repr(error)[:_SHOWN]}") from error


def _note(members: Mapping[str, Any]) -> Note:
    return Note(
        owner=Owner.read(members["owner"]),
        created_at=float(members["at"]),
        name=_optional(str, members.get("name")),
        accepted_from=_optional(int, members.get("accepted_from")),
        persist=_optional(str, members.get("persist")),
        taken=int(members.get("taken", 0)),
        taken_by=_optional(_taker, members.get("taken_by")),
        is_blocking=bool(members.get("blocking", False)),
        socket_file=_optional(_file, members.get("file")),
        key=_optional(str, members.get("key")),
        forwarded=bool(members.get("forwarded", False)),
    )


def _optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _taker(members: Mapping[str, Any]) -> Taker:
    return Taker(int(members["uid"]), _optional(int, members["pid"]), float(members["at"]))


def _file(members: Mapping[str, Any]) -> UnixFile:
    return UnixFile(str(members["path"]), int(members["device"]), int(members["inode"]))


def _taker_members(taker: Taker | None) -> dict[str, Any] | None:
    return None if taker is None else {"uid": taker.uid, "pid": taker.pid, "at": taker.at}


def _file_members(file: UnixFile | None) -> dict[str, Any] | None:
    return None if file is None else {"path": file.path, "device": file.device, "inode": file.inode}
