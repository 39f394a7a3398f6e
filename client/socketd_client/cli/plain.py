"""``socketctl exec`` in its plain spellings, without click, whose import takes longer than all the rest.

A program's start waits for this. What is not plain, be it ``--help`` or a mistake, is left to click before
anything is done: it means the same there, and click has the words for it. A test holds the two equal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NoReturn

from socketd_client.cli import starting
from socketd_client.cli.failures import told
from socketd_client.cli.session import Session
from socketd_client.cli.signalled import interrupted
from socketd_client.cli.wanted import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from socketd_client.cli.activation import Program
    from socketd_client.cli.wanted import Wanted

_SOCKETS: Final = {
    "--listen": "listen",
    "-l": "listen",
    "--udp": "udp",
    "--dgram": "udp",
    "--seqpacket": "seqpacket",
}
_TEXTS: Final = {"--take": "take", "--env": "env", "-e": "env"}
MEMBERS: Final = _SOCKETS | _TEXTS


def execute(arguments: Sequence[str]) -> int | None:
    """Become the program.

    Returns:
        The exit status if that failed; ``None`` if the arguments are click's to read.
    """
    try:
        given = read(arguments)
        wanted = starting.wanted_sockets(given)
        program = starting.program(given, wanted)
    except ValueError:
        return None
    except Exception as error:  # noqa: BLE001 - told raises what is a fault of ours
        return told(error)
    try:
        _become(program, given, wanted)
    except KeyboardInterrupt:
        return interrupted()
    except Exception as error:  # noqa: BLE001 - likewise
        return told(error)


def read(arguments: Sequence[str]) -> dict[str, Any]:
    """Read what stands behind ``exec`` into what click would make of it.

    Raises:
        ValueError: It is not plain.
    """
    given: dict[str, Any] = {member: [] for member in MEMBERS.values()}
    given |= {"backlog": starting.BACKLOG, "blocking": False}
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] not in ("-", "--"):
        option, equals, value = left.pop(0).partition("=")
        if option == "--blocking" and not equals:
            given["blocking"] = True
            continue
        if option not in MEMBERS or (equals and not option.startswith("--")) or not (equals or left):
            raise ValueError(f"{option} is not plain")
        text = value if equals else left.pop(0)
        given[MEMBERS[option]].append(named(text) if option in _SOCKETS else text)
    given["program"] = tuple(left[1:] if left[:1] == ["--"] else left)
    if not given["program"]:
        raise ValueError("no program is named")
    return given


def _become(program: Program, given: dict[str, Any], wanted: list[Wanted]) -> NoReturn:
    session = Session()
    session.choose(os.environ.get("SOCKETD_URL") or None, None)
    program.execute(starting.obtained(session, given, wanted), os.environ)
