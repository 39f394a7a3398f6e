"""The command line's frame: global options, commands found by name, failures turned into exit statuses."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from socketd_client.cli import exits
from socketd_client.cli.catalogue import COMMANDS, SECTIONS
from socketd_client.cli.failures import complain, told
from socketd_client.cli.session import Session
from socketd_client.cli.shape import laid_out
from socketd_client.cli.signalled import interrupted, left_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOGUE: Final = """\
Examples:
  socketctl create --name web --listen 127.0.0.1:8080
  socketctl ls
  socketctl exec --listen web=0.0.0.0:8080 -- gunicorn app:app
  socketctl run --listen web=0.0.0.0:8080 -- gunicorn app:app
  ssh -o ProxyCommand='socketctl nc %h %p' host

Sockets are named, or meant by their descriptor number in the daemon.

Addresses and environment:
  127.0.0.1:80  [::1]:80  localhost:80  :80  /run/x.sock  @abstract  vsock:2:1234
  SOCKETD_URL, SOCKETD_TOKEN, SOCKETD_CA, SOCKETD_CERT, SOCKETD_KEY, NO_COLOR

Exit status: 0 done, 1 refused, 2 wrong usage, 124 the time is over, 126 and 127 as shells do
"""


class _EndedError(Exception):
    """The command was ended by Ctrl-C (SIGINT), or its reader has left (SIGPIPE)."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class Commands(click.Group):
    """The commands of the catalogue; one's module is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List them all, in the catalogue's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"socketd_client.cli.commands.{module}"), f"{cmd_name}_command")
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command meant, or name the nearest one."""
        wanted = args[0] if args else ""
        if wanted and wanted not in COMMANDS and not ctx.resilient_parsing and not wanted.startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

            close = get_close_matches(wanted, COMMANDS, 1)
            raise click.UsageError(
                f"no command {wanted!r}{f'; is {close[0]!r} meant?' if close else ''}", ctx
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command; keep two ends from click, which would print or exit with 1 for them."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _EndedError(signal.SIGINT) from error
        except BrokenPipeError as error:
            raise _EndedError(signal.SIGPIPE) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List them by section, from the catalogue."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def _show_version(ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001
    if is_wanted and not ctx.resilient_parsing:
        from socketd_client import __version__  # noqa: PLC0415 - importlib.metadata: 30 ms

        click.echo(f"socketctl {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings=CONTEXT, epilog=laid_out(EPILOGUE))
@click.option(
    "--url", envvar="SOCKETD_URL", metavar="URL", help="unix:///path, http://host:port or https://host"
)
@click.option("--token", envvar="SOCKETD_TOKEN", metavar="TOKEN", help="Over TCP; safer in the environment.")
@click.option("--ca", envvar="SOCKETD_CA", metavar="FILE", help="https: who vouches for the daemon.")
@click.option("--cert", envvar="SOCKETD_CERT", metavar="FILE", help="https: your certificate.")
@click.option("--key", envvar="SOCKETD_KEY", metavar="FILE", help="https: its key, if in another file.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def socketctl(ctx: click.Context, /, url: str | None, token: str | None, **files: str | None) -> None:
    """Own sockets through socketd, see them, talk through them, hand them to programs."""
    session = ctx.ensure_object(Session)
    session.choose(url or None, token or None)
    session.trust(*(files[name] or None for name in ("ca", "cert", "key")))
    ctx.with_resource(session)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status, quiet about Ctrl-C and a reader that has left."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return left_alone()
    except KeyboardInterrupt:
        return interrupted()
    return status


def _run(arguments: Sequence[str]) -> int:
    session = Session()
    try:
        result: Any = socketctl.main(list(arguments), "socketctl", standalone_mode=False, obj=session)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except _EndedError as error:
        return left_alone() if error.number == signal.SIGPIPE else interrupted()
    except click.Abort:
        return interrupted()
    except click.ClickException as error:
        complain(_usage_text(error), _usage_hint(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - told raises what is a fault of ours
        return told(error, session.subject)
    return result if isinstance(result, int) else exits.OK


def _usage_text(error: click.ClickException) -> str:
    text = error.format_message()
    return text[:1].lower() + text[1:].removesuffix(".")


def _usage_hint(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return None if context is None else f"{context.command_path} --help"
