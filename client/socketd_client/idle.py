"""Connections that stand idle in a pool of urllib3's: taken out for a while, and given back."""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool


def take_idle(pool: HTTPConnectionPool) -> HTTPConnection | None:
    """Take a connection out of a pool that was answered before and still stands, if there is one.

    It is the caller's until it is given back.
    """
    idle = pool.pool
    while idle is not None:  # it is where the client is closed
        try:
            # Its places are None where no connection was made yet.
            found = cast("HTTPConnection | None", idle.get(block=False))
        except queue.Empty:
            return None
        if found is None or found.is_connected:
            return found
        found.close()
    return None


def give_back(pool: HTTPConnectionPool, connection: HTTPConnection) -> None:
    """Put a connection into a pool again; close it if there is no room, or the client is closed."""
    idle = pool.pool
    if idle is not None:
        with contextlib.suppress(queue.Full):
            idle.put(connection, block=False)
            return
    connection.close()
