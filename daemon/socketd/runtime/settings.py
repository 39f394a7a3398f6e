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
            "Answer on this address too, to whoever sends a token or shows a certificate; port 0 takes a "
            "free one. Without tls_certificate only on the loopback interface, since nothing is encrypted.",
        )
    )
    hosts: tuple[str, ...] = field(
        metadata=_row(
            kinds.HOSTS,
            (),
            "Names by which requests may call the daemon (their Host), besides localhost and the address "
            "that they come to: those that a proxy in front of it passes on.",
        )
    )
    token_file: str | None = field(
        metadata=_row(
            kinds.PATH,
            None,
            "File with names and hashes of the tokens that TCP callers may send; `socketd token` writes its "
            "entries. Read again at SIGHUP.",
        )
    )
    token: str | None = field(
        metadata=_row(
            kinds.TOKEN,
            None,
            "A token that makes its sender the daemon's own user. Flags are seen by every user in ps, so "
            "prefer token_file. With neither, and no tls_client_ca, a new one is made at each start and "
            "printed.",
            is_secret=True,
        )
    )
    tls_certificate: str | None = field(
        metadata=_row(
            kinds.PATH,
            None,
            "PEM file with the certificate of the TCP address, and those between it and its authority: "
            "makes it https. It, the key and the authorities are read again at SIGHUP.",
        )
    )
    tls_key: str | None = field(
        metadata=_row(kinds.PATH, None, "PEM file with its key; when left out, it is in tls_certificate.")
    )
    tls_client_ca: str | None = field(
        metadata=_row(
            kinds.PATH,
            None,
            "PEM file with the authorities whose client certificates say who a TCP caller is; it may hold "
            "their revocation lists too.",
        )
    )
    tls_client_required: bool = field(
        metadata=_row(kinds.SWITCH, default=False, text="Refuse TCP callers without such a certificate.")
    )
    policy: str | None = field(
        metadata=_row(
            kinds.PATH,
            None,
            "File that says who may do what (docs/policy.md); when left out, /etc/socketd/policy.toml if "
            "there is one, else the one that socketd comes with. Read again at SIGHUP.",
        )
    )
    keeper: str | None = field(
        metadata=_row(
            kinds.SOCKET_PATH,
            None,
            "Unix socket of the keeper (`socketd keep`), which holds a second copy of every socket; "
            "when left out, held sockets end with the daemon. `socketd run` starts a keeper of its own.",
        )
    )
    state_directory: str | None = field(
        metadata=_row(
            kinds.PATH,
            None,
            "Where the specifications of sockets with persist: boot are; when left out, the first that "
            "applies of $STATE_DIRECTORY, $XDG_STATE_HOME/socketd, ~/.local/state/socketd.",
        )
    )
    default_timeout_s: float = field(
        metadata=_row(kinds.seconds(0, 86_400), 30.0, "How long a call waits that does not say how long.")
    )
    max_timeout_s: float = field(
        metadata=_row(kinds.seconds(0, 86_400), 600.0, "How long a call may ask to wait.")
    )
    request_timeout_s: float = field(
        metadata=_row(
            kinds.seconds(0.1, 86_400),
            30.0,
            "How long a client may take to send a request's head, and its body, and to read an answer; a "
            "second more for each 64 KiB.",
        )
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
    audit: str = field(
        metadata=_row(
            kinds.AUDIT,
            "off",
            "Where each change of a socket is written as a line of JSON: who, what, which one, the result.",
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
