"""Keeps this package's own HTTP off the functions that a program has replaced, and out of its logs."""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

NATIVE_GETADDRINFO: Final = socket.getaddrinfo  # it calls the C function, whatever the module's name is now

_IS_OWN: Final[ContextVar[bool]] = ContextVar("socketd_own_traffic", default=False)
_LOGGERS: Final = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


def is_own() -> bool:
    """Tell whether the sockets that are made here and now carry this package's own HTTP."""
    return _IS_OWN.get()


@contextmanager
def own_traffic() -> Iterator[None]:
    """Make every socket of the block a local one, also under ``installed``."""
    token = _IS_OWN.set(True)
    try:
        yield
    finally:
        _IS_OWN.reset(token)


class OwnTraffic(HTTPAdapter):
    """Sends requests over local sockets.

    urllib3 makes its connections by the ``socket`` module's functions, which ``installed`` replaces: the
    request would go over a held socket, which is a request. It also logs each at DEBUG: a handler that
    writes to a held socket would cause the next line by writing this one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_the_programs)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a request as ``requests`` does."""
        with own_traffic():
            return super().send(request, *args, **options)


def _is_the_programs(_record: logging.LogRecord) -> bool:
    return not _IS_OWN.get()
