"""The file in memory that tells what the sockets in the supervisor's store are.

It goes into that store as well, so it outlives the keeper like they do. Slot 0 says what the file is; each
of the others is empty or describes one socket. A slot is a quarter of a page, so that the one pwrite(2) that
changes it is done or not done: a killed process is stopped between pages only (generic_perform_write in
mm/filemap.c).
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.keeper.held import Held

SLOT_BYTES: Final = 1024
_MAGIC: Final = b"skkeep\0\1"  # the last byte is the layout's version
_TITLE: Final = struct.Struct("=8sI")  # magic, highest number ever stored
_SLOT: Final = struct.Struct("=IQHI")  # number (0: empty), inode, length of the note, crc
MOST_BYTES: Final = SLOT_BYTES - _SLOT.size
"""A longer note does not fit, and its socket is not put into the store."""
_MFD_NOEXEC_SEAL: Final = 0x8  # include/uapi/linux/memfd.h, since Linux 6.3


class UnreadableError(ValueError):
    """The file is none of ours."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A socket as a slot describes it."""

    index: int
    number: int
    inode: int
    note: bytes


class Notes:
    """The file, open at ``fd``, which it owns."""

    def __init__(self, fd: int) -> None:
        """Take ownership of ``fd``; use ``create`` or ``reopen``."""
        self.fd = fd

    @classmethod
    def create(cls, slots: int) -> Self:
        """Make an empty one with room for so many sockets."""
        notes = cls(_memfd())
        notes.grow(slots)
        notes.set_last_number(0)
        return notes

    @classmethod
    def reopen(cls, fd: int) -> Self:
        """Take over one that an earlier keeper wrote; ``fd`` stays the caller's where it raises.

        Raises:
            UnreadableError: It is none.
        """
        try:
            title = os.pread(fd, _TITLE.size, 0)
        except OSError as error:
            raise UnreadableError(error.strerror) from error
        if len(title) < _TITLE.size or not title.startswith(_MAGIC):
            raise UnreadableError("it does not begin like the keeper's notes")
        return cls(fd)

    @property
    def slots(self) -> int:
        """How many sockets it has room for; their slots are numbered from 1."""
        return max(os.fstat(self.fd).st_size // SLOT_BYTES - 1, 0)

    @property
    def last_number(self) -> int:
        """The highest number that was ever stored."""
        return int(_TITLE.unpack(os.pread(self.fd, _TITLE.size, 0))[1])

    def set_last_number(self, number: int) -> None:
        """Remember the highest number that was ever stored."""
        os.pwrite(self.fd, _TITLE.pack(_MAGIC, number), 0)

    def grow(self, slots: int) -> None:
        """Make room for so many at least; untouched slots take no memory."""
        if slots > self.slots:
            os.ftruncate(self.fd, (slots + 1) * SLOT_BYTES)

    def write(self, index: int, held: Held) -> None:
        """Describe ``held`` in this slot; its note must fit."""
        crc = _crc(held.number, held.inode, held.note)
        data = _SLOT.pack(held.number, held.inode, len(held.note), crc) + held.note
        os.pwrite(self.fd, data, index * SLOT_BYTES)

    def clear(self, index: int) -> None:
        """Empty this slot."""
        os.pwrite(self.fd, bytes(_SLOT.size), index * SLOT_BYTES)

    def read(self) -> Iterator[Slot]:
        """Iterate over the slots that hold something sound."""
        for index in range(1, self.slots + 1):
            slot = _parse(index, os.pread(self.fd, SLOT_BYTES, index * SLOT_BYTES))
            if slot is not None:
                yield slot

    def close(self) -> None:
        """Close our descriptor; the supervisor's stays."""
        os.close(self.fd)


def _parse(index: int, data: bytes) -> Slot | None:
    if len(data) < SLOT_BYTES:
        return None
    number, inode, size, crc = _SLOT.unpack_from(data)
    note = data[_SLOT.size : _SLOT.size + size]
    if number == 0 or len(note) != size or crc != _crc(number, inode, note):
        return None
    return Slot(index, number, inode, note)


def _crc(number: int, inode: int, note: bytes) -> int:
    return zlib.crc32(note, zlib.crc32(_SLOT.pack(number, inode, len(note), 0)))


def _memfd() -> int:
    try:
        return os.memfd_create("socketd-notes", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create("socketd-notes", os.MFD_CLOEXEC)
