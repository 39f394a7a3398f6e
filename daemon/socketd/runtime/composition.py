"""The one place where the daemon's parts are put together; runs in the worker, after the fork."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import socketd
from socketd.access.tokens import Tokens
from socketd.core.keeping import ALONE
from socketd.runtime import remaking
from socketd.runtime.closing import Closing
from socketd.runtime.config import default_state_directory
from socketd.runtime.disk_thread import DiskThread
from socketd.runtime.keeping.adoption import AdoptionError
from socketd.runtime.keeping.line import LineError
from socketd.runtime.keeping.link import Link
from socketd.runtime.kin import is_own
from socketd.runtime.limits import for_sockets
from socketd.runtime.lookups import Lookups
from socketd.runtime.pumping.hop import LoopHop
from socketd.runtime.pumping.pump import SplicePump
from socketd.runtime.reloading import LIVE
from socketd.runtime.specifications import Specifications
from socketd.runtime.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from socketd.core.seams import Closer, Keeper
    from socketd.runtime.audit import Auditing
    from socketd.runtime.door import Door
    from socketd.runtime.keeping.heir import Heir
    from socketd.runtime.policy_source import PolicySource
    from socketd.runtime.reloading import Reloadable
    from socketd.runtime.settings import Settings
    from socketd.service import Archive, Limits, Service
    from socketd.service.tunnels import Tunnels
    from socketd.web.app import WebSettings

    WsgiApplication = Callable[[dict[str, Any], Any], Any]

# Held sockets start here, above what the process opens for itself.
FIRST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known before the fork.

    Attributes:
        settings: What is in force.
        door: How callers over TCP show who they are; ``None`` when no TCP address is served.
        policies: The policy in force; the master has one too, so that the next worker begins with it.
        descriptors: RLIMIT_NOFILE as it is.
        reread: Reads the configuration anew, from where it was read at the start; raises ``ConfigError``.
        heir: Of the worker, which makes it right after the fork.
    """

    settings: Settings
    door: Door | None
    policies: PolicySource
    descriptors: int
    reread: Callable[[], Settings]
    heir: Heir | None = None


class AssemblyError(Exception):
    """The daemon cannot begin to serve; the message is one line that says why."""


class Holder(Protocol):
    """What holds the sockets."""

    @property
    def table(self) -> Sized:
        """As many as are held."""

    @property
    def tunnels(self) -> Tunnels:
        """Those that the pump does not move are ended by it."""

    def close(self) -> None:
        """Close every held socket, for good."""

    def leave(self) -> None:
        """Stop; the keeper goes on holding them."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A daemon that can serve.

    Attributes:
        application: What answers requests.
        room: Where they wait.
        service: What holds the sockets.
        keeper: Who has the second copies.
        reloadables: What can change while it runs.
        end_stalled: Hangs up on followers of the events that do not read, at the end.
        finish: Runs last, when the sockets are closed or left.
        closer: Closes what others have made, in a thread if need be.
        pump: Moves the bytes of tunnels and forwards.
    """

    application: WsgiApplication
    room: WaitingRoom
    service: Holder
    keeper: Keeper = field(default=ALONE)
    reloadables: tuple[Reloadable, ...] = ()
    end_stalled: Callable[[], None] = field(default=lambda: None)
    finish: Callable[[], None] = field(default=lambda: None)
    closer: Closer = field(default=os.close)
    pump: SplicePump | None = None


def assemble(frame: Frame) -> Assembly:
    """Put the layers together, take back what the keeper holds, and return what the worker serves.

    Raises:
        AssemblyError: There is no keeper though one is configured, or it has what we cannot take.
    """
    settings = frame.settings
    room = WaitingRoom(settings.max_waits)
    limits = _limits(frame)
    closing, lookups = Closing(), Lookups(settings.default_timeout_s)
    pump = SplicePump(LoopHop(), closing)
    link = None if settings.keeper is None else Link(settings.keeper, frame.heir.page if frame.heir else None)
    service = _service(frame, limits, lookups, link or ALONE, pump)
    service.table.closer = closing
    auditing = _auditing(service, settings)
    if link is not None:
        _join(link, service, settings)
    remaking.start(service.boot)  # after that: what the keeper holds is not made again
    web = _web_settings(frame)
    bounds = _bounds((limits, web, room, lookups))
    return Assembly(
        _application(service, room, web, auditing),
        room,
        service,
        link or ALONE,
        (bounds, auditing.reload),
        service.following.end_stalled,
        auditing.close,
        closing,
        pump,
    )


def _service(frame: Frame, limits: Limits, lookups: Lookups, keeper: Keeper, pump: SplicePump) -> Service:
    # Imported here, in the worker: Flask costs the master's start nothing, and sees a patched socket module.
    from socketd import service as services  # noqa: PLC0415

    return services.build(
        limits,
        resolver=lookups,
        clock=time,
        keeper=keeper,
        archive=_archive(frame.settings),
        policies=frame.policies,
        is_own_process=is_own,
        pump=pump,
    )


def _application(
    service: Service, room: WaitingRoom, web: WebSettings, auditing: Auditing
) -> WsgiApplication:
    from socketd.runtime.chunks import with_checked_chunks  # noqa: PLC0415 (in the worker, as above)
    from socketd.web.app import Gauges, create_app  # noqa: PLC0415 (likewise)

    gauges = Gauges(waits=lambda: room.count, audit_lost=lambda: auditing.lost)
    application = create_app(service, waiter_for=waiter_for(room), settings=web, gauges=gauges)
    return with_checked_chunks(application)


def _limits(frame: Frame) -> Limits:
    from socketd.service import Limits  # noqa: PLC0415 (in the worker, as above)

    settings = frame.settings
    return Limits(
        max_timeout_s=settings.max_timeout_s,
        default_timeout_s=settings.default_timeout_s,
        max_recv_bytes=settings.max_recv_bytes,
        max_count=settings.max_count,
        descriptors=for_sockets(frame.descriptors),
        number_rest_s=settings.number_rest_s,
        first_number=FIRST_NUMBER,
    )


def _auditing(service: Service, settings: Settings) -> Auditing:
    from socketd.runtime.audit import AuditError, Auditing  # noqa: PLC0415 (in the worker, as above)

    try:
        return Auditing(service.journal, settings.audit)
    except AuditError as error:
        raise AssemblyError(str(error)) from error


def _web_settings(frame: Frame) -> WebSettings:
    from socketd.web.app import WebSettings  # noqa: PLC0415 (in the worker, as above)

    settings = frame.settings
    return WebSettings(
        max_timeout_s=settings.max_timeout_s,
        default_timeout_s=settings.default_timeout_s,
        max_body_bytes=settings.max_body_bytes,
        max_recv_bytes=settings.max_recv_bytes,
        max_waits=settings.max_waits,
        max_count=settings.max_count,
        tokens=Tokens() if frame.door is None else frame.door.tokens,
        version=socketd.__version__,
        hosts=settings.hosts,
    )


def _bounds(holders: tuple[object, ...]) -> Reloadable:
    """Return how those who look at bounds get new ones; a request that waits keeps those it began with."""

    def reload(settings: Settings, /) -> Callable[[], None]:
        def apply() -> None:
            for holder, name in product(holders, LIVE):
                if hasattr(holder, name):
                    setattr(holder, name, getattr(settings, name))

        return apply

    return reload


def _join(link: Link, service: Service, settings: Settings) -> None:
    try:
        # A daemon that ends may have the keeper as long as its requests may take to end.
        link.join(service.table, service.table.numbers, settings.graceful_timeout_s)
    except (LineError, AdoptionError) as error:
        raise AssemblyError(str(error)) from error


def _archive(settings: Settings) -> Archive:
    from socketd.service.boot import Archive  # noqa: PLC0415 (in the worker, as above)
    from socketd.web.specification import read  # noqa: PLC0415

    directory = settings.state_directory or default_state_directory(os.environ)
    return Archive(DiskThread(Specifications(directory)), read)


def waiter_for(room: WaitingRoom) -> Callable[[dict[str, Any]], Any]:
    """Return how a WSGI environment gets its waiter: by the connection that gunicorn puts there."""

    def waiter(environ: dict[str, Any]) -> Any:
        return room.waiter(environ["gunicorn.socket"].fileno())

    return waiter
