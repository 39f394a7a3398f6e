"""``names``: what has a name, and what is made again after a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_name
from socketd_client.cli.shape import Group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.cli.session import Session

COLUMNS: Final = ("NAME", "FD", "PERSIST", "FAILURE", "RETRY", "OWNER")


@click.group("names", cls=Group)
def names_command() -> None:
    """List and delete names; a name may stand for a held socket, or for one that is made again at boot.

    Examples:
      socketctl ensure web --listen 0.0.0.0:8080 --persist boot
      socketctl names list
      socketctl names show web
      socketctl names delete web
    """


@names_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.option("--quiet", "-q", is_flag=True, help="Names only.")
@click.pass_obj
def list_command(session: Session, /, *, as_json: bool, quiet: bool) -> None:
    """List names, with what keeps a socket from being made again."""
    found = session.json("/v1/names")["names"]
    if as_json:
        output.print_json(found)
    elif quiet:
        for one in found:
            click.echo(one["name"])
    else:
        output.print_table(COLUMNS, [_row(one) for one in found])


@names_command.command("show")
@click.argument("name", shell_complete=complete_name)
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def show_command(session: Session, /, name: str, *, as_json: bool) -> None:
    """Show one name."""
    from urllib.parse import quote  # noqa: PLC0415 - only here

    session.subject = name
    found = session.json(f"/v1/names/{quote(name, safe='')}")
    if as_json:
        output.print_json(found)
    else:
        output.print_pairs(zip(map(str.lower, COLUMNS), (cell or None for cell in _row(found)), strict=True))


@names_command.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_name)
@click.pass_obj
def delete_command(session: Session, /, names: tuple[str, ...]) -> None:
    """Close the sockets if they are held, and do not make them again; stops at the first that fails."""
    for name in names:
        session.subject = name
        session.client.names.delete(name)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    failure, owner = one.get("failure") or {}, one.get("owner") or {}
    return (
        one["name"],
        "" if one.get("socket") is None else str(one["socket"]),
        one.get("persist") or "",
        str(failure.get("errno") or failure.get("title") or ""),
        str(one.get("retry_at") or ""),
        output.owner_text(owner),
    )
