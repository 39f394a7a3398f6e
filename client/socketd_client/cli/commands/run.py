"""``socketctl run``: run a program on held sockets, and replace it without dropping a connection."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import click

from socketd_client.cli.commands import activating
from socketd_client.cli.failures import complain
from socketd_client.cli.shape import Command
from socketd_client.cli.starting import obtained
from socketd_client.cli.supervising.notify import Outbox
from socketd_client.cli.supervising.policy import ALWAYS, NEVER, ON_FAILURE, Policy
from socketd_client.cli.supervising.supervisor import Supervisor

if TYPE_CHECKING:
    from socketd_client.cli.session import Session

SECONDS = click.FloatRange(min=0)


class SignalName(click.ParamType[Any]):
    """``TERM``, ``SIGTERM`` or 15."""

    name = "SIGNAL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> signal.Signals:
        """Look it up."""
        text = str(value).upper()
        try:
            return (
                signal.Signals(int(text))
                if text.isdigit()
                else signal.Signals[f"SIG{text.removeprefix('SIG')}"]
            )
        except (KeyError, ValueError):
            self.fail(f"{value!r} is no signal", param, ctx)


@click.command("run", cls=Command, context_settings=activating.CONTEXT)
@activating.sockets_and_program
@click.option(
    "--ready-delay",
    type=SECONDS,
    default=1.0,
    metavar="S",
    show_default=True,
    help="A program that did not say READY=1 and still runs after S seconds counts as ready.",
)
@click.option("--notify", is_flag=True, help="Only READY=1 counts, and has to come within --start-timeout.")
@click.option("--start-timeout", type=SECONDS, default=60.0, metavar="S", show_default=True)
@click.option(
    "--stop-timeout",
    type=SECONDS,
    default=30.0,
    metavar="S",
    show_default=True,
    help="From the stop signal to SIGKILL.",
)
@click.option(
    "--stop-signal",
    type=SignalName(),
    default="TERM",
    metavar="SIGNAL",
    show_default=True,
    help="Ends PROGRAM gracefully; QUIT for nginx, USR1 for haproxy.",
)
@click.option(
    "--restart", type=click.Choice([NEVER, ON_FAILURE, ALWAYS]), default=ON_FAILURE, show_default=True
)
@click.option(
    "--restart-delay",
    type=SECONDS,
    default=0.1,
    metavar="S",
    show_default=True,
    help="Doubled after each crash in a row.",
)
@click.option("--restart-delay-max", type=SECONDS, default=30.0, metavar="S", show_default=True)
@click.option(
    "--max-restarts", type=click.IntRange(min=0), metavar="N", help="Give up after N crashes in a row."
)
@click.option("--quiet", "-q", is_flag=True, help="Do not write a line about each start and end.")
@click.pass_obj
def run_command(session: Session, /, **given: Any) -> int:
    """Run PROGRAM with the named sockets, as exec does, and stay as its parent.

    SIGHUP replaces it: a second one is started on the same sockets, and when that is ready the first is told
    to end. If the second fails, the first goes on. SIGTERM, SIGINT and SIGQUIT are passed on and waited for.
    A program that crashes is started again; meanwhile connections wait in the socket's queue.

    Examples:
      socketctl run --listen web=:8080 -- gunicorn app:app      kill -HUP it to deploy
      socketctl run -l web=:8080 --ready-delay 0.5 -- uvicorn app:app --fd {fd:web}
      socketctl run -l web=:8080 --stop-signal QUIT -e 'NGINX={fd:web};' -- nginx -g 'daemon off;'
      ENTRYPOINT ["socketctl", "run", "--listen", "web=:8080", "--", "program"]

    In a systemd unit: Type=notify, ExecReload=kill -HUP $MAINPID (or Type=notify-reload),
    SuccessExitStatus=143. Exit status: PROGRAM's own, 128+n if signal n ended it; 1 if a socket is refused,
    126 or 127 if PROGRAM cannot be run or found.
    """
    program, sockets = activating.program_and_sockets(given)
    fds = obtained(session, given, sockets)
    log = _silent if given["quiet"] else complain
    return Supervisor(program, fds, _policy(given), Outbox(os.environ), log).run()


def _policy(given: dict[str, Any]) -> Policy:
    return Policy(
        ready_delay_s=None if given["notify"] else given["ready_delay"],
        start_timeout_s=given["start_timeout"],
        stop_timeout_s=given["stop_timeout"],
        stop_signal=given["stop_signal"],
        restart=given["restart"],
        restart_delay_s=given["restart_delay"],
        restart_delay_max_s=given["restart_delay_max"],
        max_restarts=given["max_restarts"],
    )


def _silent(line: str) -> None:
    """Write nothing."""
