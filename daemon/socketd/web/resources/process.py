"""The daemon's own process, as /proc shows it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from flask import Response, request

from socketd.core import address_text, constants
from socketd.inspection import View
from socketd.web.body import ApiBlueprint
from socketd.web.caller import call, service
from socketd.web.representation import JSON, TEXT, json, timestamp
from socketd.web.schemas.host import DescriptorsSchema, FdInfoSchema, ProcessSchema

if TYPE_CHECKING:
    from socketd.core.address import Address
    from socketd.core.entry import Entry
    from socketd.service import Call
    from socketd.service.host import Row

    Line = tuple[int, str, dict[str, Any] | None]

blueprint = ApiBlueprint("process", __name__, url_prefix="/v1/process", description="The daemon's process")
_STEP: Final = 64
"""Lines written between two chances for other requests; some 1 ms of work."""
_TABLE: Final = "The descriptor table"
_TREE_SCHEMA: Final = {"type": "string", "description": "The same as a tree."}
_DESCRIPTOR: Final = "The descriptor"
_FDINFO_SCHEMA: Final = {"type": "string", "description": "Where it leads, and the fdinfo file."}


@blueprint.get("")
@blueprint.response(200, ProcessSchema())
def show_process() -> Response:
    """Show the process that holds the sockets."""
    call()
    found = service().host.process()
    return json(
        {
            "pid": found.pid,
            "ppid": found.ppid,
            "uid": found.uid,
            "gid": found.gid,
            "command": [_clean(word) for word in found.command],
            "started_at": timestamp(found.started_at),
            "uptime_s": round(max(0.0, time.time() - found.started_at), 3),
            "threads": found.threads,
            "rss_bytes": found.rss_bytes,
            "descriptors": {
                "open": found.descriptors_open,
                "soft_limit": found.descriptor_limit_soft,
                "hard_limit": found.descriptor_limit_hard,
            },
            "byte_order": sys.byteorder,
        }
    )


@blueprint.get("/fds")
@blueprint.response(200, DescriptorsSchema(), description=_TABLE)
@blueprint.alt_response(200, schema=_TREE_SCHEMA, content_type=TEXT, description=_TABLE)
def list_descriptors() -> Response:
    """Show the descriptor table: a tree for curl, JSON for `Accept: application/json`.

    You find the sockets that you may see. What the daemon opened for itself is there for those who may see
    the sockets of its user.
    """
    pid = service().host.process().pid
    asked = call()
    lines = _lines(asked, service().host.descriptors(asked))
    if _wants_text():
        return Response(_tree(pid, lines), content_type=f"{TEXT}; charset=utf-8")
    shown = [{"fd": fd, "link": link, "socket": held} for fd, link, held in lines]
    return json({"pid": pid, "descriptors": shown})


@blueprint.get("/fds/<int:n>")
@blueprint.response(200, FdInfoSchema(), description=_DESCRIPTOR)
@blueprint.alt_response(200, schema=_FDINFO_SCHEMA, content_type=TEXT, description=_DESCRIPTOR)
def show_descriptor(n: int) -> Response:
    """Show one descriptor that the list has: where it leads, and its fdinfo."""
    link, info = service().host.descriptor(call(), n)
    if _wants_text():
        return Response(f"{n} -> {_clean(link)}\n{info.text}", content_type=f"{TEXT}; charset=utf-8")
    return json(
        {
            "fd": n,
            "link": _clean(link),
            "pos": info.pos,
            "flags": f"0{info.flags:o}",
            "flag_names": info.flag_names,
            "mnt_id": info.mnt_id,
            "ino": info.ino,
            "text": info.text,
        }
    )


def _wants_text() -> bool:
    # No Accept at all means any (RFC 9110, 12.5.1), as curl's */* does.
    return request.accept_mimetypes.best_match((TEXT, JSON), TEXT) == TEXT


def _clean(text: str) -> str:
    """Make a path that is no UTF-8 printable; JSON has no room for the bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _held(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    view = View(entry)
    return {
        "name": entry.name,
        "family": constants.family_name(entry.family),
        "type": constants.type_name(entry.type),
        "protocol": constants.protocol_name(entry.protocol, entry.family, entry.type),
        "state": view.state,
        "local": _text(view.local),
        "peer": _text(view.peer),
    }


def _text(of: Address | None) -> str | None:
    return None if of is None else address_text.text(of)


def _lines(asked: Call, rows: list[Row]) -> list[Line]:
    lines = []
    for count, row in enumerate(rows, start=1):
        if count % _STEP == 0:
            asked.waiter.give_way()
        if row.entry is None or not row.entry.closed:
            lines.append((row.descriptor.fd, _clean(row.descriptor.link), _held(row.entry)))
    return lines


def _tree(pid: int, table: list[Line]) -> str:
    lines = [f"/proc/{pid}/fd"]
    width = max((len(str(fd)) for fd, _, _ in table), default=1)
    for count, (fd, link, held) in enumerate(table, start=1):
        branch = "└──" if count == len(table) else "├──"
        lines.append(f"{branch} {fd:<{width}} -> {link}{_remark(held)}")
    return "\n".join(lines) + "\n"


def _remark(held: dict[str, Any] | None) -> str:
    if held is None:
        return ""
    ends = " <-> ".join(end for end in (held["local"], held["peer"]) if end)
    words = (held["name"], held["family"], held["type"], held["state"], ends)
    return "  held " + " ".join(word for word in words if word)
