"""How a handle ends: closed, dropped, let go of, or one of several on one held socket."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Self

from socketd_client import constants
from socketd_client.calls import Call
from socketd_client.errors import ApiError
from socketd_client.reference import HeldSocket

if TYPE_CHECKING:
    from types import TracebackType

    from socketd_client.exchange import Exchange
    from socketd_client.records import SocketInfo


class Lifetime(HeldSocket):
    """The part of a socket handle that opens and closes it.

    A handle is *owned* when the program made it as it makes a local socket: the last reference then closes
    the socket in the daemon. One from ``client.sockets`` is not: dropping it closes nothing.
    """

    # What makefile() of the socket module counts in.
    _io_refs = 0
    _closed = False
    _is_closed = True
    _is_owned = False
    _is_counted = False
    _is_inheritable = False

    def __new__(cls, *_arguments: Any, **_options: Any) -> Self:
        """Pass over what the constructor takes, as the local class does: derived ones hand it on."""
        return super().__new__(cls)

    @classmethod
    def of(
        cls,
        exchange: Exchange,
        snapshot: SocketInfo,
        *,
        is_owned: bool = False,
        is_duplicate: bool = False,
    ) -> Self:
        """Make a handle of a socket that the daemon holds already; a duplicate counts beside the others."""
        self = cls.__new__(cls)
        self._hold(exchange, snapshot)
        self._begin(is_owned=is_owned)
        if is_duplicate:
            self._share.add()
            self._is_counted = True
        return self

    def close(self) -> None:
        """Close the socket in the daemon, once nothing else here refers to it. A second call does nothing.

        Files of ``makefile`` and duplicates of ``dup`` keep it open until they are closed.

        Raises:
            OSError: EBADF, it was closed through another handle.
        """
        self._closed = True
        if self._io_refs <= 0:
            self._real_close()

    def dup(self) -> Self:
        """Return a second handle of the same socket; it is closed when both are."""
        self._must_be_open()
        kind: Any = type(self)
        twin: Self = kind.of(self._exchange, self.snapshot, is_owned=self._is_owned, is_duplicate=True)
        try:
            # As socket.dup: a derived class makes what it has besides.
            kind.__init__(twin, self.family, self.type, self.proto, fileno=twin.fileno())
        except BaseException:
            Lifetime.close(twin)  # the derived one may need what was not made
            raise
        twin._proto = self._proto
        twin.settimeout(self._timeout_s)
        return twin

    def detach(self) -> int:
        """Let go of the socket without closing it; return the number for ``client.sockets.get``."""
        number = self.fileno()
        self._closed = True
        return number if self._end() else -1

    def fileno(self) -> int:
        """Return a number that stands for the socket, ``2**30 + fd``; -1 once closed.

        The descriptor is the daemon's; in *this* process its number, ``fd``, may be an unrelated file, which
        ``os.close`` or ``select`` would then hit. No process has descriptors this high, so those get EBADF.
        """
        return -1 if self._is_closed else constants.FILENO_BASE + self.fd

    def get_inheritable(self) -> bool:
        """Return what ``set_inheritable`` set; a new socket is not inheritable."""
        self._must_be_open()
        return self._is_inheritable

    def set_inheritable(self, inheritable: bool) -> None:  # noqa: FBT001 - the socket module's signature
        """Set a flag that means nothing: this process has no descriptor that a program could inherit."""
        with suppress(OSError):  # EBADF; what is no flag it says before
            os.set_inheritable(-1, inheritable)
        self._must_be_open()
        self._is_inheritable = bool(inheritable)

    def leave(self) -> None:
        """Close without asking the daemon now: for where no HTTP call may be made."""
        if not self._end():
            return
        try:
            is_last = self._is_ours() and self._share.drop()
        except OSError:  # closed through another handle
            return
        if is_last:
            self._exchange.shares.leave(self.fd, self.cookie)

    def leave_with_file(self) -> None:
        """Leave the socket if it is closed but for one file, which is being collected."""
        if self._closed and self._io_refs <= 1:
            self.leave()

    def __enter__(self) -> Self:
        """Return the handle."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the socket."""
        if not self._closed:
            self.close()

    def __del__(self) -> None:
        """Leave an owned socket to be closed, and warn as a local socket does."""
        if self._is_closed:
            return
        if not self._is_owned:
            if self._is_counted:
                self._share.forget()
            return
        is_warned = not self._closed and self._is_ours()
        text = f"unclosed {self!r}"
        self.leave()
        if is_warned:
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, as sockets do: get it again by number or name."""
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def _begin(self, *, is_owned: bool) -> None:
        # A second handle of one number is an alias, as a second object of one descriptor: it does not count.
        self._share, self._is_counted = self._exchange.shares.of(self.fd, self.cookie)
        self._is_closed = False
        self._is_owned = is_owned
        if is_owned:
            self._exchange.shares.own(self)

    def _is_ours(self) -> bool:
        """Tell whether this process made it: a forked child's copy of an owned one closes nothing."""
        return self._share.pid == os.getpid()

    def _decref_socketios(self) -> None:
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed:
            self.close()

    def _end(self) -> bool:
        """Close the handle, and nothing else; tell whether it was open: of several threads, one hears so."""
        return not self.__dict__.pop("_is_closed", True)  # atomic; that it is closed the class says

    def _real_close(self) -> None:
        if not self._end():
            return
        try:
            is_last = self._share.drop()
        except OSError:  # closed through another handle here: the daemon says what it says
            is_last = True
        if is_last and (self._is_ours() or not self._is_owned):
            self._delete()

    def _delete(self) -> None:
        try:
            self._exchange.shares.flush()
            self._exchange.send(Call("DELETE", f"/v1/sockets/{self.fd}", if_match=self.cookie))
        except ApiError:
            raise
        except BaseException:
            self._share.restore()
            self._is_closed = False
            raise
