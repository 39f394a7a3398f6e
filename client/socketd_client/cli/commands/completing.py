"""``completion``: the script that makes a shell complete commands, options and socket names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from socketd_client.cli.failures import CommandError
from socketd_client.cli.shape import Command

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script of a shell.

    Examples:
      eval "$(socketctl completion bash)"                              in ~/.bashrc
      socketctl completion zsh > ~/.zfunc/_socketctl
      socketctl completion fish > ~/.config/fish/completions/socketctl.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise CommandError(f"this version of click knows no {shell}")
    click.echo(found(ctx.find_root().command, {}, "socketctl", "_SOCKETCTL_COMPLETE").source())
