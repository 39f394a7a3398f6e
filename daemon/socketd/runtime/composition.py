"""The one place where the daemon's parts are put together; runs in the worker, after the fork."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gevent import socket as gevent_socket

import socketd
from socketd.runtime.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.settings import Settings

    WsgiApplication = Callable[[dict[str, Any], Any], Any]

# Held sockets start here, above what the process opens for itself.
FIRST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known before the fork.

    Attributes:
        settings: What is in force.
        token: What TCP callers have to send; ``None`` when no TCP address is served.
        descriptors: RLIMIT_NOFILE as it is.
    """

    settings: Settings
    token: str | None
    descriptors: int


class Closable(Protocol):
    """What holds the sockets."""

    def close(self) -> None:
        """Close every held socket."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A daemon that can serve."""

    application: WsgiApplication
    room: WaitingRoom
    service: Closable


def assemble(frame: Frame) -> Assembly:
    """Put the layers together and return what the worker serves."""
    # Imported here, in the worker: Flask costs the master's start nothing, and sees a patched socket module.
    from socketd import service as services  # noqa: PLC0415
    from socketd.runtime.chunks import with_checked_chunks  # noqa: PLC0415
    from socketd.web.app import WebSettings, create_app  # noqa: PLC0415

    settings = frame.settings
    room = WaitingRoom(settings.max_waits)
    limits = services.Limits(
        max_timeout_s=settings.max_timeout_s,
        max_recv_bytes=settings.max_recv_bytes,
        max_count=settings.max_count,
        descriptors=frame.descriptors,
        number_rest_s=settings.number_rest_s,
    )
    # gevent's getaddrinfo is the system's own, in a thread: DNS must not stop the loop.
    service = services.build(
        limits, resolver=gevent_socket.getaddrinfo, clock=time, numbers_first=FIRST_NUMBER
    )
    web = WebSettings(
        max_timeout_s=settings.max_timeout_s,
        default_timeout_s=settings.default_timeout_s,
        max_body_bytes=settings.max_body_bytes,
        max_recv_bytes=settings.max_recv_bytes,
        max_waits=settings.max_waits,
        max_count=settings.max_count,
        token=frame.token,
        version=socketd.__version__,
    )
    application = create_app(service, waiter_for=waiter_for(room), settings=web)
    return Assembly(with_checked_chunks(application), room, service)


def waiter_for(room: WaitingRoom) -> Callable[[dict[str, Any]], Any]:
    """Return how a WSGI environment gets its waiter: by the connection that gunicorn puts there."""

    def waiter(environ: dict[str, Any]) -> Any:
        return room.waiter(environ["gunicorn.socket"].fileno())

    return waiter
