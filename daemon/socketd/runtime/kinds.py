"""How a configured value is read from text or TOML, checked, and written back."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AUDIT_WORDS = ("off", "stderr")
SUN_PATH_BYTES = 107  # sun_path of sockaddr_un is 108 bytes and ends with a zero
MAX_MODE = 0o777
MAX_PORT = 65_535
MAX_NAME = 253  # of a host, in characters: RFC 1035, 2.3.4
_LABELS = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value.

    Attributes:
        says: What a value must be, for the error message and the reference.
        read: Text to value; raises ``ValueError`` when it is none.
        types: What TOML may hold besides text.
        check: Value to value, for what TOML typed itself; raises ``ValueError``.
        write: Value to text, as ``read`` takes it.
        is_quoted: TOML wants it in quotes.
        placeholder: What stands for it in ``--help``.
    """

    says: str
    read: Callable[[str], Any]
    types: tuple[type, ...] = ()
    check: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], str] = str
    is_quoted: bool = True
    placeholder: str = "TEXT"

    def from_toml(self, value: object) -> Any:
        """Read what a TOML file holds; ``True`` is no number, and "30" is no number either.

        Raises:
            ValueError: It is of another type, or out of range.
        """
        if isinstance(value, str) and self.is_quoted:
            return self.read(value)
        if isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool)):
            return self.check(value)
        raise ValueError(value)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An address of the API; port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _nonempty(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _path(text: str) -> str:
    return os.path.abspath(_nonempty(text))  # noqa: PTH100 - Path would follow symlinks or keep ".."


def _socket_path(text: str) -> str:
    path = _path(text)
    if len(os.fsencode(path)) > SUN_PATH_BYTES:
        raise ValueError(text)
    return path


def _token(text: str) -> str:
    """Accept what fits into a header: RFC 6750 2.1."""
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", text):
        raise ValueError(text)
    return text


def _mode(text: str) -> int:
    return _checked_mode(int(text, 8))


def _checked_mode(value: int) -> int:
    if not 0 <= value <= MAX_MODE:
        raise ValueError(value)
    return value


def _tcp(text: str) -> TcpAddress:
    matched = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[^:\[\]]+)):(?P<port>[0-9]{1,5})", text)
    if matched is None or int(matched["port"]) > MAX_PORT:
        raise ValueError(text)
    host = matched["v6"] or matched["v4"]
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    return TcpAddress(str(address), int(matched["port"]))


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _hosts(text: str) -> tuple[str, ...]:
    return _checked_hosts(text.split(",") if text.strip() else [])


def _checked_hosts(names: Sequence[object]) -> tuple[str, ...]:
    return tuple(_host(name) for name in names)


def _host(name: object) -> str:
    """Bring a name or an address into the form in which a request's ``Host`` is compared."""
    if not isinstance(name, str):
        raise ValueError(name)  # noqa: TRY004 - what a Kind raises
    plain = name.strip().lower().removesuffix(".")
    if ":" in plain:
        return f"[{ipaddress.IPv6Address(plain.removeprefix('[').removesuffix(']'))}]"
    if len(plain) > MAX_NAME or not _LABELS.fullmatch(plain):
        raise ValueError(name)
    return plain


def integer(low: int, high: int) -> Kind:
    """Make the kind of whole numbers from ``low`` to ``high``."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(value)
        return value

    says = f"a whole number from {low} to {high}"
    return Kind(says, lambda text: check(int(text)), (int,), check, is_quoted=False, placeholder="N")


def seconds(low: float, high: float) -> Kind:
    """Make the kind of times from ``low`` to ``high`` seconds."""

    def check(value: float) -> float:
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(value)
        return float(value)

    def write(value: float) -> str:
        return f"{value:g}"

    says = f"a number of seconds from {low:g} to {high:g}"
    return Kind(
        says, lambda text: check(float(text)), (int, float), check, write, is_quoted=False, placeholder="S"
    )


def choice(*words: str) -> Kind:
    """Make the kind that is one of ``words``."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(f"one of {', '.join(words)}", read, placeholder="|".join(words))


def _audit(text: str) -> str:
    return text if text in AUDIT_WORDS else _absolute(text)


def _absolute(text: str) -> str:
    if not text.startswith("/"):  # a word mistyped is no file in some directory
        raise ValueError(text)
    return _path(text)


TEXT = Kind("a text", _nonempty)
PATH = Kind("a path", _path, placeholder="PATH")
AUDIT = Kind("off, stderr or an absolute path", _audit, placeholder="off|stderr|PATH")
SOCKET_PATH = Kind(f"a path of at most {SUN_PATH_BYTES} bytes", _socket_path, placeholder="PATH")
TOKEN = Kind("letters, digits and any of . _ ~ + / -", _token)
HOSTS = Kind(
    "names or addresses without a port, separated by commas",
    _hosts,
    (list,),
    _checked_hosts,
    ", ".join,
    placeholder="NAME,…",
)
MODE = Kind(
    "permissions in octal, such as 0660",
    _mode,
    (int,),
    _checked_mode,
    lambda value: f"{value:04o}",
    placeholder="MODE",
)
TCP = Kind(
    "ADDRESS:PORT with an address in numbers or localhost (127.0.0.1:8080, [::1]:8080)",
    _tcp,
    placeholder="ADDRESS:PORT",
)
SWITCH = Kind("true or false", _switch, (bool,), write=lambda value: str(value).lower(), is_quoted=False)
