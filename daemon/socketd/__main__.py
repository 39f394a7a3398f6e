"""The ``socketd`` command: serve, show the configuration, write the API's description."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import socketd
from socketd.runtime import config, reference
from socketd.runtime.settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = """\
examples:
  socketd serve                                  serve on a Unix socket of yours, and print four lines to try
  socketd serve --listen /tmp/api.sock           serve there
  socketd serve --tcp 127.0.0.1:8080             serve on loopback TCP too; prints the token it asks for
  SOCKETD_MAX_WAITS=100 socketd config           show what is in force, and where each value comes from
  socketd config --defaults > socketd.toml       write a commented configuration file
  socketd openapi --output openapi.yaml          write the API's description
"""
EXIT_FAILED = 1
EXIT_USAGE = 2  # what argparse exits with


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments, unknown = _parser().parse_known_args(argv)
    if unknown:
        close = config.suggest(unknown[0].partition("=")[0], [key.flag for key in KEYS])
        return _fail(f"unknown argument {unknown[0]}{close}", EXIT_USAGE)
    try:
        return int(arguments.run(arguments))
    except config.ConfigError as error:
        return _fail(error, EXIT_USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="socketd",
        description="Own sockets for other programs: the whole BSD socket life over REST.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the daemon in the foreground", allow_abbrev=False)
    serve.add_argument("--banner", action="store_true", help="print lines to try, even where nobody watches")
    _add_keys(serve)
    serve.set_defaults(run=_serve)
    show = commands.add_parser("config", help="show what is configured, and where", allow_abbrev=False)
    show.add_argument("--defaults", action="store_true", help="a commented configuration file instead")
    _add_keys(show)
    show.set_defaults(run=_config)
    openapi = commands.add_parser("openapi", help="write the API's description", allow_abbrev=False)
    target = openapi.add_mutually_exclusive_group()
    target.add_argument("--output", metavar="FILE", type=Path, help="write there instead of to stdout")
    target.add_argument(
        "--check", metavar="FILE", type=Path, help="fail unless FILE is what would be written"
    )
    openapi.set_defaults(run=_openapi)
    commands.add_parser("version", help="print the version").set_defaults(run=_version)
    return parser


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help=f"configuration file [{config.DEFAULT_FILE}]")
    group = parser.add_argument_group("configuration, stronger here than in the environment or the file")
    for key in KEYS:
        default = "" if key.default is None else f" [{key.kind.write(key.default)}]"
        text = (key.help + default).replace("%", "%%")
        group.add_argument(key.flag, dest=f"key_{key.name}", metavar=key.kind.placeholder, help=text)


def _configuration(arguments: argparse.Namespace) -> config.Configuration:
    given = {key.name: getattr(arguments, f"key_{key.name}") for key in KEYS}
    flags = {name: text for name, text in given.items() if text is not None}
    return config.load(flags, os.environ, arguments.config)


def _serve(arguments: argparse.Namespace) -> int:
    settings = _configuration(arguments).settings
    from socketd.runtime.endpoints import EndpointError  # noqa: PLC0415 - gunicorn and gevent, for this command
    from socketd.runtime.serve import serve  # noqa: PLC0415

    try:
        serve(settings, has_banner=arguments.banner or sys.stdout.isatty())
    except EndpointError as error:
        return _fail(error, EXIT_FAILED)
    return 0


def _config(arguments: argparse.Namespace) -> int:
    if arguments.defaults:
        print(reference.commented_file(), end="")
    else:
        print(reference.in_force(_configuration(arguments)), end="")
    return 0


def _openapi(arguments: argparse.Namespace) -> int:
    from socketd.web.spec import document_text  # noqa: PLC0415 - Flask, for this command alone

    text = document_text()
    try:
        if arguments.check is not None:
            if arguments.check.read_text(encoding="utf-8") == text:
                return 0
            return _fail(f"{arguments.check} is not what the schemas say; run `make openapi`", EXIT_FAILED)
        if arguments.output is not None:
            arguments.output.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
    except OSError as error:
        return _fail(error, EXIT_FAILED)
    return 0


def _version(_arguments: argparse.Namespace) -> int:
    print(f"socketd {socketd.__version__}")
    return 0


def _fail(error: object, status: int) -> int:
    print(f"socketd: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
