"""Control messages between the tuples of ``sendmsg`` and ``recvmsg`` and what stands in requests."""

from __future__ import annotations

import base64
import socket
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from socketd_client.arguments import integer
from socketd_client.errors import BadAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

Item: TypeAlias = "tuple[int, int, bytes]"

MOST_BYTES: Final = 65536
"""Room for control messages that a daemon grants; no kernel has as much to say of one message."""
RIGHTS: Final = (int(socket.SOL_SOCKET), int(getattr(socket, "SCM_RIGHTS", 1)))
_INT_BYTES: Final = array("i").itemsize
_LEVELS: Final = ("SOL_", "IPPROTO_")
_FLAGS: Final = {"MSG_NOTIFICATION": 0x8000, "MSG_CMSG_CLOEXEC": 0x40000000}


@dataclass(frozen=True, slots=True)
class Came:
    """A message as the daemon tells it.

    Attributes:
        length: The message's own; more than ``data`` has if it was cut.
        flags: As this platform numbers them.
        control: One JSON object a control message.
    """

    data: bytes
    length: int
    flags: int
    source: Mapping[str, Any] | None = None
    control: tuple[Mapping[str, Any], ...] = ()


NOTHING: Final = Came(b"", 0, 0)


def items(given: Iterable[Any]) -> list[Item]:
    """Read what ``sendmsg`` was given beside the data, once it was checked."""
    return [(integer(level), integer(kind), bytes(memoryview(data))) for level, kind, data in given]


def to_json(
    items: Iterable[Item], reference: Callable[[int], int], released: Container[int] = ()
) -> list[dict[str, Any]]:
    """Write control messages as a request has them.

    Args:
        items: Level, type and data each.
        reference: Names the held socket of a descriptor.
        released: The held sockets that the daemon shall forget when they are sent.
    """
    found: list[dict[str, Any]] = []
    for level, kind, data in items:
        descriptors = descriptors_of(level, kind, data)
        if descriptors is None:
            found.append({"level": level, "type": kind, "base64": base64.b64encode(data).decode()})
        elif descriptors:
            sockets = [reference(each) for each in descriptors]
            found.append({"type": "SCM_RIGHTS", "sockets": sockets})
            if gone := [each for each in sockets if each in released]:
                found[-1]["release"] = gone
    return found


def descriptors_of(level: int, kind: int, data: bytes) -> list[int] | None:
    """List the descriptors of ``SCM_RIGHTS``; ``None`` of everything else."""
    if (level, kind) != RIGHTS:
        return None
    return array("i", data[: len(data) - len(data) % _INT_BYTES]).tolist()


def from_json(message: Mapping[str, Any]) -> Came:
    """Read a message of an answer to recv.

    Raises:
        BadAnswerError: It is none.
    """
    try:
        return Came(
            base64.b64decode(message["base64"]),
            int(message["length"]),
            flags_of(message["flags"]),
            message.get("from"),
            tuple(message.get("control") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(f"the answer to recv is malformed: {error}") from error


def flags_of(names: Iterable[str]) -> int:
    """Join ``msg_flags`` by name; what this platform has no name for comes as a number in hex."""
    mask = 0
    for name in names:
        known = getattr(socket, name, None) if name.startswith("MSG_") else int(name, 16)
        mask |= int(known) if isinstance(known, int) else _FLAGS.get(name, 0)
    return mask


def item_of(control: Mapping[str, Any], descriptors: Mapping[int, list[int]]) -> Item | None:
    """Make of a control message what ``recvmsg`` gives; ``None`` if all that was in it could not be had.

    Args:
        control: As the answer has it.
        descriptors: Which ones are in place of which held socket; those used are taken out.

    Raises:
        BadAnswerError: It is none.
    """
    try:
        level, kind = _numbers(control)
        if "sockets" not in control:
            return level, kind, base64.b64decode(control["base64"])
        found = array("i", (descriptors[each].pop() for each in control["sockets"] if each in descriptors))
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswerError(f"the answer to recv is malformed: {error}") from error
    return (level, kind, found.tobytes()) if found else None


def _numbers(control: Mapping[str, Any]) -> tuple[int, int]:
    """Take this platform's numbers for what has a name, the daemon's for what has none."""
    level, kind = (int(number) for number in control["numbers"])
    name, type_name = control["level"], control["type"]
    if isinstance(name, str):
        bare = name.partition("_")[2]
        known = (getattr(socket, prefix + bare, None) for prefix in _LEVELS)
        level = next((int(each) for each in known if each is not None), level)
    if isinstance(type_name, str):
        kind = int(getattr(socket, type_name, kind))
    return level, kind
