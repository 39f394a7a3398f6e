"""``ls``, ``show`` and ``fds``: what there is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from socketd_client.cli.session import Session

COLUMNS: Final = ("FD", "NAME", "STATE", "FAMILY", "TYPE", "LOCAL", "PEER", "QUEUE", "OWNER", "TAKEN")
WIDE: Final = (*COLUMNS, "KEPT", "PERSIST")
FILTERS: Final = ("state", "family", "type", "name", "port", "owner")
_PAGE: Final = 1000


@click.command("ls", cls=Command)
@click.option("--state", metavar="STATE", help="listening, connected, bound, …")
@click.option("--family", metavar="FAMILY", help="inet, inet6, unix, …")
@click.option("--type", metavar="TYPE", help="stream, dgram, …")
@click.option("--name", metavar="NAME", shell_complete=complete_reference)
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="The local one.")
@click.option("--owner", type=int, metavar="UID")
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.option("--quiet", "-q", is_flag=True, help="Only names, or numbers where there is no name.")
@click.option("--wide", "-W", is_flag=True, help="Also who has it, and what is made again at boot.")
@click.option("--watch", "-w", is_flag=True, help="Draw it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    metavar="S",
    show_default=True,
    help="With --watch.",
)
@click.pass_obj
def ls_command(session: Session, /, **given: Any) -> None:
    """List held sockets; root sees everybody's.

    Examples:
      socketctl ls
      socketctl ls --state listening --watch
      socketctl ls --json | jq -r '.[].local.text'
      socketctl ls -q --state closed | xargs -r socketctl close
    """
    query = {name: given[name] for name in FILTERS if given[name] is not None}
    if given["watch"]:
        _watch(session, query, given["interval"], is_wide=given["wide"])
        return
    found = _all(session, query)
    if given["as_json"]:
        output.print_json(found)
    elif given["quiet"]:
        for one in found:
            click.echo(one.get("name") or one["fd"])
    else:
        output.print_table(*_table(found, is_wide=given["wide"]))


@click.command("show", cls=Command)
@click.argument("ref", shell_complete=complete_reference)
@click.option("--json", "as_json", is_flag=True, help="As the API writes it: {socket, info}.")
@click.pass_obj
def show_command(session: Session, /, ref: str, *, as_json: bool) -> None:
    """Show a socket, and what the kernel knows: queues, memory, TCP_INFO.

    Examples:
      socketctl show web
      socketctl show 64 --json | jq .info.tcp_info.rtt_us
    """
    from urllib.parse import quote  # noqa: PLC0415 - only here

    path = f"/v1/sockets/{quote(ref, safe='')}"
    found, info = session.json(path), session.json(f"{path}/info")
    if as_json:
        output.print_json({"socket": found, "info": info})
        return
    output.print_pairs(_flat({**found, **info}))


@click.command("fds", cls=Command)
@click.argument("fd", type=click.IntRange(min=0), required=False)
@click.option("--json", "as_json", is_flag=True, help="As the API writes it.")
@click.pass_obj
def fds_command(session: Session, /, fd: int | None, *, as_json: bool) -> None:
    """Draw the daemon's descriptor table, or print one descriptor's fdinfo.

    Examples:
      socketctl fds
      socketctl fds 64
    """
    if as_json:
        output.print_json(session.json("/v1/process/fds" if fd is None else f"/v1/process/fds/{fd}"))
    elif fd is None:
        click.echo(session.client.process.tree().rstrip("\n"))
    else:
        detail = session.client.process.descriptor(fd)
        click.echo(f"{detail.link}\n{detail.text}".rstrip("\n"))


def _all(session: Session, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {**query, "limit": _PAGE}
    while True:
        page = session.json("/v1/sockets", asked)
        found += page["sockets"]
        if not page.get("next_cursor"):
            return found
        asked["cursor"] = page["next_cursor"]


def _watch(session: Session, query: Mapping[str, Any], interval_s: float, *, is_wide: bool) -> None:
    if not sys.stdout.isatty():
        while True:
            click.echo(output.plain_table(*_table(_all(session, query), is_wide=is_wide)) + "\n")
            sys.stdout.flush()
            time.sleep(interval_s)
    from rich.live import Live  # noqa: PLC0415 - only for a terminal

    with Live(console=output.console(), auto_refresh=False, screen=True) as live:
        while True:
            table = _table(_all(session, query), is_wide=is_wide)
            live.update(output.rich_table(*table), refresh=True)
            time.sleep(interval_s)


def _table(
    found: Sequence[Mapping[str, Any]], *, is_wide: bool
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give the columns and the rows."""
    if not is_wide:
        return COLUMNS, [_row(one) for one in found]
    return WIDE, [(*_row(one), str(one.get("kept") or ""), one.get("persist") or "") for one in found]


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    listening, owner = one.get("listening"), one.get("owner") or {}
    queue = "" if listening is None else f"{listening.get('pending')}/{listening.get('backlog')}"
    return (
        str(one["fd"]),
        one.get("name") or "",
        one["state"],
        one["family"],
        one["type"],
        _address(one.get("local")),
        _address(one.get("peer")),
        queue,
        output.owner_text(owner),
        str(one.get("taken") or ""),
    )


def _address(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else str(found.get("text") or "")


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Write nested members as ``owner.user``; addresses as their text."""
    rows: list[tuple[str, object]] = []
    for name, member in value.items():
        if isinstance(member, dict) and "text" in member and "family" in member:
            rows.append((prefix + name, member["text"]))
        elif isinstance(member, dict):
            rows += _flat(member, f"{prefix}{name}.")
        elif isinstance(member, list):
            rows.append((prefix + name, " ".join(map(str, member)) or None))
        else:
            rows.append((prefix + name, _word(member)))
    return rows


def _word(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value
