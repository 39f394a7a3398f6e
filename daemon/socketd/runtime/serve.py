"""From the configuration to a daemon that serves: what happens before the fork, in its order."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from socketd.runtime import composition, logs
from socketd.runtime.banner import banner
from socketd.runtime.config import ConfigError
from socketd.runtime.endpoints import open_endpoints
from socketd.runtime.kinds import TOKEN
from socketd.runtime.limits import ask_for_descriptors
from socketd.runtime.server import Server, forget_gunicorn_variables
from socketd.runtime.systemd import Notifier, take_listeners

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.composition import Assembly, Frame
    from socketd.runtime.settings import Settings

TOKEN_BYTES = 32

log = logging.getLogger(__name__)


def serve(
    settings: Settings, *, has_banner: bool, assemble: Callable[[Frame], Assembly] = composition.assemble
) -> None:
    """Serve until told to stop; ends the process by ``SystemExit``.

    Raises:
        ConfigError: A token file or what systemd handed over is not as it should be.
        EndpointError: The API cannot listen where it should.
    """
    logs.set_up(settings.log_level)
    notifier = Notifier.from_environ(os.environ)
    inherited = take_listeners(os.environ)
    forget_gunicorn_variables(os.environ)
    endpoints = open_endpoints(settings, inherited)
    try:
        urls = endpoints.urls
        token = _token(settings, has_banner=has_banner) if endpoints.has_tcp else None
        frame = composition.Frame(settings, token, ask_for_descriptors(settings.descriptors))

        def on_serving() -> None:
            log.info("serving %s", ", ".join(urls))
            if has_banner:
                sys.stdout.write(banner(urls, token))
                sys.stdout.flush()

        Server(frame, endpoints, notifier, assemble, on_serving).run()
    finally:
        endpoints.close()


def _token(settings: Settings, *, has_banner: bool) -> str:
    """Return the token that TCP callers have to send; make one up if none is configured."""
    if settings.token is not None:
        return settings.token
    if settings.token_file is not None:
        return _read_token(Path(settings.token_file))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    if not has_banner:
        log.warning("no token is configured; until this daemon stops it is SOCKETD_TOKEN=%s", token)
    return token


def _read_token(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"token_file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"token_file {path}: what it holds is not {TOKEN.says}") from error
    if mode & stat.S_IROTH:
        log.warning("token_file %s: every user may read it (chmod o-r)", path)
    try:
        return str(TOKEN.read(text))
    except ValueError as error:
        raise ConfigError(f"token_file {path}: what it holds is not {TOKEN.says}") from error
