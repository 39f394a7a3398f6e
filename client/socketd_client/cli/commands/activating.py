"""The options that ``exec`` and ``run`` share: which sockets, which program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from socketd_client.cli.completion import complete_reference
from socketd_client.cli.starting import BACKLOG, program, wanted_sockets
from socketd_client.cli.wanted import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client.cli.activation import Program
    from socketd_client.cli.wanted import Wanted

Function = TypeVar("Function", bound="Callable[..., Any]")

CONTEXT: Final = {"ignore_unknown_options": False, "allow_interspersed_args": False}


class NamedAddress(click.ParamType[Any]):
    """``NAME=ADDRESS``; the address is the daemon's to judge."""

    name = "NAME=ADDRESS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        try:
            return named(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def sockets_and_program(function: Function) -> Function:
    """Add the options."""
    pair = NamedAddress()
    options = (
        click.option("--listen", "-l", multiple=True, type=pair, help="Stream socket that listens."),
        click.option("--udp", "--dgram", multiple=True, type=pair, help="Bound datagram socket."),
        click.option("--seqpacket", multiple=True, type=pair, help="SOCK_SEQPACKET socket that listens."),
        click.option(
            "--take",
            multiple=True,
            metavar="REF",
            shell_complete=complete_reference,
            help="Held socket that is there already.",
        ),
        click.option("--backlog", type=click.IntRange(0, 65535), default=BACKLOG, help="Of those made now."),
        click.option(
            "--blocking",
            is_flag=True,
            help="Without O_NONBLOCK; the daemon then accepts none of their connections itself.",
        ),
        click.option(
            "--env", "-e", multiple=True, metavar="NAME=VALUE", help="For the program; {fd:NAME} replaced."
        ),
        click.argument("program", nargs=-1, type=click.UNPROCESSED, required=True),
    )
    for option in reversed(options):
        function = option(function)
    return function


def program_and_sockets(given: dict[str, Any]) -> tuple[Program, list[Wanted]]:
    """Read the program, its arguments and its sockets, before anything is asked of the daemon.

    Raises:
        click.UsageError: They contradict each other.
        CommandError: There is no such program.
    """
    try:
        sockets = wanted_sockets(given)
        return program(given, sockets), sockets
    except ValueError as error:
        raise click.UsageError(str(error)) from error
