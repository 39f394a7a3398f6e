"""What leaves the daemon, compiled: records to JSON without a schema's detour (a test holds both equal)."""

from __future__ import annotations

import base64
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from socketd.access.caller import user_name
from socketd.core import address_text, constants
from socketd.errors import ClosedMeanwhileError, InvalidRequestError
from socketd.inspection import View
from socketd.web.application import ApiResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flask import Response

    from socketd.core.address import Address
    from socketd.core.entry import Entry, Taker
    from socketd.core.owner import Owner
    from socketd.inspection import Backlog

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain"
BULK_STEP: Final = 64
DESCRIPTORS: Final = "Socket-Descriptors"
"""The header that says how many descriptors came before the answer."""


def address(of: Address | None) -> dict[str, Any] | None:
    """Write an address as an object; ``None`` stays ``None``."""
    if of is None:
        return None
    found = {"family": constants.family_name(of.family), **_members(of)}
    found["text"] = address_text.text(of)
    return found


def backlog(of: Backlog | None) -> dict[str, Any] | None:
    """Write a listener's queue."""
    return None if of is None else {"backlog": of.backlog, "pending": of.pending}


def text_or_base64(data: bytes, stem: str = "") -> dict[str, str]:
    """Write bytes as ``text`` if they are UTF-8, else as ``base64``; one of the two, never both."""
    try:
        return {stem or "text": data.decode()}
    except UnicodeDecodeError:
        return {f"{stem}_base64" if stem else "base64": base64.b64encode(data).decode()}


def timestamp(seconds: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _members(of: Address) -> dict[str, Any]:  # noqa: PLR0911 (one return a family)
    match of.family, of.sockaddr:
        case socket.AF_INET, (host, port):
            return {"host": host, "port": port}
        case socket.AF_INET6, (host, port, flowinfo, scope):
            return {"host": host.partition("%")[0], "port": port, "flowinfo": flowinfo, "scope_id": scope}
        case socket.AF_UNIX, name:
            return _unix_members(name)
        case socket.AF_VSOCK, (cid, port):
            return {"cid": cid, "port": port}
        case socket.AF_NETLINK, (pid, groups):
            return {"pid": pid, "groups": groups}
        case socket.AF_PACKET, (interface, protocol, packet_type, kind, hardware):
            return {
                "interface": interface,
                "protocol": protocol,
                "packet_type": packet_type,
                "hardware_type": kind,
                "hardware_address": hardware.hex(":"),
            }
    return {}


def _unix_members(name: str | bytes) -> dict[str, Any]:
    """Tell path from abstract name as CPython does: the first is text, the second bytes after a NUL."""
    if not name:
        return {"unnamed": True}
    if isinstance(name, bytes):
        return text_or_base64(name[1:], "abstract")
    return text_or_base64(os.fsencode(name), "path")


# Every member of a socket, each by its own question, so that ``fields`` costs what it asks for.
MEMBERS: Final[Mapping[str, Callable[[View], Any]]] = {
    "fd": lambda view: view.entry.fd,
    "pid": lambda _: os.getpid(),
    "inode": lambda view: view.entry.inode,
    "cookie": lambda view: view.entry.cookie,
    "name": lambda view: view.entry.name,
    "owner": lambda view: owner(view.entry.owner),
    "family": lambda view: constants.family_name(view.entry.family),
    "type": lambda view: constants.type_name(view.entry.type),
    "protocol": lambda view: constants.protocol_name(view.entry.protocol, view.entry.family, view.entry.type),
    "state": lambda view: view.state,
    "local": lambda view: address(view.local),
    "peer": lambda view: address(view.peer),
    "listening": lambda view: backlog(view.backlog),
    "accepted_from": lambda view: view.entry.accepted_from,
    "created_at": lambda view: timestamp(view.entry.created_at),
    "kept": lambda view: view.entry.kept,
    "persist": lambda view: view.entry.persist or False,
    "taken": lambda view: view.entry.taken,
    "taken_by": lambda view: taker(view.entry.taken_by),
    "proc": lambda view: proc(view.entry),
}


def owner(of: Owner) -> dict[str, Any]:
    """Say whose it is."""
    user = None if of.uid is None else user_name(of.uid)
    return {"uid": of.uid, "user": user, "token": of.token, "certificate": of.certificate}


def taker(of: Taker | None) -> dict[str, Any] | None:
    """Say who took a descriptor last."""
    return None if of is None else {"uid": of.uid, "pid": of.pid, "at": timestamp(of.at)}


def proc(of: Entry) -> dict[str, str]:
    """Say where the operating system itself shows the socket."""
    pid = os.getpid()
    return {
        "link": f"socket:[{of.inode}]",
        "path": f"/proc/{pid}/fd/{of.fd}",
        "fdinfo": f"/proc/{pid}/fdinfo/{of.fd}",
    }


def fields_asked(text: str | None) -> list[str] | None:
    """Read ``fields``.

    Raises:
        InvalidRequestError: One of them is no member of a socket.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MEMBERS]
    if unknown:
        raise InvalidRequestError(
            f"a socket has no member {unknown[0][:80]!r}",
            member="fields",
            hint=f"choose from {', '.join(MEMBERS)}",
        )
    return names


def socket_members(entry: Entry, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """Represent one held socket, all of it or the members asked for."""
    view = View(entry)
    if fields is None:
        return {name: ask(view) for name, ask in MEMBERS.items()}
    return {name: MEMBERS[name](view) for name in fields}


def open_sockets(
    entries: Iterable[Entry], give_way: Callable[[], None], fields: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Represent several sockets but those that are closed by now, letting other requests run in between."""
    for count, entry in enumerate(entries, start=1):
        if count % BULK_STEP == 0:
            give_way()
        if not entry.closed:
            yield socket_members(entry, fields)


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    # The line feed is for who reads it at a terminal.
    text = orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
    return ApiResponse(text, status, headers, content_type=JSON)


def nothing() -> Response:
    """Answer 204, without the Content-Type that Flask gives to no content."""
    response = ApiResponse(status=204)
    del response.headers["Content-Type"]
    return response


def one_socket(entry: Entry, status: int = 200, fields: Iterable[str] | None = None) -> Response:
    """Answer with one socket and its ETag; a new one with its Location.

    Raises:
        ClosedMeanwhileError: It was closed while other requests ran.
    """
    if entry.closed:
        raise ClosedMeanwhileError(entry.reference, "getsockname")
    headers = {"ETag": f'"{entry.cookie}"'}
    if status == 201:  # noqa: PLR2004 (Created)
        headers["Location"] = f"/v1/sockets/{entry.fd}"
    return json(socket_members(entry, fields), status, headers)


def many_sockets(
    entries: Iterable[Entry],
    give_way: Callable[[], None],
    status: int = 200,
    fields: list[str] | None = None,
) -> Response:
    """Answer with several sockets, all of them.

    Raises:
        ClosedMeanwhileError: One was closed while other requests ran.
    """
    wanted = tuple(entries)
    found = list(open_sockets(wanted, give_way, fields))
    if len(found) != len(wanted):
        closed = next(entry for entry in wanted if entry.closed)
        raise ClosedMeanwhileError(closed.reference, "getsockname")
    return json({"sockets": found}, status)
