"""The process that serves: gunicorn's gevent worker, with an end that answers everybody."""

from __future__ import annotations

import _socket
import logging
import os
import posix
import signal
import sys
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gunicorn.workers.ggevent import GeventWorker

from socketd.kernel import scm, ucred
from socketd.runtime import limits, malformed, tls
from socketd.runtime.accepting import Listener, Origin, Spare
from socketd.runtime.config import ConfigError
from socketd.runtime.connections import Connections
from socketd.runtime.lookups import ASKER
from socketd.runtime.supervising.prctl import die_with_parent
from socketd.runtime.waiting import give_way
from socketd.web.takeover import TAKEN_OVER

if TYPE_CHECKING:
    from socketd.runtime.pumping.pump import SplicePump
    from socketd.runtime.server import Server
    from socketd.service.tunnels import Tunnels

HEARTBEAT_S = 1.0
FLOWS_S = 2.0  # for readers that are slow to take what was taken for them; part of the graceful time
MOMENT_S = 0.01
LAST_WORDS_S = 2.0  # what the master gives the worker to close the held sockets, after the graceful time
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
HELD_BACK = (*STOP_SIGNALS, signal.SIGHUP)
"""Signals that wait while the worker has no handlers for them."""
DEAF_TO = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

log = logging.getLogger(__name__)


class SocketdWorker(GeventWorker):  # type: ignore[misc]
    """Serves until told to stop; then ends the waits and lets requests finish.

    At the end the held sockets are closed, or left to the keeper where there is one; after SIGQUIT they are
    closed in any case.
    """

    app: Server

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = Connections()
        self._stopping: Any = None
        self._is_for_good = False
        self._is_reload_due = False
        self._reload_failure = ""
        self._status = ""

    def patch(self) -> None:
        """Have the standard library yield; but let ``close`` close.

        gevent's (since 25.8.1) closes in the loop's next turn: a 204 would come before the port is free, and
        the table take a number for free that is not. Nothing here closes what a watcher still has.
        """
        super().patch()
        os.close = posix.close

    def init_process(self) -> None:
        """Begin, with an heir first: there are no threads yet, and it shares its memory with the master."""
        self.app.make_heir()
        super().init_process()

    def init_signals(self) -> None:
        """Hear what stops it and what has it reload; be deaf to what would end the process without a word."""
        super().init_signals()
        self._stopping = Event()
        # Watchers of the loop: heard at once, and run in a greenlet.
        gevent.signal_handler(signal.SIGTERM, self._stop)
        gevent.signal_handler(signal.SIGINT, self._stop)
        gevent.signal_handler(signal.SIGQUIT, self._stop_for_good)
        gevent.signal_handler(signal.SIGHUP, self._reload)
        for number in DEAF_TO:
            signal.signal(number, signal.SIG_IGN)
        die_with_parent(signal.SIGTERM)  # one that died before this is missed at the first beat
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)  # since before the fork

    def run(self) -> None:
        """Serve, and end."""
        most = limits.for_connections(self.app.frame.descriptors)
        pool = Pool(min(self.worker_connections, most))
        spare = Spare()
        servers = [
            Listener(listener, partial(self.handle, Origin(listener)), pool, spare, self._connections.shed)
            for listener in self.sockets
        ]
        for listener, server in zip(self.sockets, servers, strict=True):
            listener.setblocking(1)  # in gevent's sense: accept yields
            if listener.family == _socket.AF_UNIX:
                # Of the listener, since connections inherit it: none is open to descriptors for a moment.
                scm.set_accepting(listener.fileno(), is_accepting=False)
            server.start()
        self._status = self._describe()
        if self.age == 1:
            self.app.on_serving()  # first, so that who waits for READY finds the addresses told
        self.app.notifier.ready(self._status)
        if self._is_reload_due:
            self._reload()
        while self.alive:
            self._beat()
            self._stopping.wait(self._beat_s())
        self._drain(servers, pool)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection."""
        if listener.family != _socket.AF_UNIX:
            client = self._met(client)
        if client is None:
            return
        assert self.app.assembly is not None  # noqa: S101 - load() ran before run()
        client.request_timeout_s = self.app.frame.settings.request_timeout_s
        client.closer = self.app.assembly.closer
        # Whose look-ups it counts among: of one user or, over TCP, of one host.
        is_unix = client.family == _socket.AF_UNIX
        setattr(gevent.getcurrent(), ASKER, ucred.peer(client.fileno()).uid if is_unix else addr[0])
        self._connections.rest(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections.forget(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request."""
        sock.expect_body(req)
        if isinstance(sock, tls.Connection):
            req.scheme = "https"  # gunicorn knows one for all its listeners
        self._connections.begin(sock, req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self._connections.end(sock)
        sock.request_timeout_s = self.app.frame.settings.request_timeout_s
        sock.expect_head()
        self._connections.rest(sock)
        # gevent serves one connection as long as its next request is there already; the others come first.
        give_way()

    def _met(self, client: Any) -> Any:
        """Shake hands where the TCP address speaks TLS; ``None``: it came to nothing."""
        door = self.app.frame.door
        if door is None or door.tls is None:
            return client
        try:
            with self._connections.meeting():
                return tls.begin(client, door.tls.context)
        except (OSError, tls.NotTlsError) as error:
            log.debug("no TLS with a client: %s", error)
            return None

    def is_already_handled(self, respiter: Any) -> bool:
        """End a connection that the application has answered by itself (a 101)."""
        if respiter is TAKEN_OVER:
            raise StopIteration
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request of the API, or what the API did not catch."""
        del req, addr
        if isinstance(exc, gevent.GreenletExit):
            return  # cut off at the end of the daemon
        status = malformed.status_of(exc)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed", exc_info=exc)
        with suppress(OSError):
            client.sendall(malformed.answer(status, exc))

    def _stop(self) -> None:
        if self.app.assembly is None:
            # Nothing is held yet but what the keeper holds, and a keeper that is away may be waited for.
            sys.exit(0)
        self.alive = False
        self._stopping.set()

    def _stop_for_good(self) -> None:
        self._is_for_good = True
        self._stop()

    def _reload(self) -> None:
        """Read the configuration anew; one that is broken changes nothing, and that is said."""
        if self.app.assembly is None:
            self._is_reload_due = True
            return
        self.app.notifier.reloading()
        try:
            changes = self.app.reload()
        except ConfigError as error:
            log.error("not reloaded, everything is as it was: %s", error)  # noqa: TRY400 - one line
            self._reload_failure = f"; not reloaded: {error}"
        else:
            log.info("reloaded: %s changed", ", ".join(changes.live) or "nothing")
            if changes.waiting:
                log.warning("not in force before a restart: %s", ", ".join(changes.waiting))
            self._reload_failure = ""
            self._end_distrusted()
        self._status = self._describe()
        self.app.notifier.ready(self._status)

    def _end_distrusted(self) -> None:
        """End connections whose client certificate is of an authority that counts no more, or was revoked."""
        door = self.app.frame.door
        if door is None or door.tls is None:
            return
        self._connections.end_distrusted(door.tls.is_trusted)

    def _describe(self) -> str:
        """Say in a line how it goes."""
        assembly = self.app.assembly
        assert assembly is not None  # noqa: S101 - load() ran before run()
        state = assembly.keeper.state()
        return (
            f"serving {', '.join(self.app.urls)}: {len(assembly.service.table)} sockets held, "
            f"{assembly.room.count} calls waiting"
            + (f", keeper {state}" if state != "none" else "")
            + self._reload_failure
        )

    def _beat_s(self) -> float:
        watchdog_s = self.app.notifier.watchdog_s
        return HEARTBEAT_S if watchdog_s is None else min(HEARTBEAT_S, watchdog_s / 2)

    def _beat(self) -> None:
        """Tell that the loop turns, and how it goes; look whether the master still lives."""
        self.app.notifier.alive()
        if self.app.frame.heir is not None:
            self.app.frame.heir.check()
        if self.app.assembly is not None and self.app.assembly.pump is not None:
            self.app.assembly.pump.check()
        status = self._describe()
        if status != self._status:
            self._status = status
            self.app.notifier.status(status)
        if os.getppid() != self.ppid:
            log.error("the master (pid %s) is gone; stopping", self.ppid)
            self._stop()

    def _drain(self, servers: list[Any], pool: Any) -> None:
        """End the waits with an answer, let what runs finish, and close the held sockets or leave them."""
        self.app.notifier.stopping()
        assembly = self.app.assembly
        assert assembly is not None  # noqa: S101 - load() ran before run()
        log.info("stopping: %d connections, %d waiting requests", len(pool), assembly.room.count)
        for server in servers:
            server.close()
        self._connections.end_meetings()
        deadline = monotonic() + self.app.frame.settings.graceful_timeout_s
        _end_flows(assembly.pump, assembly.service.tunnels, min(FLOWS_S, deadline - monotonic()))
        assembly.room.shut()
        assembly.end_stalled()
        self._connections.end_idle()
        if not pool.join(timeout=deadline - monotonic()):
            log.warning("%d requests did not end in time and are cut off", len(pool))
            pool.kill(timeout=1)
        if self._is_for_good or assembly.keeper.state() == "none":
            assembly.service.close()
        else:
            assembly.service.leave()
        if self.app.frame.heir is not None:
            self.app.frame.heir.end()
        assembly.finish()


def _end_flows(pump: SplicePump | None, tunnels: Tunnels, patience_s: float) -> None:
    """Have tunnels and forwards deliver what they have in hand, and end them; some are the pump's."""
    deadline = monotonic() + patience_s
    tunnels.finish()
    if pump is not None:
        pump.finish()
    while (tunnels.relays or (pump is not None and pump.count)) and monotonic() < deadline:
        gevent.sleep(MOMENT_S)
    if pump is not None:
        pump.close()
