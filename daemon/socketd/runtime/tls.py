"""TLS on the TCP address: certificates read and checked, and connections that begin with a handshake."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent import socket, ssl

from socketd.runtime import guarded_file, malformed
from socketd.runtime.config import ConfigError
from socketd.runtime.line import TlsLine
from socketd.runtime.pace import Paced
from socketd.runtime.patience import Patient

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.settings import Settings

HANDSHAKE_S: Final = 10.0
"""How long a client may take for its handshake, all of it."""
_CLIENT_HELLO: Final = 0x16  # RFC 8446, 5.1: the type of a handshake record
_LINGER_S: Final = 2.0
_PLAIN_BYTES: Final = 65536
_REVOCATIONS: Final = "-----BEGIN X509 CRL-----"


class Connection(Paced, Patient, ssl.SSLSocket):  # type: ignore[misc]
    """One of the server's side, that says good-bye: a client can tell the end from a cut.

    Attributes:
        is_cut: It does not, for what it has carried has not come to its end.
    """

    is_cut = False

    def leave_http(self) -> TlsLine:
        """Give the connection as the bytes that it carries; the request that runs is its last."""
        self.is_cut = True
        return TlsLine(self, self._read_ahead())

    def close(self) -> None:
        """Send close_notify, without waiting for the client's or for room, and close."""
        if self._sslobj is not None and self.fileno() >= 0 and not self.is_cut:
            self.settimeout(0.0)
            with suppress(OSError, ValueError):
                self.unwrap()
        super().close()


class Context(ssl.SSLContext):  # type: ignore[misc]
    """gevent's, not that of the standard library, which would block the loop.

    Attributes:
        client_ca: Who vouches for those who come by it.
    """

    sslsocket_class = Connection
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What the files hold; the same again is no reason to begin anew.

    Attributes:
        certificate: The chain, the server's own first.
        key: ``None``: in the same file.
        client_ca: Who vouches for client certificates; ``None``: none are asked for.
    """

    certificate: str
    key: str | None
    client_ca: str | None


class Tls:
    """What new connections begin with; a reload puts another ``context`` there."""

    def __init__(self, settings: Settings, material: Material) -> None:
        self.context = context(settings, material)
        self._material = material

    def reload(self, settings: Settings) -> Callable[[], None]:
        """Read the files again; return what has new connections begin with them.

        Raises:
            ConfigError: Something is wrong with them.
        """
        material = read(settings)
        if material is None or material == self._material:
            return lambda: None
        made = context(settings, material)

        def apply() -> None:
            self.context, self._material = made, material

        return apply

    def is_trusted(self, connection: Any) -> bool:
        """Whether those who vouch for a connection's client still are the ones who may."""
        return not isinstance(connection, Connection) or (
            connection.context.client_ca == self.context.client_ca
        )


class NotTlsError(Exception):
    """The client speaks plain HTTP; it has been told."""


def read(settings: Settings) -> Material | None:
    """Read the files; ``None`` without TLS.

    Raises:
        ConfigError: One cannot be read, or others may write it.
    """
    if settings.tls_certificate is None:
        return None
    certificate = guarded_file.read(
        "tls_certificate", settings.tls_certificate, is_secret=settings.tls_key is None
    )
    key, ca = settings.tls_key, settings.tls_client_ca
    return Material(
        certificate,
        None if key is None else guarded_file.read("tls_key", key, is_secret=True),
        None if ca is None else guarded_file.read("tls_client_ca", ca, is_secret=False),
    )


def context(settings: Settings, material: Material) -> Context:
    """Make what connections begin with; TLS 1.2 at least, which has no known weak cipher left by default.

    Raises:
        ConfigError: The certificate, its key or the authority's are not what they should be.
    """
    made = Context(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client of TLS 1.2 could ask again and again for what costs us far more than it.
    made.options |= ssl.OP_NO_RENEGOTIATION
    # HTTP tells by itself where a message ends. Without this OpenSSL 3 answers the end of reading with an
    # alert, also the end that we make of idle connections.
    made.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    made.set_alpn_protocols(["http/1.1"])
    _load_chain(made, settings)
    if material.client_ca is not None:
        _load_client_ca(made, settings, material.client_ca)
    return made


def _load_chain(made: Context, settings: Settings) -> None:
    key = settings.tls_key
    where = f"tls_certificate {settings.tls_certificate}" + ("" if key is None else f", tls_key {key}")

    def refuse_password() -> str:
        raise ConfigError(f"{where}: the key is encrypted; nobody is there to type its password")

    try:
        made.load_cert_chain(settings.tls_certificate, key, refuse_password)
    except ssl.SSLError as error:
        said = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else _said(error)
        raise ConfigError(f"{where}: {said}") from error
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from error


def _load_client_ca(made: Context, settings: Settings, text: str) -> None:
    try:
        made.load_verify_locations(settings.tls_client_ca)
    except ssl.SSLError as error:
        raise ConfigError(f"tls_client_ca {settings.tls_client_ca}: no certificate in it") from error
    except OSError as error:
        raise ConfigError(f"tls_client_ca {settings.tls_client_ca}: {error.strerror}") from error
    if _REVOCATIONS in text:
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    made.verify_mode = ssl.CERT_REQUIRED if settings.tls_client_required else ssl.CERT_OPTIONAL
    made.client_ca = text


def _said(error: ssl.SSLError) -> str:
    return "no certificate or no key in it" if error.reason in {None, "NO_START_LINE"} else str(error.reason)


def begin(client: Any, made: Context, timeout_s: float = HANDSHAKE_S) -> Connection:
    """Shake hands.

    Takes ownership of ``client``.

    Raises:
        NotTlsError: It is no TLS.
        OSError: The client gave up, showed a certificate that is not good, or offers only what is too old.
        TimeoutError: It took too long.
    """
    try:
        with gevent.Timeout(timeout_s, TimeoutError("no handshake in time")):
            _refuse_plain(client)
            client = made.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            client.do_handshake()
    except (ssl.SSLError, NotTlsError):
        _linger(client)
        client.close()
        raise
    except BaseException:
        client.close()
        raise
    return client  # type: ignore[no-any-return]


def _linger(client: Any) -> None:
    """Let a client that is refused read why: what it sent and we did not read would reset the connection."""
    with suppress(OSError), gevent.Timeout(_LINGER_S, TimeoutError()):
        client.shutdown(socket.SHUT_WR)  # gevent's ends TLS as well: from here on bytes are bytes
        while _receive(client, _PLAIN_BYTES):
            pass


def _refuse_plain(client: Any) -> None:
    """Tell a client that speaks HTTP where it is.

    Raises:
        NotTlsError: It does.
    """
    first = _receive(client, 1, socket.MSG_PEEK)
    if not first or first[0] == _CLIENT_HELLO:
        return
    fd = client.fileno()
    with suppress(OSError):
        os.read(fd, _PLAIN_BYTES)
        error = ConnectionError("this address speaks TLS: ask for https://")
        os.write(fd, malformed.answer(HTTPStatus.BAD_REQUEST, error))
    raise NotTlsError("it speaks something else")


def _receive(client: Any, size: int, flags: int = 0) -> bytes:
    """Receive bytes as they come over TCP, at no pace but that of the handshake."""
    data: bytes = socket.socket.recv(client, size, flags)
    return data
