"""Which objects of this process refer to one held socket, and what is to be closed when none does."""

from __future__ import annotations

import atexit
import errno
import os
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from socketd_client.calls import Call
from socketd_client.errors import ApiError, SocketdError

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange
    from socketd_client.lifetime import Lifetime

_LAST: Final = True
_MORE: Final = False


class Share:
    """The references of this process to one held socket, as a descriptor counts those of ``dup``.

    It takes no lock: an object can be collected in the middle of any other call of its thread. A deque's
    ``append`` and ``pop`` are atomic, and whoever pops the first token has dropped the last reference.
    """

    __slots__ = ("__weakref__", "_tokens", "pid")

    def __init__(self) -> None:
        self._tokens = deque((_LAST,))
        self.pid = os.getpid()

    def add(self) -> None:
        """Count one reference more."""
        self._tokens.append(_MORE)

    def drop(self) -> bool:
        """Count one reference less; tell whether it was the last.

        Raises:
            OSError: EBADF, the last was dropped before.
        """
        try:
            return self._tokens.pop()
        except IndexError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def forget(self) -> None:
        """Count one reference less unless it is the last: nobody asked to close the socket."""
        if self._tokens and self._tokens.pop():
            self.restore()

    def restore(self) -> None:
        """Take back the drop of the last reference: the socket could not be closed."""
        self._tokens.append(_LAST)


class Shares:
    """The shares of one client, and the sockets that wait to be closed for it.

    A collected object only leaves its socket here: the collector may run in the middle of an HTTP call, of
    whoever. The next call of the client closes what was left, or ``client.close()``, or the program's end.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._live: weakref.WeakValueDictionary[tuple[int, int], Share] = weakref.WeakValueDictionary()
        self._owned: weakref.WeakSet[Lifetime] = weakref.WeakSet()
        self._left: deque[tuple[int, int]] = deque()
        self._exchange = weakref.ref(exchange)
        self._at_exit = partial(_finish, weakref.ref(self))
        atexit.register(self._at_exit)

    def of(self, fd: int, cookie: int) -> tuple[Share, bool]:
        """Return the share of a held socket, and whether it is new: nothing here referred to it."""
        fresh = Share()
        found = self._live.setdefault((fd, cookie), fresh)
        return found, found is fresh

    def own(self, sock: Lifetime) -> None:
        """Remember a socket that ends with this program."""
        self._owned.add(sock)

    def leave(self, fd: int, cookie: int) -> None:
        """Leave a socket to be closed later; safe wherever the collector runs."""
        self._left.append((fd, cookie))

    def flush(self) -> None:
        """Close what was left; what the daemon cannot be told now stays for the next time."""
        exchange = self._exchange()
        while self._left and exchange is not None:
            try:
                fd, cookie = self._left.popleft()
            except IndexError:  # another thread took it
                return
            try:
                exchange.send(Call("DELETE", f"/v1/sockets/{fd}", if_match=cookie))
            except ApiError:
                continue  # it is closed already
            except ValueError:  # the client is closed
                return
            except SocketdError:
                self._left.appendleft((fd, cookie))
                return
            except BaseException:
                self._left.appendleft((fd, cookie))
                raise

    def finish(self) -> None:
        """Close every owned socket that is still open, as the kernel does with a program's descriptors."""
        atexit.unregister(self._at_exit)
        for sock in list(self._owned):
            sock.leave()
        self.flush()


def _finish(shares: weakref.ref[Shares]) -> None:
    found = shares()
    if found is not None:
        found.finish()
