"""``accept``, ``connect``, ``send`` and ``recv``: a socket's calls, one each."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from socketd_client import Socket
    from socketd_client.cli.session import Session

_CHUNK: Final = 1 << 20
_FLAGS: Final = {"peek": socket.MSG_PEEK, "oob": socket.MSG_OOB}

timeout_option = click.option(
    "--timeout",
    "-t",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Then exit with 124; without it, wait for ever.",
)
reference_argument = click.argument("ref", shell_complete=complete_reference)


@click.command("accept", cls=Command)
@reference_argument
@timeout_option
@click.option("--quiet", "-q", is_flag=True, help="Print the new socket's number only.")
@click.option("--json", "as_json", is_flag=True, help="Print it as the API writes it.")
@click.pass_obj
def accept_command(
    session: Session, /, ref: str, timeout: float | None, *, quiet: bool, as_json: bool
) -> None:
    """Wait for a connection to a listener; print the new held socket and its peer.

    Examples:
      socketctl accept web --timeout 30
      conn=$(socketctl accept -q web) && socketctl nc "$conn"
    """
    accepted, _ = session.socket(ref, timeout_s=timeout).accept()
    if as_json:
        output.print_json(session.json(f"/v1/sockets/{accepted.fd}"))
    else:
        peer = accepted.snapshot.peer
        click.echo(accepted.fd if quiet else f"{accepted.fd}  {peer or '-'}")


@click.command("connect", cls=Command)
@reference_argument
@click.argument("address")
@timeout_option
@click.pass_obj
def connect_command(session: Session, /, ref: str, address: str, timeout: float | None) -> None:
    """Connect a held socket to ADDRESS; create --connect makes a new one.

    Examples:
      socketctl connect 70 127.0.0.1:80 --timeout 5
      socketctl connect client /run/x.sock
    """
    from socketd_client.addresses import Address  # noqa: PLC0415 - the SDK, only where it is used

    session.socket(ref, timeout_s=timeout).connect(Address(text=address))


@click.command("send", cls=Command)
@reference_argument
@click.argument("text", required=False)
@timeout_option
@click.option("--to", metavar="ADDRESS", help="Where a datagram goes.")
@click.option("--oob", is_flag=True, help="MSG_OOB.")
@click.option("--end", is_flag=True, help="Shut the sending side afterwards: the peer reads an end.")
@click.pass_obj
def send_command(session: Session, /, ref: str, text: str | None, **given: Any) -> None:
    """Send TEXT as it is, or standard input: a stream until its end, a datagram whole.

    Examples:
      socketctl send 70 hello
      socketctl send 70 --end < request
      socketctl send dns --to 127.0.0.1:5353 ping
    """
    found = session.socket(ref, timeout_s=given["timeout"])
    if text is not None:
        _send(found, text.encode(), given)
    elif found.type == socket.SOCK_STREAM:
        while piece := os.read(sys.stdin.fileno(), _CHUNK):
            _send(found, piece, given)
    else:
        _send(found, sys.stdin.buffer.read(), given)
    if given["end"]:
        found.shutdown(socket.SHUT_WR)


@click.command("recv", cls=Command)
@reference_argument
@timeout_option
@click.option("--size", "-s", type=click.IntRange(min=1), default=65536, metavar="BYTES", show_default=True)
@click.option("--all", "until_end", is_flag=True, help="Until the peer ends; a time is then for each piece.")
@click.option("--peek", is_flag=True, help="MSG_PEEK: leave it there.")
@click.option("--oob", is_flag=True, help="MSG_OOB.")
@click.option("--from", "with_sender", is_flag=True, help="Say on stderr who sent a datagram.")
@click.pass_obj
def recv_command(session: Session, /, ref: str, **given: Any) -> None:
    """Receive what is there, waiting for the first byte; nothing is printed at the peer's end.

    Examples:
      socketctl recv 70 --timeout 5
      socketctl recv 70 --all > page
      socketctl recv dns --from
    """
    found = session.socket(ref, timeout_s=given["timeout"])
    flags = sum(bit for name, bit in _FLAGS.items() if given[name])
    while True:
        data, sender = found.recvfrom(given["size"], flags)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        if given["with_sender"] and sender is not None:
            click.echo(_shown(sender), err=True)
        if not given["until_end"] or not data:
            return


def _send(found: Socket, data: bytes, given: dict[str, Any]) -> None:
    flags = socket.MSG_OOB if given["oob"] else 0
    if given["to"] is None:
        found.sendall(data, flags)
    else:
        from socketd_client.addresses import Address  # noqa: PLC0415 - as above

        found.sendto(data, flags, Address(text=given["to"]))


def _shown(sender: object) -> str:
    if isinstance(sender, tuple):
        host, port = str(sender[0]), sender[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        sender.decode("utf-8", "replace").replace("\0", "@", 1) if isinstance(sender, bytes) else str(sender)
    )
