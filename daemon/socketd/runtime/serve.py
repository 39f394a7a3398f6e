"""From the configuration to a daemon that serves: what happens before the fork, in its order."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from socketd.runtime import composition, logs
from socketd.runtime.api_token import api_token
from socketd.runtime.banner import banner
from socketd.runtime.door import Door
from socketd.runtime.endpoints import open_endpoints
from socketd.runtime.limits import ask_for_descriptors
from socketd.runtime.policy_source import PolicySource, reserved
from socketd.runtime.relay import relayed
from socketd.runtime.server import Server, forget_gunicorn_variables
from socketd.runtime.systemd import Notifier, take_listeners

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.composition import Assembly, Frame
    from socketd.runtime.settings import Settings

log = logging.getLogger(__name__)


def serve(
    read: Callable[[], Settings],
    *,
    has_banner: bool,
    assemble: Callable[[Frame], Assembly] = composition.assemble,
) -> None:
    """Serve until told to stop; ends the process by ``SystemExit``.

    Args:
        read: Reads the configuration: now, and again whenever the daemon is told to reload.
        has_banner: Print lines to try when it serves.
        assemble: Puts the daemon together, in the worker.

    Raises:
        ConfigError: The policy, a token file, a certificate or what systemd handed over is not right.
        EndpointError: The API cannot listen where it should.
    """
    settings = read()
    logs.set_up(settings.log_level)
    notifier = Notifier.from_environ(os.environ)
    inherited = take_listeners(os.environ, has_tls=settings.tls_certificate is not None)
    forget_gunicorn_variables(os.environ)
    endpoints = open_endpoints(settings, inherited)
    try:
        urls = endpoints.urls
        token = api_token(settings, has_banner=has_banner) if endpoints.has_tcp else None
        door = Door(settings, token) if endpoints.has_tcp else None
        policies = PolicySource(settings, reserved(endpoints.addresses(settings.keeper)))
        frame = composition.Frame(settings, door, policies, ask_for_descriptors(settings.descriptors), read)

        def on_serving() -> None:
            log.info("serving %s", ", ".join(urls))
            if has_banner:
                sys.stdout.write(banner(urls, token))
                sys.stdout.flush()

        with relayed(notifier) as relay:
            Server(frame, endpoints, relay, assemble, on_serving).run()
    finally:
        endpoints.close()
