"""``take`` and ``give``: descriptors out of the daemon, and into it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from socketd_client.activation import FIRST, UNNAMED
from socketd_client.cli import activation, wanted
from socketd_client.cli.completion import complete_reference
from socketd_client.cli.failures import CommandError
from socketd_client.cli.shape import Command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from socketd_client import Socket
    from socketd_client.cli.session import Session


@click.command("take", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--fd",
    "at",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    show_default=True,
    help="Where PROGRAM finds the socket.",
)
@click.option("--inetd", is_flag=True, help="As standard input and output, both.")
@click.option("--blocking", is_flag=True, help="Without O_NONBLOCK, as simple programs want it.")
@click.option("--release", is_flag=True, help="The daemon forgets its own: the socket ends with PROGRAM.")
@click.argument("ref", shell_complete=complete_reference)
@click.argument("program", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_obj
def take_command(session: Session, /, ref: str, program: tuple[str, ...], **given: Any) -> None:
    """Become PROGRAM, with one held socket as its standard input. For several, or LISTEN_FDS: exec --take.

    Examples:
      socketctl take --inetd --blocking "$(socketctl accept -q web)" -- cat
      socketctl take --fd 5 web -- program --listen-fd 5
      socketctl take --release --inetd 70 -- program

    Exit status: PROGRAM's own; 1 if the socket is refused, 126 or 127 if PROGRAM cannot be run or found.
    """
    # After REF, click takes -- for a word of the program's.
    program = program[1:] if program[0] == "--" else program
    if not program:
        raise click.UsageError("missing argument 'PROGRAM...'")
    path = activation.find_program(program[0])
    with session.direct() as direct:
        (fd,) = wanted.take(direct, [ref], blocking=given["blocking"], release=given["release"])
    started = activation.Program(program, path, ())
    started.execute_at([0, 1] if given["inetd"] else [given["at"]], fd, os.environ)


@click.command("give", cls=Command)
@click.option("--name", metavar="NAME", help="What it is called from now on.")
@click.option(
    "--fd", type=click.IntRange(min=0), metavar="N", help="A descriptor of this command, inherited."
)
@click.option(
    "--pid", type=click.IntRange(min=1), metavar="PID", help="With --fd N of that process; for root."
)
@click.option("--listen-fds", is_flag=True, help="All that came by LISTEN_FDS, with their LISTEN_FDNAMES.")
@click.option("--existing-ok", is_flag=True, help="A socket that is held already is no error.")
@click.option("--quiet", "-q", is_flag=True, help="Print numbers only.")
@click.pass_obj
def give_command(
    session: Session, /, name: str | None, fd: int | None, pid: int | None, **given: Any
) -> None:
    """Give sockets to the daemon, which holds them from then on; ours stay open, too.

    Examples:
      socketctl give --name web --fd 3 3<&"$SOCK"
      socketctl give --name web --pid 4242 --fd 6        out of a running process, unchanged
      systemd-socket-activate -l 8080 socketctl give --listen-fds
    """
    if given["listen_fds"]:
        if fd is not None or pid is not None or name is not None:
            raise click.UsageError("--listen-fds stands alone: names come from LISTEN_FDNAMES")
        held = _give_inherited(session, existing_ok=given["existing_ok"])
    elif fd is None:
        raise click.UsageError("nothing is given: --fd N, --pid PID --fd N, or --listen-fds")
    elif pid is not None:
        held = [session.client.give_from(pid, fd, name=name)]
    else:
        session.subject = name or f"descriptor {fd}"
        held = [session.client.give(fd, name=name, existing_ok=given["existing_ok"])]
    _print(held, quiet=given["quiet"])


def _give_inherited(session: Session, *, existing_ok: bool) -> list[Socket]:
    """Give what the service manager handed over.

    LISTEN_PID is not compared: who writes the option means these, and may be a script between the manager and
    us.
    """
    names = activation.inherited({**os.environ, "LISTEN_PID": str(os.getpid())}, os.getpid())
    if not names:
        raise CommandError("there is no LISTEN_FDS in the environment")
    fds = range(FIRST, FIRST + len(names))
    called = [None if name == UNNAMED else name for name in names]
    return session.client.give(*fds, names=called, existing_ok=existing_ok)


def _print(held: Iterable[Socket], *, quiet: bool) -> None:
    for one in held:
        words = [str(one.fd), *([one.name] if one.name else []), one.snapshot.state]
        click.echo(one.fd if quiet else "  ".join(words))
