"""The ``socketd`` command: run, serve, keep, show configuration and policy, write the API's description."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import socketd
from socketd.runtime import config, logs, policy_command, reference, token_command
from socketd.runtime.endpoints import EndpointError
from socketd.runtime.settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd.runtime.settings import Key, Settings

EXAMPLES = """\
examples:
  socketd run                                    serve on a Unix socket of yours; what dies is started again,
                                                 and no socket is lost
  socketd serve                                  the daemon alone: held sockets end with it
  socketd serve --listen /tmp/api.sock           serve there
  socketd serve --tcp 127.0.0.1:8080             serve on loopback TCP too; prints the token it asks for
  SOCKETD_MAX_WAITS=100 socketd config           show what is in force, and where each value comes from
  socketd config --defaults > socketd.toml       write a commented configuration file
  socketd token ci --append tokens.toml          make a token for a TCP caller
  socketd policy check --user ann bind :80       ask whether somebody may do something, and why
  socketd openapi --output openapi.yaml          write the API's description
"""
KEYS_OF_KEEP = frozenset({"keeper", "log_level"})
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
    _add_run(commands.add_parser("run", help="run daemon and keeper, and see to both", allow_abbrev=False))
    _add_serve(commands.add_parser("serve", help="run the daemon in the foreground", allow_abbrev=False))
    _add_keep(commands.add_parser("keep", help="hold a second copy of every socket", allow_abbrev=False))
    show = commands.add_parser("config", help="show what is configured, and where", allow_abbrev=False)
    show.add_argument("--defaults", action="store_true", help="a commented configuration file instead")
    _add_keys(show)
    show.set_defaults(run=_config)
    token = commands.add_parser(
        "token",
        help="make a token for a TCP caller",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    token_command.add_arguments(token)
    token.set_defaults(run=token_command.run)
    policy_command.add_arguments(
        commands.add_parser("policy", help="ask what the policy says", allow_abbrev=False)
    )
    openapi = commands.add_parser("openapi", help="write the API's description", allow_abbrev=False)
    target = openapi.add_mutually_exclusive_group()
    target.add_argument("--output", metavar="FILE", type=Path, help="write there instead of to stdout")
    target.add_argument(
        "--check", metavar="FILE", type=Path, help="fail unless FILE is what would be written"
    )
    openapi.set_defaults(run=_openapi)
    commands.add_parser("version", help="print the version").set_defaults(run=_version)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_banner(parser)
    _add_keys(parser)
    parser.set_defaults(run=_run)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_banner(parser)
    _add_keys(parser)
    parser.set_defaults(run=_serve)


def _add_keep(parser: argparse.ArgumentParser) -> None:
    _add_keys(parser, [key for key in KEYS if key.name in KEYS_OF_KEEP])
    parser.set_defaults(run=_keep)


def _add_banner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--banner",
        action=argparse.BooleanOptionalAction,
        help="print lines to try, or none; when left out, if the output is a terminal",
    )


def _add_keys(parser: argparse.ArgumentParser, keys: Sequence[Key] = KEYS) -> None:
    parser.add_argument("--config", metavar="FILE", help=f"configuration file [{config.DEFAULT_FILE}]")
    group = parser.add_argument_group("configuration, stronger here than in the environment or the file")
    for key in keys:
        default = "" if key.default is None else f" [{key.kind.write(key.default)}]"
        text = (key.help + default).replace("%", "%%")
        group.add_argument(key.flag, dest=f"key_{key.name}", metavar=key.kind.placeholder, help=text)


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    given = {key.name: getattr(arguments, f"key_{key.name}", None) for key in KEYS}
    return {name: text for name, text in given.items() if text is not None}


def _configuration(arguments: argparse.Namespace) -> config.Configuration:
    return config.load(_flags(arguments), os.environ, arguments.config)


def _has_banner(arguments: argparse.Namespace) -> bool:
    return sys.stdout.isatty() if arguments.banner is None else bool(arguments.banner)


def _run(arguments: argparse.Namespace) -> int:
    settings = _configuration(arguments).settings
    from socketd.runtime.supervising.run import run  # noqa: PLC0415 - ctypes, for this command alone

    given = [] if arguments.config is None else ["--config", arguments.config]
    for name, text in _flags(arguments).items():
        given += [config.BY_NAME[name].flag, text]
    try:
        return run(settings, given, has_banner=_has_banner(arguments))
    except EndpointError as error:
        return _fail(error, EXIT_FAILED)


def _serve(arguments: argparse.Namespace) -> int:
    def read() -> Settings:
        return _configuration(arguments).settings

    read()  # what is wrong with it is said before gunicorn and gevent are imported
    from socketd.runtime.serve import serve  # noqa: PLC0415 - gunicorn and gevent, for this command alone

    try:
        serve(read, has_banner=_has_banner(arguments))
    except EndpointError as error:
        return _fail(error, EXIT_FAILED)
    return 0


def _keep(arguments: argparse.Namespace) -> int:
    settings = _configuration(arguments).settings
    from socketd.keeper import keep  # noqa: PLC0415 - for this command alone

    logs.set_up(settings.log_level)
    return keep(settings.keeper or config.default_keeper_path(os.environ), os.environ)


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
