"""How a WebSocket begins (RFC 6455, 4.2): what the request has to say, and what it offers."""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - wsproto reads Host by it: the first may come when no descriptor is free
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from h11 import ProtocolError
from wsproto import ConnectionType, WSConnection
from wsproto.utilities import RemoteProtocolError

from socketd.errors import InvalidRequestError
from socketd.web.upgrading import UpgradeRequiredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsproto.events import Request

PROTOCOL: Final = "websocket"
VERSION: Final = {"Sec-WebSocket-Version": "13"}
_HOST: Final = (b"Host", b"localhost")
"""wsproto wants one, and fails on some; the request's own has been judged (``web/browsers.py``)."""
_KEY_BYTES: Final = 16


def read(headers: Sequence[tuple[str, str]]) -> tuple[WSConnection, list[str]]:
    """Read a request that asks for a WebSocket; returns what is to answer it, and the subprotocols it offers.

    Raises:
        UpgradeRequiredError: It is of another version.
        InvalidRequestError: It is not as it should be.
    """
    connection = WSConnection(ConnectionType.SERVER)
    read = [(name.encode(), value.encode("latin-1")) for name, value in headers if _is_read(name)]
    try:
        connection.initiate_upgrade_connection([_HOST, *read], "/")
        (asked,) = connection.events()
    except (RemoteProtocolError, ProtocolError, UnicodeError) as error:
        if getattr(getattr(error, "event_hint", None), "status_code", 0) == HTTPStatus.UPGRADE_REQUIRED:
            raise UpgradeRequiredError(PROTOCOL, VERSION) from error
        raise InvalidRequestError(f"no WebSocket handshake: {error}") from error
    given = {name.lower(): value for name, value in headers}
    if not _is_key(given["sec-websocket-key"]):
        raise InvalidRequestError("no WebSocket handshake: Sec-WebSocket-Key is not 16 bytes in base64")
    offer: Request = asked  # type: ignore[assignment]  # there is no other event before it is accepted
    return connection, offer.subprotocols


def _is_key(text: str) -> bool:
    """Whether it is a nonce (RFC 6455, 4.2.1), which wsproto does not ask."""
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_BYTES
    except ValueError:
        return False


def _is_read(header: str) -> bool:
    return header.lower() in ("connection", "upgrade") or header.lower().startswith("sec-websocket-")
