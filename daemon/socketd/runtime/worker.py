"""The process that serves: gunicorn's gevent worker, with an end that answers everybody."""

from __future__ import annotations

import _socket
import logging
import os
import signal
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from socketd.kernel import scm
from socketd.runtime import malformed
from socketd.runtime.waiting import give_way
from socketd.web.takeover import TAKEN_OVER

if TYPE_CHECKING:
    from socketd.runtime.server import Server

HEARTBEAT_S = 1.0
LAST_WORDS_S = 2.0  # what the master gives the worker to close the held sockets, after the graceful time
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
DEAF_TO = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

log = logging.getLogger(__name__)


class SocketdWorker(GeventWorker):  # type: ignore[misc]
    """Serves until told to stop; then ends the waits, lets requests finish, and closes every held socket."""

    app: Server

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[Any] = set()  # connections
        self._running: dict[Any, Any] = {}  # connection: its request
        self._stopping: Any = None

    def init_signals(self) -> None:
        """Stop on SIGTERM, SIGINT and SIGQUIT alike; be deaf to what would end the process without a word."""
        super().init_signals()
        self._stopping = Event()
        for number in STOP_SIGNALS:
            # A watcher of the loop: heard at once, and run in a greenlet.
            gevent.signal_handler(number, self._stop)
        for number in DEAF_TO:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # held back since before the fork

    def run(self) -> None:
        """Serve, and end."""
        pool = Pool(self.worker_connections)
        servers = [
            StreamServer(listener, handle=partial(self.handle, listener), spawn=pool)
            for listener in self.sockets
        ]
        for listener, server in zip(self.sockets, servers, strict=True):
            listener.setblocking(1)  # in gevent's sense: accept yields
            if listener.family == _socket.AF_UNIX:
                # Of the listener, since connections inherit it: none is open to descriptors for a moment.
                scm.set_accepting(listener.fileno(), is_accepting=False)
            server.start()
        self.app.notifier.ready("serving " + ", ".join(self.app.urls))
        if self.age == 1:
            self.app.on_serving()
        while self.alive:
            self._beat()
            self._stopping.wait(self._beat_s())
        self._drain(servers, pool)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection."""
        self._idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request; the connection does not count as idle meanwhile."""
        self._idle.discard(sock)
        self._running[sock] = req
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            del self._running[sock]
        self._idle.add(sock)
        # gevent serves one connection as long as its next request is there already; the others come first.
        give_way()

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
        self.alive = False
        self._stopping.set()

    def _beat_s(self) -> float:
        watchdog_s = self.app.notifier.watchdog_s
        return HEARTBEAT_S if watchdog_s is None else min(HEARTBEAT_S, watchdog_s / 2)

    def _beat(self) -> None:
        """Tell the watchdog that the loop turns, and look whether the master still lives."""
        self.app.notifier.alive()
        if os.getppid() != self.ppid:
            log.error("the master (pid %s) is gone; stopping", self.ppid)
            self._stop()

    def _drain(self, servers: list[Any], pool: Any) -> None:
        """End the waits with an answer, let what runs finish, and close the held sockets."""
        self.app.notifier.stopping()
        assembly = self.app.assembly
        assert assembly is not None  # noqa: S101 - load() ran before run()
        log.info("stopping: %d connections, %d waiting requests", len(pool), assembly.room.count)
        for server in servers:
            server.stop_accepting()
        give_way()  # connections that were just accepted are begun, and ask their listener's name
        for server in servers:
            server.close()
        assembly.room.shut()
        for request in self._running.values():
            request.force_close()  # its answer says Connection: close
        for client in self._idle:
            _end_reading(client.fileno())
        deadline = monotonic() + self.app.frame.settings.graceful_timeout_s
        if not pool.join(timeout=deadline - monotonic()):
            log.warning("%d requests did not end in time and are cut off", len(pool))
            pool.kill(timeout=1)
        assembly.service.close()


def _end_reading(fd: int) -> None:
    """Let whoever reads ``fd`` see its end; what has come is still read, and answers still go out."""
    # Not gevent's own shutdown: that one throws EBADF into the greenlet that reads.
    bare = _socket.socket(fileno=fd)
    try:
        with suppress(OSError):  # ENOTCONN: the client has just left
            bare.shutdown(_socket.SHUT_RD)
    finally:
        bare.detach()
