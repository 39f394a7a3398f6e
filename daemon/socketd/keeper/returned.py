"""What the supervisor gives back when the keeper starts again: ``LISTEN_FDS``, made sense of by the notes."""

from __future__ import annotations

import fcntl
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from socketd.keeper.copies import NOTES_NAME
from socketd.keeper.held import Held
from socketd.keeper.notes import Notes, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping

_FIRST: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Returned:
    """Whoever has it owns the descriptors.

    Attributes:
        notes: The file that describes them; ``None`` where none came.
        held: The sockets, by the slot that describes each.
        strangers: Names under which something came that is of no use, to be removed from the store.
    """

    notes: Notes | None = None
    held: dict[int, Held] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)


def take_back(environ: MutableMapping[str, str]) -> Returned:
    """Take over what came, close-on-exec; the variables are removed, also when meant for another process.

    Source: sd_listen_fds(3).
    """
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    meant_for = environ.pop("LISTEN_PID", "")
    if meant_for != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return Returned()
    descriptors = range(_FIRST, _FIRST + int(count))
    if len(names) != len(descriptors):
        log.error("%d names came with %s stored descriptors: closing them", len(names), count)
        names = [""] * len(descriptors)
    came = list(_open_ones(zip(names, descriptors, strict=True)))
    returned = Returned()
    _take_notes(returned, [(name, fd) for name, fd in came if name == NOTES_NAME])
    _take_sockets(returned, [(name, fd) for name, fd in came if name != NOTES_NAME])
    if came:
        log.info("%d of %d descriptors came back from the supervisor", len(returned.held), len(came))
    return returned


def _open_ones(came: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for name, fd in came:
        try:
            fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        except OSError as error:
            log.error("descriptor %d, which was to be %r: %s", fd, name, error.strerror)  # noqa: TRY400
            continue
        yield name, fd


def _take_notes(returned: Returned, came: list[tuple[str, int]]) -> None:
    for name, fd in came:
        if returned.notes is not None:
            _reject(returned, name, fd, "there is one already")
            continue
        try:
            returned.notes = Notes.reopen(fd)
        except UnreadableError as error:
            _reject(returned, name, fd, str(error))


def _take_sockets(returned: Returned, came: list[tuple[str, int]]) -> None:
    slots = {} if returned.notes is None else {f"s{slot.number}": slot for slot in returned.notes.read()}
    for name, fd in came:
        slot = slots.get(name)
        if slot is None:
            _reject(returned, name, fd, "nothing is known of it")
        elif os.fstat(fd).st_ino != slot.inode:
            _reject(returned, name, fd, "it is another socket than the one described")
        elif slot.index in returned.held:
            _reject(returned, name, fd, "it came twice")
        else:
            returned.held[slot.index] = Held(slot.number, fd, slot.inode, slot.note)


def _reject(returned: Returned, name: str, fd: int, reason: str) -> None:
    log.error("descriptor %r from the supervisor's store is closed: %s", name, reason)
    os.close(fd)
    if name:
        returned.strangers.add(name)
