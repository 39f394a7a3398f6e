"""From the configuration to two programs that are seen to: `socketd run`, in its order."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from socketd.runtime import api_token, logs
from socketd.runtime.banner import banner
from socketd.runtime.endpoints import open_endpoints
from socketd.runtime.supervising.child import Child, Patience
from socketd.runtime.supervising.prctl import adopt_orphans
from socketd.runtime.supervising.programs import programs
from socketd.runtime.supervising.signals import SignalPipe
from socketd.runtime.supervising.store import DescriptorStore
from socketd.runtime.supervising.supervisor import Outside, Supervisor
from socketd.runtime.supervising.terminal import Terminal
from socketd.runtime.systemd import Notifier, take_listeners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.runtime.settings import Settings

STORE_CAPACITY = 1024
OWN_DESCRIPTORS = 64
START_S = 90.0  # as systemd's TimeoutStartSec=
WATCHDOG_S = 30.0  # unless our own manager gives us another: then it is theirs too
KEEPER_STOP_S = 5.0
LAST_WORDS_S = 5.0  # what a daemon has to close the held sockets, after graceful_timeout_s


def run(settings: Settings, arguments: Sequence[str], *, has_banner: bool) -> int:
    """Run keeper and daemon until told to stop; return the exit status.

    Args:
        settings: What is in force.
        arguments: What `socketd serve` is to be called with, for the same settings.
        has_banner: Whether lines to try are printed once requests are answered.

    Raises:
        ConfigError: A token file or what systemd handed over is not as it should be.
        EndpointError: The API cannot listen where it should.
    """
    logs.set_up(settings.log_level)
    terminal = Terminal()
    notifier = Notifier.from_environ(os.environ)
    inherited = take_listeners(os.environ, has_tls=settings.tls_certificate is not None)
    # The pipe first: what has to be put away is made when no signal ends us by itself any more.
    with (
        SignalPipe() as signals,
        closing(open_endpoints(settings, inherited)) as endpoints,
        closing(DescriptorStore(_room_for_store())) as store,
    ):
        token = None
        if endpoints.has_tcp:
            token = api_token.api_token(settings, has_banner=has_banner)
            api_token.known(settings, token)  # what is wrong with the file is said before anything is started
        on_serving = partial(_print, banner(endpoints.urls, token)) if has_banner else None
        keeper, daemon = programs(settings, arguments, token, store.capacity)
        watchdog_s = notifier.watchdog_s or WATCHDOG_S
        children = (
            Child(keeper, Patience(START_S, watchdog_s, KEEPER_STOP_S), store.listing),
            Child(
                daemon,
                Patience(START_S, watchdog_s, settings.graceful_timeout_s + LAST_WORDS_S),
                lambda: [("api", listener.fileno()) for listener in endpoints.listeners],
            ),
        )
        adopt_orphans()
        return Supervisor(*children, store, Outside(signals, terminal, notifier, on_serving)).run()


def _print(text: str) -> None:
    with suppress(OSError):  # `| head`: that nobody reads it is no reason to end
        sys.stdout.write(text)
        sys.stdout.flush()


def _room_for_store() -> int:
    """Raise RLIMIT_NOFILE as far as it goes, for our children as well; return how many we can store.

    A new keeper is given the stored ones as duplicates, which for a moment are open beside them.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(min(STORE_CAPACITY, (hard - OWN_DESCRIPTORS) // 2), 0)
