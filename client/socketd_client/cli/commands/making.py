"""``create``, ``ensure`` and ``close``: the beginning and the end of held sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from socketd_client.cli import output
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.shape import Command
from socketd_client.cli.values import option_value
from socketd_client.cli.wanted import listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client import Socket
    from socketd_client.cli.session import Session

PERSIST: Final = {"boot": "boot", "no": False}

Function = TypeVar("Function", bound="Callable[..., Any]")


def specification(function: Function) -> Function:
    """Add the options that say what a socket shall be."""
    options = (
        click.option("--listen", metavar="ADDRESS", help="Bind there and listen."),
        click.option("--bind", metavar="ADDRESS", help="Bind there, and do not listen."),
        click.option("--connect", metavar="ADDRESS", help="Connect to it."),
        click.option("--family", metavar="FAMILY", help="inet, inet6, unix, …; mostly the address tells."),
        click.option("--type", metavar="TYPE", help="stream (if nothing is said), dgram, seqpacket, raw."),
        click.option("--udp", is_flag=True, help="The same as --type dgram."),
        click.option("--protocol", metavar="PROTOCOL", help="tcp, mptcp, udplite, icmp, …"),
        click.option("--backlog", type=click.IntRange(0, 65535), default=4096, show_default=True),
        click.option(
            "--option",
            "-o",
            multiple=True,
            metavar="NAME=VALUE",
            help="Set before binding, as SO_RCVBUF=65536.",
        ),
        click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="For --connect."),
        click.option(
            "--persist",
            type=click.Choice(list(PERSIST)),
            help="Make it again after a reboot, or not any more; needs a name.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print it as the API writes it."),
        click.option("--quiet", "-q", is_flag=True, help="Print its number only."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("create", cls=Command)
@click.option("--name", metavar="NAME", help="Unique; stands for the number everywhere.")
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="So many alike, or none; NAME.0, NAME.1, …"
)
@specification
@click.pass_obj
def create_command(session: Session, /, name: str | None, count: int | None, **given: Any) -> None:
    """Create a socket and, if asked, bind it, make it listen or connect it.

    Examples:
      socketctl create --name web --listen 127.0.0.1:8080
      socketctl create --udp --bind 127.0.0.1:5353
      fd=$(socketctl create -q --connect example.org:80 --timeout 5)
      socketctl create --name pool --count 10 --listen 127.0.0.1:0
    """
    spec = _spec(given)
    session.subject = name
    if count is None:
        made = [session.client.sockets.create(name=name, **spec)]
    else:
        made = session.client.sockets.create_many(count, name=name, **spec)
    _print(session, made, given)


@click.command("ensure", cls=Command)
@click.argument("name")
@specification
@click.pass_obj
def ensure_command(session: Session, /, name: str, **given: Any) -> None:
    """Make sure that a socket of this NAME exists, and is as specified: made now, or there already.

    Examples:
      socketctl ensure web --listen 0.0.0.0:8080
      socketctl ensure web --listen 0.0.0.0:8080 --persist boot
      socketctl ensure dns --udp --bind 127.0.0.1:5353
    """
    session.subject = name
    _print(session, [session.client.sockets.ensure(name, **_spec(given))], given)


@click.command("close", cls=Command)
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=complete_reference)
@click.option("--shutdown", is_flag=True, help="For everybody who has taken it, too.")
@click.pass_obj
def close_command(session: Session, /, refs: tuple[str, ...], *, shutdown: bool) -> None:
    """Close sockets, by name or number; stops at the first that cannot be.

    Examples:
      socketctl close web
      socketctl close --shutdown 70 71
    """
    for ref in refs:
        found = session.socket(ref)
        if shutdown:
            _shut(found)
        found.close()


def _shut(found: Socket) -> None:
    """End it for every holder; one that is not connected has nothing to end."""
    import socket  # noqa: PLC0415 - only here
    from errno import ENOTCONN  # noqa: PLC0415

    try:
        found.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno != ENOTCONN:
            raise


def _spec(given: dict[str, Any]) -> dict[str, Any]:
    if given["listen"] and given["bind"]:
        raise click.UsageError("--listen binds too: give one of --listen and --bind")
    options = dict(option_value(text) for text in given["option"])
    kind = "dgram" if given["udp"] else given["type"]
    spec: dict[str, Any] = {"type": kind}
    if given["listen"]:
        spec = listening(given["listen"], given["backlog"], kind)
        options = {**spec.get("options", {}), **options}
    wanted = {
        name: given[name]
        for name in ("bind", "connect", "family", "protocol", "timeout")
        if given[name] is not None
    }
    spec = {**spec, **wanted, "options": options or None, "persist": PERSIST.get(given["persist"])}
    return {name: value for name, value in spec.items() if value is not None}


def _print(session: Session, made: list[Socket], given: dict[str, Any]) -> None:
    if given["as_json"]:
        documents = [session.json(f"/v1/sockets/{one.fd}") for one in made]
        output.print_json(documents[0] if len(documents) == 1 else documents)
        return
    for one in made:
        shot = one.snapshot
        places = [str(place) for place in (shot.local, shot.peer) if place]
        words = [str(one.fd), *([shot.name] if shot.name else []), shot.state, *places]
        click.echo(one.fd if given["quiet"] else "  ".join(words))
