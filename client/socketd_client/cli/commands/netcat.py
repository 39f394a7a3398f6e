"""``nc``: standard input and output joined to a held or a new socket."""

from __future__ import annotations

import array
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import wanted
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.failures import CommandError
from socketd_client.cli.pump import LocalPeer, Pump, TlsPeer
from socketd_client.cli.shape import Command
from socketd_client.cli.signalled import tidied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client import Socket
    from socketd_client.cli.direct import Direct
    from socketd_client.cli.session import Session

_UNIX: Final = "unix:"
_STREAM: Final = "stream"
_STDOUT: Final = 1


@click.command("nc", cls=Command)
@click.argument("target", metavar="REF|ADDRESS|HOST", shell_complete=complete_reference)
@click.argument("port", required=False)
@click.option("--udp", "-u", is_flag=True, help="A new socket is a datagram socket.")
@click.option(
    "--timeout",
    "-w",
    type=click.FloatRange(min=0),
    default=30.0,
    metavar="S",
    show_default=True,
    help="For connecting, or for a listener's next connection.",
)
@click.option(
    "--fdpass", "-F", is_flag=True, help="Hand the connection to ssh (ProxyUseFdpass=yes), and end."
)
@click.pass_obj
def nc_command(session: Session, /, target: str, port: str | None, **given: Any) -> None:
    """Copy standard input to a socket, and the socket to standard output, until both have ended.

    TARGET is a held socket (a listener: its next connection), an address, or a host with a PORT: then the
    daemon connects, from where it is and with the rights it has. The end of standard input shuts the sending
    side only. On the daemon's own host, the bytes do not go through the daemon; from another one they go by
    a tunnel.

    Examples:
      socketctl nc 127.0.0.1 80 < request
      socketctl nc web
      ssh -o ProxyCommand='socketctl nc %h %p' host
      ssh -o ProxyCommand='socketctl nc -F %h %p' -o ProxyUseFdpass=yes host
    """
    address = _address(target, port)
    if not session.url.startswith(_UNIX):
        if given["fdpass"]:
            raise CommandError("--fdpass needs the daemon's Unix socket", hint="give --url unix:///…")
        _through_api(session, target, address, given)
        return
    # A little more than the daemon waits, for its answer.
    with session.direct(given["timeout"] + 10.0) as direct:
        sock = _connection(direct, target, address, given)
    with sock:
        if given["fdpass"]:
            _hand_over(sock)
        else:
            Pump(LocalPeer(sock)).run()


def _address(target: str, port: str | None) -> str | Mapping[str, Any] | None:
    """Tell what a target means: an address to connect to, or ``None`` for a held socket."""
    if port is not None:
        return {"host": target, "service": port}
    # Neither a number nor a name of a held socket has one of these.
    return target if target.startswith(("/", "@")) or ":" in target else None


def _connection(
    direct: Direct, target: str, address: str | Mapping[str, Any] | None, given: dict[str, Any]
) -> socket.socket:
    """Get the socket: made or accepted for us it is moved here, held already it is a duplicate."""
    ref, is_ours = target, False
    if address is not None:
        made = direct.ask("POST", "/v1/sockets", _spec(address, given)).json()
        ref, is_ours = str(made["fd"]), True
    elif direct.ask("GET", f"/v1/sockets/{target}").json()["state"] == "listening":
        accepted = direct.ask("POST", f"/v1/sockets/{target}/accept", {"timeout": given["timeout"]}).json()
        ref, is_ours = str(accepted["sockets"][0]["fd"]), True
    (fd,) = wanted.take(direct, [ref], blocking=False, release=is_ours)
    return socket.socket(fileno=fd)


def _through_api(
    session: Session, target: str, address: str | Mapping[str, Any] | None, given: dict[str, Any]
) -> None:
    with tidied():
        found, is_ours = _held(session, target, address, given)
        found.settimeout(None)
        try:
            _pump(found)
        finally:
            if is_ours:
                found.close()


def _held(
    session: Session, target: str, address: str | Mapping[str, Any] | None, given: dict[str, Any]
) -> tuple[Socket, bool]:
    """Get the socket; tell whether it was made or accepted for us."""
    if address is not None:
        return session.client.sockets.create(**_spec(address, given)), True
    found = session.socket(target, timeout_s=given["timeout"])
    if found.snapshot.state == "listening":
        return found.accept()[0], True
    return found, False


def _pump(found: Socket) -> None:
    """Copy by a tunnel; message by message where that keeps no bounds."""
    if found.snapshot.type != _STREAM:
        Pump(found).run()
        return
    with found.tunnel() as sock:
        Pump(TlsPeer(sock) if isinstance(sock, ssl.SSLSocket) else LocalPeer(sock)).run()


def _spec(address: str | Mapping[str, Any], given: dict[str, Any]) -> Any:
    return {"type": "dgram" if given["udp"] else "stream", "connect": address, "timeout": given["timeout"]}


def _hand_over(sock: socket.socket) -> None:
    """Send the descriptor over standard output, a socket that ssh reads with recvmsg."""
    try:
        with socket.socket(fileno=os.dup(_STDOUT)) as out:
            rights = array.array("i", [sock.fileno()])
            sock.setblocking(True)  # noqa: FBT003 - as ssh's own connect would leave it
            out.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    except OSError as error:
        raise CommandError(
            "standard output takes no descriptor", hint="this is for ssh -o ProxyUseFdpass=yes"
        ) from error
