"""Socket options with the signatures of ``socket.socket``: by level and number, as bytes."""

from __future__ import annotations

import base64
import errno
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from socketd_client.arguments import integer
from socketd_client.errors import BadAnswerError
from socketd_client.records import SocketOption
from socketd_client.reference import HeldSocket
from socketd_client.wire import listed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_INT: Final = struct.Struct("i")


class Options(HeldSocket):
    """The options part of a socket handle."""

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:
        """Return an option: an ``int``, or ``bytes`` of at most ``buflen`` if that is given."""
        self._check("getsockopt", level, optname, buflen)
        level, optname, buflen = integer(level), integer(optname), integer(buflen)
        answer = self._call("GET", f"/options/{level}:{optname}", query={"length": buflen or _INT.size})
        raw = _raw(SocketOption.from_json(answer.json()))
        return raw if buflen else int.from_bytes(raw[: _INT.size], sys.byteorder, signed=True)

    def setsockopt(
        self, level: int, optname: int, value: int | ReadableBuffer | None, optlen: int | None = None, /
    ) -> None:
        """Set an option to an ``int`` or to bytes.

        Raises:
            OSError: EOPNOTSUPP for ``None`` (a null pointer of ``optlen`` bytes), which HTTP cannot carry.
        """
        self._check("setsockopt", level, optname, value, *(() if optlen is None else (optlen,)))
        if value is None:
            raise OSError(errno.EOPNOTSUPP, "setsockopt: a null pointer cannot be sent to the daemon")
        level, optname = integer(level), integer(optname)
        raw = _INT.pack(integer(value)) if hasattr(value, "__index__") else bytes(memoryview(value))
        self._call("PUT", f"/options/{level}:{optname}", {"base64": base64.b64encode(raw).decode()})

    def option(self, name: str) -> SocketOption:
        """Return an option by its name (``"SO_REUSEADDR"``), typed as the daemon knows it."""
        return SocketOption.from_json(self._call("GET", f"/options/{name}").json())

    def set_option(self, name: str, value: Any) -> SocketOption:
        """Set an option by its name; return what the kernel made of it."""
        body = {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else {"value": value}
        return SocketOption.from_json(self._call("PUT", f"/options/{name}", body).json())

    def options(self) -> tuple[SocketOption, ...]:
        """Return every option this kind of socket has."""
        return tuple(map(SocketOption.from_json, listed(self._call("GET", "/options").json(), "options")))


def _raw(option: SocketOption) -> bytes:
    if option.base64 is not None:
        return base64.b64decode(option.base64)
    if isinstance(option.value, int):
        return _INT.pack(option.value)
    raise BadAnswerError(f"option {option.name} came without its bytes")
