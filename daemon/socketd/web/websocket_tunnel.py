"""A WebSocket joined to a held socket: how it begins, and with which close code it ends."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import request
from wsproto.events import AcceptConnection
from wsproto.frame_protocol import CloseReason

from socketd.core.transfer import is_stream
from socketd.errors import ClientGoneError, ClosedMeanwhileError, ShuttingDownError, SocketdError
from socketd.service.tunnels import LOOK_S, UNREAD_S
from socketd.service.unread import Unread
from socketd.web import subprotocols, upgrading
from socketd.web.caller import house, service
from socketd.web.websocket import WebSocketLeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsproto import WSConnection

    from socketd.core.entry import Entry
    from socketd.core.pumping import Ending
    from socketd.core.relaying import Line
    from socketd.service import Call


class _Opening:
    """Accepts the WebSocket when the socket is ready for it."""

    def __init__(self, entry: Entry, connection: WSConnection, offered: Sequence[str]) -> None:
        self._connection = connection
        self._is_stream = is_stream(entry)
        signature = [(name.encode(), value.encode()) for name, value in upgrading.signature().items()]
        self._accept = AcceptConnection(subprotocol=subprotocols.chosen(offered), extra_headers=signature)
        self.line: Line | None = None
        self.leg: WebSocketLeg | None = None

    def __call__(self) -> WebSocketLeg:
        self.line = request.environ["gunicorn.socket"].leave_http()
        self.leg = WebSocketLeg(
            self.line,
            self._connection,
            self._accept,
            is_stream=self._is_stream,
            most_bytes=house().settings.max_body_bytes,
        )
        return self.leg


def serve(asked: Call, entry: Entry, connection: WSConnection, offered: Sequence[str]) -> None:
    """Accept, relay until that is over, and close; the connection is to be ended then."""
    opening = _Opening(entry, connection, offered)
    try:
        ending = service().tunnels.relay(asked, entry, opening)
        if opening.leg is not None and opening.line is not None:
            _close(asked, opening.leg, ending)
            if opening.leg.is_closed:
                opening.line.end_well()
    finally:
        if opening.line is not None:
            opening.line.close()


def _close(asked: Call, leg: WebSocketLeg, ending: Ending) -> None:
    """Say why it ends, and wait until the client has answered that, or reads nothing any more."""
    with suppress(ClientGoneError, ShuttingDownError):
        leg.close(*_reason(ending))
        unread = Unread(leg.fileno(), UNREAD_S)
        with asked.waiter.half_open().pause() as pause:
            while not (leg.is_closed or unread.is_over):
                if leg.await_close():
                    asked.waiter.give_way()
                    continue
                pause.disarm(leg.fileno())
                pause.arm(leg.fileno(), leg.awaits(reading=True, writing=False))
                pause.wait(time.monotonic() + LOOK_S)


def _reason(ending: Ending) -> tuple[int, str]:
    """Choose the close code (RFC 6455, 7.4.1) of an ending."""
    error: SocketdError | None = ending.error
    if ending.is_whole:
        return CloseReason.NORMAL_CLOSURE, ""
    if error is None or isinstance(error, ShuttingDownError):
        return CloseReason.GOING_AWAY, "the daemon is shutting down"
    if isinstance(error, ClosedMeanwhileError):
        return CloseReason.GOING_AWAY, str(error)
    return CloseReason.INTERNAL_ERROR, f"{error.symbol}: {error}"
