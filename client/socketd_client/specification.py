"""What a new socket shall be: the arguments of ``create`` and ``ensure``, and their JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from socketd_client import constants
from socketd_client.naming import guessed_address, wire_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.addresses import Address, SocketAddress


class SocketSpec(TypedDict, total=False):
    """The members of a specification; ``None`` is the same as leaving one out.

    ``family``, ``type`` and ``protocol`` are names (``"inet6"``) or numbers (``socket.AF_INET6``). ``bind``
    and ``connect`` are tuples as the ``socket`` module has them, text (``"127.0.0.1:80"``, ``"@abstract"``,
    ``"/run/x.sock"``), records, or an object of the API (``{"service": "3490", "flags": ["AI_PASSIVE"]}``).
    ``options`` are set before ``bind``. ``timeout`` is for ``connect``, in seconds. ``persist="boot"`` keeps
    the specification, and the socket is made again by it after a reboot; that needs a name.
    """

    family: int | str | None
    type: int | str | None
    protocol: int | str | None
    bind: SocketAddress | Address | Mapping[str, Any] | None
    connect: SocketAddress | Address | Mapping[str, Any] | None
    listen: int | bool | Mapping[str, Any] | None
    options: Mapping[str, Any] | None
    timeout: float | None
    persist: Literal["boot", False] | None


def spec_json(spec: SocketSpec) -> dict[str, Any]:
    """Turn a specification into a request's body."""
    body: dict[str, Any] = {name: value for name, value in spec.items() if value is not None}
    if "family" in body:
        body["family"] = constants.family_name(body["family"])
    if "type" in body:
        body["type"] = constants.type_name(body["type"])
    for op in ("bind", "connect"):
        if op in body:
            body[op] = _address(body[op], body.get("family"), op)
    backlog = body.get("listen")
    if isinstance(backlog, int) and not isinstance(backlog, bool):
        body["listen"] = {"backlog": backlog}
    elif backlog is False:
        del body["listen"]
    return body


def _address(value: object, family: object, op: str) -> object:
    if isinstance(value, tuple) and isinstance(family, str):
        return wire_address(value, family.lower().removeprefix("af_"), op)
    return guessed_address(value, op)
