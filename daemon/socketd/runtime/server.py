"""gunicorn, embedded: one worker, every setting given, and nothing from outside that could change one."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from socketd.runtime import reloading
from socketd.runtime.composition import AssemblyError
from socketd.runtime.config import ConfigError
from socketd.runtime.endpoints import BACKLOG
from socketd.runtime.heap import keep_freed
from socketd.runtime.keeping.heir import Heir, NoHeirError
from socketd.runtime.server_log import GunicornLogger
from socketd.runtime.worker import HELD_BACK, LAST_WORDS_S, SocketdWorker

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from socketd.runtime.composition import Assembly, Frame
    from socketd.runtime.endpoints import Endpoints
    from socketd.runtime.reloading import Changes
    from socketd.runtime.systemd import Notifier

GC_THRESHOLDS = (10_000, 20, 50)
KEEP_ALIVE_S = 300  # pooled clients reconnect at random when it is gunicorn's 2
FOREIGN_VARIABLES = frozenset({"WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE", "PORT"})

ALWAYS: Final[dict[str, Any]] = {
    "backlog": BACKLOG,
    # Held sockets are in one process: a second worker would hold others.
    "workers": 1,
    "worker_class": SocketdWorker,
    # A blocked loop must not cost every held socket.
    "timeout": 0,
    "max_requests": 0,
    "max_requests_jitter": 0,
    "keepalive": KEEP_ALIVE_S,
    "preload_app": False,
    "reload": False,
    "daemon": False,
    "pidfile": None,
    "reuse_port": False,
    "sendfile": False,
    "control_socket_disable": True,
    "proc_name": "socketd",
    "umask": 0o077,
    "limit_request_line": 8190,
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
    "forwarded_allow_ips": "",
    "proxy_allow_ips": "",
    "proxy_protocol": "off",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
    "header_map": "drop",
    "http_protocols": "h1",
    "http2_cleartext": "off",
    # gunicorn_h1c 0.6.9, a tenth faster, accepts bare LF, folded headers and double spaces.
    "http_parser": "python",
    "permit_obsolete_folding": False,
    "strip_header_spaces": False,
    "permit_unconventional_http_method": False,
    "permit_unconventional_http_version": False,
    "casefold_http_method": False,
    # Doubles the cost of a small request.
    "accesslog": None,
    "errorlog": "-",
    "logger_class": GunicornLogger,
    "capture_output": False,
    "do_handshake_on_connect": True,  # it is done already: runtime/tls.py
    "syslog": False,
    "statsd_host": None,
}
"""gunicorn's settings that nothing of ours changes."""

log = logging.getLogger(__name__)


def forget_gunicorn_variables(environ: MutableMapping[str, str]) -> None:
    """Remove what gunicorn would read: settings, and descriptors of a server it believes to replace."""
    for name in [name for name in environ if name.startswith("GUNICORN_") or name in FOREIGN_VARIABLES]:
        del environ[name]


class Server(BaseApplication):  # type: ignore[misc]
    """The daemon as gunicorn runs it.

    Args:
        frame: What is known before the fork.
        endpoints: What to serve; its sockets are taken over, its path and lock are not.
        notifier: Whom to tell that it serves.
        assemble: Puts the daemon together, in the worker.
        on_serving: Called in the first worker once it can answer.

    Attributes:
        assembly: In the worker, once it is put together.
    """

    def __init__(
        self,
        frame: Frame,
        endpoints: Endpoints,
        notifier: Notifier,
        assemble: Callable[[Frame], Assembly],
        on_serving: Callable[[], None],
    ) -> None:
        self.frame = frame
        self.urls = endpoints.urls
        self.notifier = notifier
        self.on_serving = on_serving
        self.assembly: Assembly | None = None
        self._assemble = assemble
        self._fds = endpoints.detach()
        super().__init__()

    def load_config(self) -> None:
        """Give every setting that could matter, so that no default of gunicorn's, now or later, decides."""
        for name, value in self._settings().items():
            if name in self.cfg.settings:  # gunicorn 25 lacks some of them, and what they turn off
                self.cfg.set(name, value)

    def make_heir(self) -> None:
        """Fork the worker's heir, if there is a keeper that could hear of it; without one things go on."""
        if self.frame.settings.keeper is None:
            return
        try:
            self.frame = replace(self.frame, heir=Heir.fork())
        except NoHeirError as error:
            log.warning("no heir: %s. A connection that is accepted as we are killed can be lost", error)

    def load(self) -> Any:
        """Put the daemon together; gunicorn calls this in the worker.

        Raises:
            SystemExit: It cannot begin; the status makes the master end as well.
        """
        try:
            self.assembly = self._assemble(self.frame)
        except AssemblyError as error:
            log.critical("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        # What was imported stays: a full collection that looks at it again stops the loop for 36 ms.
        gc.freeze()
        # A small request makes a few hundred objects and no cycles; every second one collected for nothing.
        gc.set_threshold(*GC_THRESHOLDS)
        keep_freed()
        return self.assembly.application

    def reload(self) -> Changes:
        """Read the configuration anew, and let what can change now change; in the worker and in the master.

        Raises:
            ConfigError: Something in it is wrong; nothing has changed.
        """
        changes = reloading.compare(self.frame.settings, self.frame.reread())
        parts = () if self.assembly is None else self.assembly.reloadables
        door = () if self.frame.door is None else (self.frame.door.reload,)
        reloading.put_in_force(changes.settings, (reloading.log_level, *door, self.frame.policies, *parts))
        self.frame = replace(self.frame, settings=changes.settings)
        self.cfg.set("graceful_timeout", self._graceful_timeout())
        return changes

    def run(self) -> None:
        """Serve until told to stop, then exit the process."""
        Master(self).run()

    def _settings(self) -> dict[str, Any]:
        settings = self.frame.settings
        return {
            **ALWAYS,
            # Bound by us: gunicorn would remove the socket of a daemon that still serves.
            "bind": [f"fd://{fd}" for fd in self._fds],
            "worker_connections": settings.max_connections,
            "graceful_timeout": self._graceful_timeout(),
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108 - a heartbeat
            "child_exit": _worker_died,
        }

    def _graceful_timeout(self) -> int:
        return math.ceil(self.frame.settings.graceful_timeout_s + LAST_WORDS_S)


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master, that starts no second worker and replaces none that lives."""

    def __init__(self, server: Server) -> None:
        self.is_stopping = False
        self._is_for_good = False
        super().__init__(server)
        # The sockets' paths are not gunicorn's to remove, whoever made them.
        self.systemd = True

    def refuse(self) -> None:
        """Do nothing, and say so."""
        log.warning("signal refused: the worker holds the sockets, and a second one would hold others")

    handle_ttin = handle_ttou = handle_usr2 = refuse

    def handle_hup(self) -> None:
        """Have the worker read the configuration anew; the next one begins with the same."""
        with suppress(ConfigError):  # the worker says so
            self.app.reload()
        self.kill_workers(signal.SIGHUP)

    def handle_int(self) -> None:
        """End as for SIGTERM: Ctrl-C may cut nobody off either."""
        raise StopIteration

    def handle_quit(self) -> None:
        """End for good: what is held is closed, and the keeper lets go of it."""
        self._is_for_good = True
        raise StopIteration

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """End the worker; it ends its requests by itself, so there is one way."""
        self.is_stopping = True
        del graceful
        super().stop(graceful=True)

    def spawn_worker(self) -> Any:
        """Fork with the signals held back that the worker is to hear, until it has handlers for them."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Let a worker that is ending anyway end; SIGQUIT is more than gunicorn's haste here."""
        if sig in (signal.SIGTERM, signal.SIGQUIT):
            sig = signal.SIGQUIT if self._is_for_good else signal.SIGTERM
        super().kill_worker(pid, sig)


def _worker_died(master: Master, worker: SocketdWorker) -> None:
    if master.is_stopping:
        return
    if master.app.frame.settings.keeper is None:
        log.critical(
            "the worker (pid %s) died, and every socket it held is gone; starting another", worker.pid
        )
    else:
        log.warning(
            "the worker (pid %s) ended; the keeper has its sockets, and another is started", worker.pid
        )
