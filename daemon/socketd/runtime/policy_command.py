"""``socketd policy``: whether somebody may do something and why, and what is in force."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from socketd.access.caller import Caller, Owner, user_name
from socketd.access.directory import HostDirectory, suggest
from socketd.access.policy import Policy
from socketd.access.questions import RIGHTS, Act, Bind, Connect, Create, See, SetOption, UseName
from socketd.core import address_text, constants, options, resolve
from socketd.core.owner import MOST_UID, is_name
from socketd.errors import SocketdError
from socketd.runtime import config
from socketd.runtime.config import ConfigError
from socketd.runtime.policy_source import document, own, read_text, reserved, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from socketd.access.policy import Decision, Document
    from socketd.access.questions import Question
    from socketd.core.address import Address

EXAMPLES: Final = """\
questions:
  bind ADDRESS                    bind 0.0.0.0:80, bind /run/x/web.sock, bind @web
  connect ADDRESS                 connect example.org:443: each address of the name is asked for
  create FAMILY TYPE [PROTOCOL]   create inet stream
  option NAME                     option SO_MARK
  name NAME                       name web
  see OWNER                       see uid:33, see user:www-data, see token:ci
  take, give, adopt-pid, persist, metrics

examples:
  socketd policy check --user www-data bind 0.0.0.0:80
  socketd policy check --policy new.toml --token ci connect db.internal:5432
  socketd policy show
"""
EXIT_ALLOWED: Final = 0
EXIT_REFUSED: Final = 1
DAEMON_USER: Final = "socketd"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    _lay_out(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="ask whether somebody may do something", allow_abbrev=False)
    _lay_out(check)
    _add_file(check)
    who = check.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="USER", help="a user of this host, with all its groups")
    who.add_argument("--uid", metavar="UID", type=int, help="a user by number")
    who.add_argument("--token", metavar="NAME", help="who sends a token of this name")
    who.add_argument("--certificate", metavar="NAME", help="who shows a certificate of this name")
    check.add_argument(
        "--group", metavar="GROUP", action="append", default=[], help="a group more, by name or number"
    )
    check.add_argument(
        "--daemon-user", metavar="USER", help=f"whom the daemon runs as [{DAEMON_USER}, else you]"
    )
    check.add_argument("question", nargs="+", metavar="QUESTION", help="what for; see below")
    check.set_defaults(run=_check)
    show = commands.add_parser("show", help="print the policy in force", allow_abbrev=False)
    _add_file(show)
    show.set_defaults(run=_show)


def _lay_out(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", metavar="FILE", help="the policy [that of the configuration]")
    parser.add_argument("--config", metavar="FILE", help="configuration file")


def _check(arguments: argparse.Namespace) -> int:
    settings = config.load({}, os.environ, arguments.config).settings
    found = document(arguments.policy or settings.policy)
    policy = Policy(found, daemon_uid=_daemon_uid(arguments.daemon_user), reserved=reserved(own(settings)))
    caller, asked = _caller(arguments), questions(arguments.question)
    _warn(found)
    lines = [f"{_described(caller)}, by {policy.source}"]
    decisions = [policy.decide(caller, question) for question in asked]
    for question, decision in zip(asked, decisions, strict=True):
        lines += [
            f"{'allowed' if decision.is_allowed else 'refused'}: {question}",
            f"  {_why(decision, found)}",
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    # Of several addresses of a name the daemon takes those that are allowed.
    return EXIT_ALLOWED if any(decision.is_allowed for decision in decisions) else EXIT_REFUSED


def _show(arguments: argparse.Namespace) -> int:
    settings = config.load({}, os.environ, arguments.config).settings
    text, source = read_text(arguments.policy or settings.policy)
    _warn(understood(text, source))
    sys.stdout.write(f"# {source}\n{text}")
    return EXIT_ALLOWED


def questions(words: Sequence[str]) -> list[Question]:
    """Read what is asked; one question for each address of a name.

    Raises:
        ConfigError: It is no question.
    """
    verb, *rest = words
    if verb.replace("-", "_") in RIGHTS and verb != "api" and not rest:
        return [Act(verb.replace("-", "_"))]
    if verb not in _VERBS:
        known = (*_VERBS, *(right.replace("_", "-") for right in RIGHTS if right != "api"))
        raise ConfigError(f"{' '.join(words)[:80]!r} is no question{suggest(verb, known)}")
    least, most, read = _VERBS[verb]
    if not least <= len(rest) <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise ConfigError(f"{verb} takes {count} words, not {len(rest)}")
    try:
        return read(*rest)
    except SocketdError as error:
        raise ConfigError(f"{error}; {error.hint}" if error.hint else str(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _addresses(text: str, flags: int) -> tuple[Address, ...]:
    endpoint = address_text.parse(text)
    resolver: Any = socket.getaddrinfo  # whose type knows host names of bytes, too
    return resolve.candidates(endpoint, None, socket.SOCK_STREAM, resolver, flags)


def _binds(text: str) -> list[Question]:
    return [Bind(address, is_dual=True) for address in _addresses(text, socket.AI_PASSIVE)]


def _connects(text: str) -> list[Question]:
    return [Connect(address) for address in _addresses(text, 0)]


def _creates(family: str, kind: str, protocol: str = "default") -> list[Question]:
    number = constants.family(family)
    type_ = constants.socket_type(kind)
    return [Create(number, type_, constants.protocol(protocol, number, type_))]


def _sees(word: str) -> list[Question]:
    kind, _, name = word.partition(":")
    return [See(Owner(_uid(name)) if kind == "user" else Owner.parse(word))]


_VERBS: Final[dict[str, tuple[int, int, Callable[..., list[Question]]]]] = {
    "bind": (1, 1, _binds),
    "connect": (1, 1, _connects),
    "create": (2, 3, _creates),
    "option": (1, 1, lambda name: [SetOption(options.lookup(name).name)]),
    "name": (1, 1, lambda name: [UseName(name)]),
    "see": (1, 1, _sees),
}


def _caller(arguments: argparse.Namespace) -> Caller:
    more = frozenset(_gid(group) for group in arguments.group)
    for kind in ("token", "certificate"):
        name = getattr(arguments, kind)
        if name is not None:
            if not is_name(name):
                raise ConfigError(f"{name!r} is no name")
            return Caller(Owner(**{kind: name}), None, more, None, "tcp")
    uid = arguments.uid if arguments.user is None else _uid(arguments.user)
    if not 0 <= uid <= MOST_UID:
        raise ConfigError(f"{uid} is no uid")
    try:
        gid, groups = HostDirectory().groups(uid)
    except KeyError:  # a number without a name has the groups that its process has
        return Caller(Owner(uid), None, more, None, "unix")
    return Caller(Owner(uid), gid, groups | more, None, "unix")


def _uid(name: str) -> int:
    uid = HostDirectory().uid(name)
    if uid is None:
        raise ConfigError(f"there is no user {name!r} here")
    return uid


def _gid(name: str) -> int:
    gid = int(name) if name.isascii() and name.isdecimal() else HostDirectory().gid(name)
    if gid is None:
        raise ConfigError(f"there is no group {name!r} here")
    return gid


def _daemon_uid(named: str | None) -> int:
    if named is not None:
        return _uid(named)
    uid = HostDirectory().uid(DAEMON_USER)
    return os.geteuid() if uid is None else uid


def _described(caller: Caller) -> str:
    groups = " ".join(map(str, sorted(caller.groups))) or "none"
    if caller.uid is None:
        return f"{caller.owner}, groups {groups}"
    return f"{caller.owner} ({user_name(caller.uid) or 'without a name'}), groups {groups}"


def _why(decision: Decision, found: Document) -> str:
    lines = {rule.name: rule.line for rule in found.rules}
    line = lines.get(decision.rule or "")
    return decision.reason if line is None else f"{decision.reason}, {found.source}:{line}"


def _warn(found: Document) -> None:
    for warning in found.warnings:
        sys.stderr.write(f"socketd: {warning}\n")
