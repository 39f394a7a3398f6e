"""What is in force: defaults, the TOML file, the environment and the flags, each stronger than the last."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socketd.runtime.settings import KEYS, Key, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_FILE = Path("/etc/socketd/socketd.toml")
FILE_VARIABLE = "SOCKETD_CONFIG"
CLIENT_VARIABLES = frozenset({"SOCKETD_URL", "SOCKETD_TOKEN", "SOCKETD_CA", "SOCKETD_CERT", "SOCKETD_KEY"})
_NEEDED = {
    "tls_key": "tls_certificate",
    "tls_client_ca": "tls_certificate",
    "tls_client_required": "tls_client_ca",
}
BY_NAME = {key.name: key for key in KEYS}
_SHOWN = 200


class ConfigError(Exception):
    """What was configured cannot be; the message is one line that says where and what instead."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings and where each came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(flags: Mapping[str, str], environ: Mapping[str, str], file: str | None = None) -> Configuration:
    """Put the settings together.

    Args:
        flags: By key name, as typed.
        environ: The process's environment.
        file: ``--config``; else ``$SOCKETD_CONFIG``, else the default file if there is one.

    Raises:
        ConfigError: Something in it is unknown, of a wrong type or out of range, or contradicts another.
    """
    values: dict[str, Any] = {key.name: key.default for key in KEYS}
    origins = dict.fromkeys(values, "default")
    for source in (
        _from_file(file or environ.get(FILE_VARIABLE)),
        _from_environ(environ),
        _from_flags(flags),
    ):
        for name, (value, origin) in source.items():
            values[name], origins[name] = value, origin
    if values["listen"] is None:
        values["listen"] = default_path(environ)
    settings = Settings(**values)
    _check_together(settings, origins)
    return Configuration(settings, origins)


def default_path(environ: Mapping[str, str]) -> str:
    """Return where the API's socket is when nobody says where."""
    if runtime := environ.get("RUNTIME_DIRECTORY"):  # systemd's RuntimeDirectory=, the first of several
        return f"{runtime.split(':')[0]}/api.sock"
    if session := environ.get("XDG_RUNTIME_DIR"):
        return f"{session}/socketd/api.sock"
    return f"/tmp/socketd-{os.getuid()}/api.sock"  # noqa: S108 - made 0700 and checked in endpoints.py


def default_keeper_path(environ: Mapping[str, str]) -> str:
    """Return where the keeper listens when nobody says where: beside the API's socket."""
    return os.path.join(os.path.dirname(default_path(environ)), "keeper.sock")  # noqa: PTH118, PTH120


def default_state_directory(environ: Mapping[str, str]) -> str:
    """Return where specifications are kept when nobody says where."""
    if state := environ.get("STATE_DIRECTORY"):  # systemd's StateDirectory=, the first of several
        return state.split(":")[0]
    base = environ.get("XDG_STATE_HOME") or f"{os.path.expanduser('~')}/.local/state"  # noqa: PTH111
    return f"{base}/socketd"


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?", or nothing when no known word is close."""
    close = get_close_matches(wrong, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _shortened(text: str) -> str:
    """Put on one line, and cut, what a message quotes."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _from_file(named: str | None) -> dict[str, tuple[Any, str]]:
    path = Path(named) if named else DEFAULT_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named is None:
            return {}
        raise ConfigError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML, and what int() has against thousands of digits
        raise ConfigError(f"{path}: not TOML: {_shortened(str(error))}") from error
    except RecursionError:  # of its parser, by a few thousand brackets
        raise ConfigError(f"{path}: not TOML: nested too deep") from None
    return {name: (_read_toml(path, name, value), str(path)) for name, value in document.items()}


def _read_toml(path: Path, name: str, value: object) -> Any:
    key = BY_NAME.get(name)
    if key is None:
        raise ConfigError(f"{path}: unknown key {_shortened(name)!r}{suggest(name, BY_NAME)}")
    try:
        return key.kind.from_toml(value)
    except ValueError as error:
        raise _bad_value(f"{path}: {name}", key, value) from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    known = {key.variable: key for key in KEYS}
    for name in environ:
        if not name.startswith("SOCKETD_") or name in {*known, *CLIENT_VARIABLES, FILE_VARIABLE}:
            continue
        # Other programs may use the prefix: only what looks like a slip of the pen is one.
        if close := get_close_matches(name, known, n=1, cutoff=0.85):
            raise ConfigError(f"unknown variable {name}; did you mean {close[0]}?")
    return {
        key.name: (_read_text(name, key, environ[name]), name)
        for name, key in known.items()
        if name in environ
    }


def _from_flags(flags: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    return {
        name: (_read_text(BY_NAME[name].flag, BY_NAME[name], text), BY_NAME[name].flag)
        for name, text in flags.items()
    }


def _read_text(where: str, key: Key, text: str) -> Any:
    try:
        return key.kind.read(text)
    except ValueError as error:
        raise _bad_value(where, key, text) from error


def _bad_value(where: str, key: Key, value: object) -> ConfigError:
    got = "what it holds" if key.is_secret else _shortened(repr(value))
    return ConfigError(f"{where}: {got} is not {key.kind.says}")


def _check_together(settings: Settings, origins: Mapping[str, str]) -> None:
    if settings.default_timeout_s > settings.max_timeout_s:
        raise ConfigError(
            f"default_timeout_s ({settings.default_timeout_s:g}, {origins['default_timeout_s']}) "
            f"is more than max_timeout_s ({settings.max_timeout_s:g}, {origins['max_timeout_s']})"
        )
    if settings.token and settings.token_file:
        raise ConfigError(
            f"token ({origins['token']}) and token_file ({origins['token_file']}) are both given; give one"
        )
    if settings.tcp is not None and not settings.tcp.is_loopback and settings.tls_certificate is None:
        raise ConfigError(
            f"{origins['tcp']}: tcp {settings.tcp} is beyond the loopback interface, which takes "
            "tls_certificate: requests and tokens would not be encrypted"
        )
    for name, needed in _NEEDED.items():
        if getattr(settings, name) and getattr(settings, needed) is None:
            raise ConfigError(f"{origins[name]}: {name} is of no use without {needed}")
