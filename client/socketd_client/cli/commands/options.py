"""``options``: list, get and set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.shape import Group
from socketd_client.cli.values import parsed

if TYPE_CHECKING:
    from socketd_client import SocketOption
    from socketd_client.cli.session import Session


@click.group("options", cls=Group)
def options_command() -> None:
    """List, get and set socket options, by name.

    Examples:
      socketctl options list web
      socketctl options get web SO_RCVBUF
      socketctl options set web SO_KEEPALIVE on
      socketctl options set 70 SO_LINGER '{"onoff": true, "linger_s": 5}'
    """


@options_command.command("list")
@click.argument("ref", shell_complete=complete_reference)
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def list_command(session: Session, /, ref: str, *, as_json: bool) -> None:
    """List every option that this kind of socket has."""
    found = session.socket(ref)
    if as_json:
        output.print_json(session.json(f"/v1/sockets/{found.fd}/options")["options"])
        return
    rows = [(one.name, one.type, "rw" if one.writable else "r", _shown(one)) for one in found.options()]
    output.print_table(("NAME", "TYPE", "ACCESS", "VALUE"), rows)


@options_command.command("get")
@click.argument("ref", shell_complete=complete_reference)
@click.argument("name")
@click.pass_obj
def get_command(session: Session, /, ref: str, name: str) -> None:
    """Print one option's value."""
    click.echo(_shown(session.socket(ref).option(name)))


@options_command.command("set")
@click.argument("ref", shell_complete=complete_reference)
@click.argument("name")
@click.argument("value")
@click.pass_obj
def set_command(session: Session, /, ref: str, name: str, value: str) -> None:
    """Set an option; print what the kernel made of it."""
    click.echo(_shown(session.socket(ref).set_option(name, parsed(value))))


def _shown(option: SocketOption) -> str:
    value: Any = option.base64 if option.value is None else option.value
    if isinstance(value, bool):
        return "on" if value else "off"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
