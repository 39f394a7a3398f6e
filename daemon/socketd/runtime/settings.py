"""The one table of what can be configured; flags, variables, TOML keys and their description come from it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from socketd.runtime import kinds

if TYPE_CHECKING:
    from socketd.runtime.kinds import Kind, TcpAddress

MIB = 1 << 20
UNLESS = "Not used where systemd hands the socket over"


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be configured.

    Attributes:
        name: As in the TOML file, and as the attribute of ``Settings``; the unit is part of it.
        kind: How a value is read and checked.
        default: ``None`` means "decided at start", and ``help`` says how.
        help: A sentence for people.
        is_secret: Its value is shown to nobody.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    is_secret: bool = False

    @property
    def flag(self) -> str:
        """``--max-waits``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """``SOCKETD_MAX_WAITS``."""
        return "SOCKETD_" + self.name.upper()


def _row(kind: Kind, default: Any, text: str, *, is_secret: bool = False) -> dict[str, Any]:
    return {"kind": kind, "default": default, "help": text, "is_secret": is_secret}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is in force; each field's metadata is its row of the table."""

    listen: str = field(
        metadata=_row(
            kinds.SOCKET_PATH,
            None,
            "Unix socket of the API; when left out, the first that applies of $RUNTIME_DIRECTORY/api.sock, "
            f"$XDG_RUNTIME_DIR/socketd/api.sock, /tmp/socketd-UID/api.sock. {UNLESS}.",
        )
    )
    socket_mode: int = field(
        metadata=_row(kinds.MODE, 0o660, f"Permissions of that socket: who may ask at all. {UNLESS}.")
    )
    socket_group: str | None = field(
        metadata=_row(kinds.TEXT, None, f"Group of that socket; the daemon's own when left out. {UNLESS}.")
    )
    tcp: TcpAddress | None = field(
        metadata=_row(
            kinds.TCP,
            None,
            "Answer on this address too, to whoever sends the token; port 0 takes a free one.",
        )
    )
    token_file: str | None = field(
        metadata=_row(kinds.PATH, None, "File with the token that the TCP address asks for.")
    )
    token: str | None = field(
        metadata=_row(
            kinds.TOKEN,
            None,
            "The token itself. Flags are seen by every user in ps, so prefer token_file. "
            "With neither, a new token is made at each start and printed.",
            is_secret=True,
        )
    )
    default_timeout_s: float = field(
        metadata=_row(kinds.seconds(0, 86_400), 30.0, "How long a call waits that does not say how long.")
    )
    max_timeout_s: float = field(
        metadata=_row(kinds.seconds(0, 86_400), 600.0, "How long a call may ask to wait.")
    )
    max_body_bytes: int = field(
        metadata=_row(kinds.integer(1024, 1 << 30), 16 * MIB, "Largest request body.")
    )
    max_recv_bytes: int = field(
        metadata=_row(kinds.integer(1, 1 << 30), 16 * MIB, "Most bytes one receive may ask for.")
    )
    max_waits: int = field(
        metadata=_row(kinds.integer(1, 1_000_000), 20_000, "Calls that may wait at the same time.")
    )
    max_count: int = field(
        metadata=_row(kinds.integer(1, 1_000_000), 100_000, "Most sockets one call may create.")
    )
    max_connections: int = field(
        metadata=_row(
            kinds.integer(1, 1_000_000),
            40_000,
            "HTTP connections at the same time, idle and waiting ones included.",
        )
    )
    descriptors: int = field(
        metadata=_row(
            kinds.integer(64, 1 << 30),
            524_288,
            "RLIMIT_NOFILE to ask for; less is taken where the system gives less.",
        )
    )
    number_rest_s: float = field(
        metadata=_row(
            kinds.seconds(0, 86_400), 120.0, "How long a closed socket's number is not given to another."
        )
    )
    graceful_timeout_s: float = field(
        metadata=_row(
            kinds.seconds(0.1, 3600), 10.0, "How long running requests may take to end when the daemon stops."
        )
    )
    log_level: str = field(
        metadata=_row(
            kinds.choice("debug", "info", "warning", "error"), "info", "The least that is logged, to stderr."
        )
    )


KEYS: tuple[Key, ...] = tuple(
    Key(
        row.name,
        row.metadata["kind"],
        row.metadata["default"],
        row.metadata["help"],
        row.metadata["is_secret"],
    )
    for row in fields(Settings)
)
