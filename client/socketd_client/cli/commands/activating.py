"""The options that ``exec`` and ``run`` share: which sockets, which program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from socketd_client.activation import FIRST
from socketd_client.cli import activation
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.wanted import Wanted, listening, named, obtain

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client.cli.session import Session

Function = TypeVar("Function", bound="Callable[..., Any]")

BACKLOG: Final = 4096  # the kernel caps it at net.core.somaxconn
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


def wanted_sockets(given: dict[str, Any]) -> list[Wanted]:
    """Collect the sockets that the options name, in the order: listen, udp, seqpacket, take.

    Raises:
        click.UsageError: One is named twice; or none, and none was handed to us either.
    """
    backlog = given["backlog"]
    found = [Wanted(name, listening(address, backlog)) for name, address in given["listen"]]
    found += [Wanted(name, {"type": "dgram", "bind": address}) for name, address in given["udp"]]
    found += [Wanted(name, listening(address, backlog, "seqpacket")) for name, address in given["seqpacket"]]
    found += [Wanted(ref) for ref in given["take"]]
    refs = [one.ref for one in found]
    for ref in refs:
        if refs.count(ref) > 1:
            raise click.UsageError(f"socket {ref!r} is named twice")
    if not found and not inherited():
        raise click.UsageError("no socket is named: give --listen NAME=ADDRESS, --udp or --take")
    return found


def program(given: dict[str, Any], wanted: list[Wanted]) -> activation.Program:
    """Read the program and its arguments, before anything is asked of the daemon."""
    names = [*inherited(), *(one.name for one in wanted)]
    try:
        return activation.Program.of(given["program"], names, given["env"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def obtained(session: Session, given: dict[str, Any], wanted: list[Wanted]) -> list[int]:
    """Ensure and take the sockets; those that were handed to us come first, where they are.

    The others have close-on-exec, and are the caller's.
    """
    fds = list(range(FIRST, FIRST + len(inherited())))
    if wanted:
        with session.direct() as direct:
            fds += obtain(direct, wanted, blocking=given["blocking"])
    return fds


def inherited() -> tuple[str, ...]:
    """Name the sockets that whoever started this command handed to it."""
    return tuple(activation.inherited(os.environ, os.getpid()))
