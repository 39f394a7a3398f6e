"""Changes on the wire: as events for who follows them, and flat, as lines of the audit."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from socketd.core import address_text, constants
from socketd.service import changes
from socketd.web.representation import address, owner, timestamp

if TYPE_CHECKING:
    from socketd.access.caller import Caller
    from socketd.core.address import Address
    from socketd.core.entry import Entry
    from socketd.service.changes import Change
    from socketd.service.following import Gap

GAP: Final = "gap"
HEARTBEAT: Final = "heartbeat"
_OF_LOCAL: Final = (changes.BOUND, changes.LISTENING)


def event(of: Change) -> dict[str, Any]:
    """Represent a change; what does not apply to it is null."""
    local, peer = _ends(of)
    return {
        "sequence": of.sequence,
        "time": timestamp(of.at),
        "event": of.event,
        "change": of.kind,
        "result": of.result,
        "caller": None if of.caller is None else _caller(of.caller),
        "socket": None if of.entry is None else _socket(of.entry),
        "local": address(local),
        "peer": address(peer),
        "option": of.option,
        "how": of.how,
        "forward": None if of.forward is None else asdict(of.forward),
        "reference": of.reference,
        "asked": of.asked,
        "reason": of.reason,
        "request_id": of.request_id,
    }


def gap(of: Gap) -> dict[str, Any]:
    """Announce that changes are missing."""
    return {"event": GAP, "sequence": of.upto, "after": of.after}


def heartbeat(sequence: int) -> dict[str, Any]:
    """Say that everything up to ``sequence`` has been told."""
    return {"event": HEARTBEAT, "sequence": sequence}


def audit_line(of: Change) -> dict[str, Any]:
    """Write a change flat, what does not apply left out: fields that a log's reader can search by."""
    line: dict[str, Any] = {
        "time": timestamp(of.at),
        "sequence": of.sequence,
        "event": of.event,
        "change": of.kind,
        "result": of.result,
    }
    if of.caller is None:
        line["via"] = "daemon"
    else:
        line.update(of.caller.owner.members(), via=of.caller.via)
        _add(line, "pid", of.caller.pid)
    if of.entry is not None:
        line.update(_identity(of.entry), owner=str(of.entry.owner))
        if of.entry.name is None:
            del line["name"]
    if of.address is not None:
        line["local" if of.kind in _OF_LOCAL else "peer"] = address_text.text(of.address)
    for name in ("option", "how", "reference", "asked", "reason", "request_id"):
        _add(line, name, getattr(of, name))
    if of.forward is not None:
        for name, value in asdict(of.forward).items():
            _add(line, "forward" if name == "id" else f"forward_{name}", value)
    return line


def _add(line: dict[str, Any], name: str, value: object) -> None:
    if value is not None:
        line[name] = value


def _ends(of: Change) -> tuple[Address | None, Address | None]:
    return (of.address, None) if of.kind in _OF_LOCAL else (None, of.address)


def _caller(of: Caller) -> dict[str, Any]:
    return {**owner(of.owner), "pid": of.pid, "via": of.via}


def _socket(of: Entry) -> dict[str, Any]:
    return {**_identity(of), "owner": owner(of.owner)}


def _identity(of: Entry) -> dict[str, Any]:
    family, kind, protocol = _names(of.family, of.type, of.protocol)
    return {
        "fd": of.fd,
        "inode": of.inode,
        "cookie": of.cookie,
        "name": of.name,
        "family": family,
        "type": kind,
        "protocol": protocol,
    }


@lru_cache(maxsize=256)
def _names(family: int, kind: int, protocol: int) -> tuple[str, str, str]:
    return (
        constants.family_name(family),
        constants.type_name(kind),
        constants.protocol_name(protocol, family, kind),
    )
