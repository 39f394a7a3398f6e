"""The man page, written from the commands themselves: ``python -m socketd_client.cli.manual``.

Source: man-pages(7), groff_man(7).
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Final

import click

from socketd_client.cli.app import socketctl
from socketd_client.cli.catalogue import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD: Final = r""".\" Written by python -m socketd_client.cli.manual; change the commands, not this file.
.TH SOCKETCTL 1 "" socketd "User Commands"
.SH NAME
socketctl \- see, use and hand over the sockets that socketd holds
.SH SYNOPSIS
.B socketctl
.RI [ options ]
.I command
.RI [ arguments ]
.SH DESCRIPTION
.B socketctl
asks
.BR socketd ,
the daemon that owns sockets for other programs.
A held socket is meant by its name, or by its descriptor number in the daemon.
Addresses are written as systemd does:
127.0.0.1:80, [::1]:80, localhost:80, :80 (every address), /run/x.sock, @abstract, vsock:2:1234.
"""

TAIL: Final = r""".SH EXIT STATUS
.TP
0
It is done.
.TP
1
The daemon or the kernel refused, or no daemon answered.
.TP
2
The command line is wrong.
.TP
124
The time given by
.B \-\-timeout
is over.
.TP
126, 127
The program cannot be run; there is no such program.
.TP
128+n
Signal n ended it; of
.BR run ,
signal n ended the program.
.PP
.B exec
and
.B take
become the program, so its status is theirs.
.SH ENVIRONMENT
.TP
.B SOCKETD_URL
Where the daemon is, as
.BR \-\-url .
Without either: this user's daemon if one runs, else unix:///run/socketd/api.sock.
.TP
.B SOCKETD_TOKEN
The token that a daemon wants over TCP.
.TP
.BR SOCKETD_CA ,\  SOCKETD_CERT ,\  SOCKETD_KEY
Files for https, as
.BR \-\-ca ,
.B \-\-cert
and
.BR \-\-key .
.TP
.B NO_COLOR
If it is set and not empty, no colours are used on a terminal.
.SH SEE ALSO
.BR sd_listen_fds (3),
.BR sd_notify (3),
.BR systemd\-socket\-activate (1),
.BR socket (7),
.BR unix (7)
"""


def manual() -> str:
    """Write the page in roff."""
    context = click.Context(socketctl, info_name="socketctl")
    lines = [HEAD.rstrip("\n"), ".SH OPTIONS", *_options(socketctl)]
    for section, names in SECTIONS.items():
        lines.append(f".SH {_escaped(section).upper()}")
        for name in names:
            command = socketctl.get_command(context, name)
            if command is not None:
                lines += _command(name, command)
    return "\n".join([*lines, TAIL])


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    words = " ".join(f"\\fI{_escaped(_shown(one))}\\fR" for one in arguments)
    has_options = any(isinstance(param, click.Option) for param in command.params)
    if isinstance(command, click.Group):
        words = "\\fIcommand\\fR"
    options = " [\\fIoptions\\fR]" if has_options else ""
    yield f".SS {_escaped(name)}{options} {words}".rstrip()
    yield from _text(command.help or "")
    yield from _options(command)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _command(f"{name} {below.name}", below)


def _text(text: str) -> Iterator[str]:
    """Write paragraphs; those that are laid out by hand stay so."""
    for nth, part in enumerate(inspect.cleandoc(text).split("\n\n")):
        if nth:
            yield ".PP"
        first, *rest = part.removeprefix("\b\n").split("\n")
        if part.startswith("\b\n"):
            yield from (_line(first), ".nf", *map(_line, rest), ".fi")
        else:
            yield from map(_line, (first, *rest))


def _options(command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in param.opts)
            value = "" if param.is_flag else f" \\fI{_escaped(_shown(param))}\\fR"
            yield from (".TP", names + value, _line(_help(param)))


def _help(option: click.Option) -> str:
    text = option.help or ""
    is_told = option.show_default and option.default is not None and not option.is_flag
    return f"{text} [default: {_value(option.default)}]".strip() if is_told else text


def _shown(param: click.Parameter) -> str:
    """Name a parameter's value."""
    if param.metavar:
        return param.metavar
    if isinstance(param.type, click.Choice):
        return "|".join(map(str, param.type.choices))
    name = (param.name or "") if isinstance(param, click.Argument) else param.type.name
    shown = name.upper().removesuffix(" RANGE")
    return f"{shown}..." if param.nargs == -1 else shown


def _value(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _line(text: str) -> str:
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")


def main(arguments: Sequence[str]) -> int:
    """Print the page."""
    if arguments:
        sys.stderr.write("usage: python -m socketd_client.cli.manual > docs/man/socketctl.1\n")
        return 2
    sys.stdout.write(manual())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
