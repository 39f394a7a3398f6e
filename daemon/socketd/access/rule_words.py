"""One ``[[rule]]`` of a policy's file as the rule that it means."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from socketd.access import pattern_text
from socketd.access.questions import RIGHTS
from socketd.access.rules import Quota, Rule, Who
from socketd.core import constants, options, protocols
from socketd.core.owner import MOST_UID, Owner, is_name
from socketd.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.access.directory import Directory
    from socketd.access.policy_words import Table

MATCHERS: Final = ("user", "uid", "group", "gid", "token", "certificate", "daemon_user", "anyone")
_SETS: Final = ("families", "types", "protocols", "bind", "connect", "options", "names", "see", "quota")
GRANTS: Final = (*_SETS, *RIGHTS)
_KEYS: Final = ("name", *MATCHERS, *GRANTS)
_QUOTA: Final = ("sockets", "waits", "buffered_bytes", "requests_per_s", "burst")
_ALL: Final = "*"
_GLOB: Final = frozenset("*?[")


def read(
    table: Table, name: str, line: int | None, directory: Directory, warn: Callable[[str], None]
) -> Rule:
    """Read one rule.

    Args:
        table: Its keys and values.
        name: Of the rule, checked before.
        line: Where it begins.
        directory: Knows users and groups.
        warn: Told of users and groups that there are not: a host without them must not stay without daemon.

    Raises:
        PolicyError: Something in it means nothing.
    """
    table.check(_KEYS)
    said = [table.values.get(key) for key in MATCHERS]
    if all(each is None or each is False or each in ([], "") for each in said):  # 0 is root
        raise table.error(f"it is for nobody; say for whom: {', '.join(MATCHERS)}")
    people = _People(table, directory, warn)
    return Rule(
        name,
        people.who(),
        families=_numbers(table, "families", constants.family),
        types=_numbers(table, "types", constants.socket_type),
        protocols=frozenset[str]().union(*table.each("protocols", _protocol)),
        bind=table.each("bind", pattern_text.parse),
        connect=table.each("connect", pattern_text.parse),
        options=table.each("options", _option),
        names=table.each("names", pattern_text.check_template),
        see=people.seen(),
        rights=frozenset(right for right in RIGHTS if table.flag(right)),
        quota=quota(table.table("quota")),
        words={key: value for key, value in table.values.items() if key in GRANTS},
        line=line,
    )


def quota(table: Table) -> Quota:
    """Read bounds; a rate without ``burst`` has that of one second.

    Raises:
        PolicyError: Something in it means nothing.
    """
    table.check(_QUOTA)
    rate, burst = table.rate("requests_per_s"), table.whole("burst", least=1)
    if burst is not None and rate is None:
        raise table.error("burst says nothing without requests_per_s")
    if rate is not None and burst is None:
        burst = max(1, math.ceil(rate))
    return Quota(table.whole("sockets"), table.whole("waits"), table.whole("buffered_bytes"), rate, burst)


class _People:
    """Who is meant by the names of a rule."""

    def __init__(self, table: Table, directory: Directory, warn: Callable[[str], None]) -> None:
        self._table = table
        self._directory = directory
        self._warn = warn

    def who(self) -> Who:
        """Read the matchers."""
        table = self._table
        users, groups = table.each("user", _no_number), table.each("group", _no_number)
        return Who(
            table.numbers("uid", MOST_UID) | self._known("user", users, self._directory.uid),
            table.numbers("gid", MOST_UID) | self._known("group", groups, self._directory.gid),
            frozenset(table.each("token", _name)),
            frozenset(table.each("certificate", _name)),
            table.flag("daemon_user"),
            table.flag("anyone"),
        )

    def seen(self) -> frozenset[str]:
        """Read whose sockets may be seen."""
        found: set[str] = set()
        for word in self._table.words("see"):
            kind, _, name = word.partition(":")
            if kind == "user":
                found.update(f"uid:{uid}" for uid in self._known("user", (name,), self._directory.uid))
            elif word == "all":
                found.add(word)
            elif word != "own":  # which everybody sees
                found.add(self._owner(word))
        return frozenset(found)

    def _owner(self, word: str) -> str:
        try:
            return str(Owner.parse(word))
        except ValueError:
            raise self._table.error(
                f"see: {word[:80]!r} is nobody; it takes own, all, user:NAME, uid:NUMBER, token:NAME, "
                "certificate:NAME"
            ) from None

    def _known(self, kind: str, names: tuple[str, ...], find: Callable[[str], int | None]) -> frozenset[int]:
        found = {name: find(name) for name in names}
        for name in (name for name, number in found.items() if number is None):
            self._warn(f"{self._table.where}: there is no {kind} {name[:80]!r} here, so it means nobody")
        return frozenset(number for number in found.values() if number is not None)


def _numbers(table: Table, key: str, read_one: Callable[[str], int]) -> frozenset[int] | None:
    """Read families or types; ``None`` for all of them."""

    def understood(word: str) -> int:
        try:
            return read_one(word)
        except InvalidRequestError as error:
            raise ValueError(_told(error)) from None

    if _ALL in table.words(key):
        return None
    return frozenset(table.each(key, understood))


def _protocol(word: str) -> frozenset[str]:
    """Find what each family calls the protocol first, as that is what a question is told by.

    Raises:
        ValueError: No family has it.
    """
    if word == _ALL:
        return frozenset((_ALL,))
    found: set[str] = set()
    for names in protocols.BY_FAMILY.values():
        try:
            found.add(names.name(names.number(word)))
        except InvalidRequestError:
            continue
    if not found:
        raise ValueError(f"{word[:80]!r} is a protocol of no address family")
    return frozenset(found)


def _option(word: str) -> str:
    """Read the name of an option, or a glob.

    Raises:
        ValueError: There is no such option.
    """
    if _GLOB.isdisjoint(word):
        try:
            return options.lookup(word).name
        except InvalidRequestError as error:
            raise ValueError(_told(error)) from None
    glob = word.upper()
    if not any(fnmatchcase(option.name, glob) for option in options.OPTIONS):
        raise ValueError(f"{word[:80]!r} is the name of no socket option")
    return glob


def _no_number(word: str) -> str:
    if word.isdecimal():
        raise ValueError(f"{word!r} is a number; those stand in uid and gid")
    return word


def _name(word: str) -> str:
    if not is_name(word):
        raise ValueError(f"{word[:80]!r} is no name: 1 to 255 printable bytes")
    return word


def _told(error: InvalidRequestError) -> str:
    text = str(error).removeprefix(f"{error.member}: ")
    return f"{text}; {error.hint}" if error.hint else text
