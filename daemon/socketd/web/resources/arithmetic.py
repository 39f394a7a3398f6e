"""Byte order and networks: the sums a socket programmer does, with their working shown."""

from __future__ import annotations

import json as stdlib_json
import re
from typing import Final

from flask import Response

from socketd.core import byteorder, networks
from socketd.errors import InvalidRequestError
from socketd.web.body import ApiBlueprint
from socketd.web.representation import JSON, json
from socketd.web.schemas.host import ByteOrderSchema, NetworkSchema

blueprint = ApiBlueprint("arithmetic", __name__, url_prefix="/v1", description="Byte order and networks")
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,12})|-?[0-9]{1,12}")
_KINDS: Final = ("private", "global", "loopback", "link_local", "multicast", "reserved", "unspecified")


@blueprint.get("/byteorder/<function>/<n>")
@blueprint.response(200, ByteOrderSchema())
def convert_byteorder(function: str, n: str) -> Response:
    """Convert a number between host and network byte order (`byteorder(3)`); decimal or 0x hex."""
    found = byteorder.convert(function, _number(n))
    return json(
        {
            "function": found.function,
            "width_bits": found.width_bits,
            "value": found.value_in,
            "result": found.value_out,
            "value_hex": found.hex_in,
            "result_hex": found.hex_out,
            "host_bytes": found.host_bytes,
            "network_bytes": found.network_bytes,
            "host_order": found.host_order,
        }
    )


@blueprint.get("/networks/<address>/<prefix>")
@blueprint.response(200, NetworkSchema())
def describe_network(address: str, prefix: str) -> Response:
    """Work out the network an address is in: mask, broadcast, hosts, and the binary rows of the `&`."""
    found = networks.describe(address, prefix)
    body = {
        "address": found.address,
        "version": found.version,
        "prefix": found.prefix,
        "mask": found.mask,
        "wildcard": found.wildcard,
        "network": found.network,
        "broadcast": found.broadcast,
        "first_host": found.first_usable,
        "last_host": found.last_usable,
        "host_count": found.host_count,
        "address_count": found.address_count,
        "kinds": [kind for kind in _KINDS if getattr(found, f"is_{kind}")],
        "binary": {"address": found.address_bits, "mask": found.mask_bits, "network": found.network_bits},
    }
    # orjson stops at 64 bits, and an IPv6 network has up to 2**128 addresses.
    return Response(stdlib_json.dumps(body), content_type=JSON)


def _number(text: str) -> int:
    """Read a number in decimal or hexadecimal; no longer than any that can be converted."""
    # Ten digits are the most that 32 bits need; int() itself would take underscores and any length.
    found = _NUMBER.fullmatch(text)
    if found is not None:
        return int(text, 0 if found[1] else 10)
    raise InvalidRequestError(f"{text[:80]!r} is not a number", member="n", hint="write 3490 or 0x0da2")
