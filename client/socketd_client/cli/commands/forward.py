"""``forward`` and ``forwards``: sockets joined inside the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_forward, complete_reference
from socketd_client.cli.failures import CommandError
from socketd_client.cli.shape import Command, Group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from socketd_client.cli.session import Session
    from socketd_client.forwards import Forward

COLUMNS: Final = ("ID", "STATE", "FIRST", "SECOND", "TO FIRST", "TO SECOND", "LOST", "ERROR", "OWNER")
_ENDS: Final = click.Choice(("keep", "close"))

id_argument = click.argument("id", shell_complete=complete_forward)
json_option = click.option("--json", "as_json", is_flag=True, help="As the API writes it.")


@click.command("forward", cls=Command)
@click.argument("first", shell_complete=complete_reference)
@click.argument("second", shell_complete=complete_reference)
@click.option("--on-end", type=_ENDS, default="keep", help="close: close both sockets when it has ended.")
@click.option("--detach", "-d", is_flag=True, help="Print its id and leave it running.")
@json_option
@click.pass_obj
def forward_command(
    session: Session, /, first: str, second: str, on_end: Any, *, detach: bool, as_json: bool
) -> None:
    """Join two connected stream sockets inside the daemon, and wait until both have come to their end.

    Ctrl-C stops it; what was taken from one socket by then is still delivered to the other.

    Examples:
      socketctl forward 70 backend --on-end close
      id=$(socketctl forward -d 70 71) && socketctl forwards stop "$id"
    """
    session.subject = f"{first} and {second}"
    forward = session.client.forwards.create(first, second, on_end=on_end)
    if not detach:
        try:
            click.echo(f"forward {forward.id} joins {first} and {second}", err=True)
            forward.wait()
        except KeyboardInterrupt:
            forward.stop()
            click.echo(_line(_raw(session, forward.id)), err=True)
            raise
    elif not as_json:
        click.echo(forward.id)
        return
    _tell(_raw(session, forward.id), as_json=as_json)
    _require_whole(forward)


@click.group("forwards", cls=Group)
def forwards_command() -> None:
    """List, show and stop forwards; one that has ended is listed for ten minutes.

    Examples:
      socketctl forward -d 70 71
      socketctl forwards list
      socketctl forwards stop 5f2e8a01c4d7
    """


@forwards_command.command("list")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Only the ids of those that run.")
@click.pass_obj
def list_command(session: Session, /, *, as_json: bool, quiet: bool) -> None:
    """List forwards; root sees everybody's."""
    found = session.json("/v1/forwards")["forwards"]
    if as_json:
        output.print_json(found)
    elif quiet:
        for one in found:
            if one["state"] == "running":
                click.echo(one["id"])
    else:
        output.print_table(COLUMNS, [_row(one) for one in found])


@forwards_command.command("show")
@id_argument
@json_option
@click.pass_obj
def show_command(session: Session, /, id: str, *, as_json: bool) -> None:  # noqa: A002 - as it is typed
    """Show one forward."""
    session.subject = id
    found = _raw(session, id)
    if as_json:
        output.print_json(found)
    else:
        output.print_pairs(zip(map(str.lower, COLUMNS), (cell or None for cell in _row(found)), strict=True))


@forwards_command.command("stop")
@click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_forward)
@click.option(
    "--timeout",
    "-t",
    type=click.FloatRange(min=0),
    default=5.0,
    metavar="S",
    show_default=True,
    help="For what was taken to be delivered.",
)
@json_option
@click.pass_obj
def stop_command(session: Session, /, ids: tuple[str, ...], timeout: float, *, as_json: bool) -> None:
    """Stop forwards; their sockets stay, unless they were to be closed. Stops at the first that fails."""
    for one in ids:
        session.subject = one
        forward = session.client.forwards.get(one)
        forward.stop(timeout)
        _tell(_raw(session, one), as_json=as_json)
        _require_whole(forward)


def _raw(session: Session, identifier: str) -> dict[str, Any]:
    from urllib.parse import quote  # noqa: PLC0415 - only here

    found: dict[str, Any] = session.json(f"/v1/forwards/{quote(identifier, safe='')}")
    return found


def _tell(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
    else:
        click.echo(_line(found))


def _require_whole(forward: Forward) -> None:
    """Fail if bytes were lost, or an error has ended it.

    Raises:
        CommandError: Says which.
    """
    ended = forward.snapshot
    lost = ended.undelivered_bytes
    if lost.to_first or lost.to_second:
        raise CommandError(
            f"forward {ended.id}: {lost.to_first} bytes to {ended.sockets[0]} and {lost.to_second} bytes to "
            f"{ended.sockets[1]} were taken and not delivered",
            hint=None if ended.error is None else ended.error.title,
        )
    if ended.error is not None:
        raise CommandError(f"forward {ended.id}: {ended.error.detail}", hint=ended.error.hint)


def _line(found: Mapping[str, Any]) -> str:
    (first, second), moved = found["sockets"], found["moved_bytes"]
    return (
        f"{found['id']}  {found['state']}  {first}->{second} {moved['to_second']} bytes  "
        f"{second}->{first} {moved['to_first']} bytes"
    )


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    (first, second), moved, lost = one["sockets"], one["moved_bytes"], one["undelivered_bytes"]
    error, owner = one.get("error") or {}, one.get("owner") or {}
    return (
        one["id"],
        one["state"],
        str(first),
        str(second),
        str(moved["to_first"]),
        str(moved["to_second"]),
        str(sum(lost.values()) or ""),
        str(error.get("errno") or error.get("title") or ""),
        output.owner_text(owner),
    )
