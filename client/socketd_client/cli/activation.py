"""The protocol of socket activation, as the one who starts the program: descriptors, environment, arguments.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from socketd_client.activation import FIRST, UNNAMED
from socketd_client.cli import exits
from socketd_client.cli.failures import CommandError, errno_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LISTEN: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
# How to reach the daemon is no business of the program's; a token least of all.
_OURS: Final = ("SOCKETD_URL", "SOCKETD_TOKEN", "SOCKETD_CA", "SOCKETD_CERT", "SOCKETD_KEY")
_PLACE: Final = re.compile(r"\{fd:([^{}]*)\}")
# Python ignores these, and what is ignored stays ignored over exec (signal(7)).
_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)


class Program(NamedTuple):
    """What is started, and with what.

    Attributes:
        words: The program and its arguments, ``{fd:NAME}`` replaced.
        path: Where the program is.
        names: The sockets', in the order in which they stand from descriptor 3 on.
        extra: Added to the environment, ``{fd:NAME}`` replaced.
    """

    words: tuple[str, ...]
    path: str
    names: tuple[str, ...]
    extra: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def of(cls, words: Sequence[str], names: Sequence[str], extra: Sequence[str] = ()) -> Program:
        """Read a command line and ``NAME=VALUE`` pairs; nothing is opened or asked for.

        Raises:
            CommandError: There is no such program (status 127), or it cannot be run (126).
            ValueError: ``{fd:NAME}`` names no socket, or a pair has no ``=``.
        """
        numbers = {name: FIRST + nth for nth, name in enumerate(names)}
        pairs = dict(_pair(text) for text in extra)
        replaced = {name: substituted(value, numbers) for name, value in pairs.items()}
        filled = tuple(substituted(word, numbers) for word in words)
        return cls(filled, find_program(filled[0]), tuple(names), replaced)

    def environment(self, base: Mapping[str, str], pid: int) -> dict[str, str]:
        """Make the environment of the process ``pid``."""
        kept = {name: value for name, value in base.items() if name not in (*_LISTEN, *_OURS)}
        if self.names:
            kept["LISTEN_PID"] = str(pid)
            kept["LISTEN_FDS"] = str(len(self.names))
            kept["LISTEN_FDNAMES"] = ":".join(self.names)
        return {**kept, **self.extra}

    def execute(self, fds: Sequence[int], base: Mapping[str, str]) -> NoReturn:
        """Become the program.

        Args:
            fds: The sockets, in the order of ``names``. Descriptors at their places from 3 on are
                overwritten.
            base: The environment to begin with.

        Raises:
            CommandError: The kernel cannot run it; descriptors are left as they have become.
        """
        place(fds)
        self._become(base)

    def execute_at(self, places: Sequence[int], fd: int, base: Mapping[str, str]) -> NoReturn:
        """Become the program, with one socket at each of ``places``; raises as ``execute``."""
        # Away from where it may stand already, so that dup2 clears close-on-exec at every place.
        fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(places) + 1)
        for number in places:
            os.dup2(fd, number, inheritable=True)
        self._become(base)

    def _become(self, base: Mapping[str, str]) -> NoReturn:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execve(self.path, self.words, self.environment(base, os.getpid()))  # noqa: S606 - what it is for
        except OSError as error:
            raise cannot_run(self.words[0], error) from error


def substituted(text: str, numbers: Mapping[str, int]) -> str:
    """Replace ``{fd:NAME}`` by a descriptor number.

    Raises:
        ValueError: No socket has that name.
    """

    def number(found: re.Match[str]) -> str:
        if found[1] not in numbers:
            known = ", ".join(numbers) or "none"
            raise ValueError(f"{found[0]}: there is no socket {found[1]!r} here, only: {known}")
        return str(numbers[found[1]])

    return _PLACE.sub(number, text)


def place(fds: Sequence[int]) -> None:
    """Put descriptors at 3, 4 and so on, inherited by what is executed; ``fds`` themselves are not."""
    # First out of the way of one another, then into place, where dup2 clears close-on-exec.
    above = FIRST + len(fds)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    for nth, fd in enumerate(moved):
        os.dup2(fd, FIRST + nth, inheritable=True)
        os.close(fd)


def inherited(environ: Mapping[str, str], pid: int) -> list[str]:
    """Name the sockets that were handed to us by the same protocol, from descriptor 3 on."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (count.isascii() and count.isdigit()):
        return []
    given = environ.get("LISTEN_FDNAMES", "")
    names = given.split(":") if given else []
    return (names + [UNNAMED] * int(count))[: int(count)]


def find_program(word: str) -> str:
    """Find a program as a shell does.

    Raises:
        CommandError: It is not there, or not executable.
    """
    # As shutil.which does, which would import three compressors; a Path costs an import, too.
    places = [word] if "/" in word else [f"{folder or '.'}/{word}" for folder in os.get_exec_path()]
    for path in places:
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112
            return path
    if "/" in word and os.path.exists(word):  # noqa: PTH110
        raise CommandError(f"{word}: Permission denied (EACCES)", status=exits.CANNOT_EXEC)
    raise CommandError(f"{word}: command not found", status=exits.NOT_FOUND)


def cannot_run(word: str, error: OSError) -> CommandError:
    """Word a failed exec, with the status that a shell gives it."""
    status = exits.NOT_FOUND if isinstance(error, FileNotFoundError) else exits.CANNOT_EXEC
    return CommandError(f"{word}: {errno_text(error)}", status=status)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name, value
