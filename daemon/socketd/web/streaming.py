"""The connection that a stream comes or goes by, waited for as long as the client stays."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from socketd.core import polling
from socketd.errors import ClientGoneError, KernelRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from socketd.core.seams import Pause


@contextmanager
def waited_for(
    connection: Any, pause: Pause, idle: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[None]:
    """Have the client's connection wait by ``pause`` while the block runs, and not for a bounded time.

    Args:
        connection: The server's; one of a test may not be able to.
        pause: The request's wait.
        idle: What is entered while bytes of the client are waited for.

    Raises:
        KernelRefusedError: EMFILE.
    """
    if not hasattr(connection, "waiting_by"):
        yield
        return
    try:
        # A pause watches the connection's own number for its end, and nothing else.
        fd = os.dup(connection.fileno())
    except OSError as error:
        raise KernelRefusedError(error, "dup") from error

    def wait(events: int) -> None:
        with idle() if events == polling.POLLIN else nullcontext():
            pause.arm(fd, events)
            try:
                pause.wait(math.inf)
            except ClientGoneError:
                if events != polling.POLLIN:  # else what it sent before is still to be read
                    raise
            finally:
                pause.disarm(fd)

    try:
        with connection.waiting_by(wait):
            yield
    finally:
        os.close(fd)
