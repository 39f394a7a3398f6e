"""The descriptor store: what the keeper asks us to hold, so that both copies cannot end at once."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from socketd.kernel import scm

if TYPE_CHECKING:
    from socketd.runtime.supervising.mailbox import Notification

NAME_UNKNOWN = "stored"  # what systemd calls a descriptor that comes without a name
LONGEST_NAME = 255

log = logging.getLogger(__name__)


class DescriptorStore:
    """Descriptors by name, in the order in which they came.

    Args:
        capacity: How many there may be; more are closed, as systemd does beyond FileDescriptorStoreMax=.

    Source: sd_notify(3) FDSTORE, FDSTOREREMOVE, FDNAME, BARRIER.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: dict[str, list[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def obey(self, notification: Notification) -> None:
        """Do what one message asks for; takes ownership of its descriptors.

        BARRIER=1 needs nothing but that its descriptor is closed, after all that came before it was done.
        """
        name = notification.fields.get("FDNAME", NAME_UNKNOWN)
        if notification.fields.get("FDSTORE") == "1":
            self._put(name, notification.descriptors)
            return
        scm.close(notification.descriptors)
        if notification.fields.get("FDSTOREREMOVE") == "1":
            released = self._held.pop(name, [])
            self._count -= len(released)
            scm.close(released)

    def listing(self) -> list[tuple[str, int]]:
        """Return every name and descriptor; they stay the store's."""
        return [(name, fd) for name, fds in self._held.items() for fd in fds]

    def close(self) -> None:
        """Close every one."""
        for fds in self._held.values():
            scm.close(fds)
        self._held.clear()
        self._count = 0

    def _put(self, name: str, descriptors: tuple[int, ...]) -> None:
        name = name if _is_name(name) else NAME_UNKNOWN
        for fd in descriptors:
            held = self._held.get(name, [])
            if self._count >= self.capacity:
                log.warning("the descriptor store is full (%d); %s is not taken", self.capacity, name)
            elif not any(_is_same(fd, other) for other in held):
                self._held.setdefault(name, held).append(fd)
                self._count += 1
                continue
            os.close(fd)


def _is_name(name: str) -> bool:
    """Whether it can stand in LISTEN_FDNAMES, where a colon ends it."""
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable() and ":" not in name


def _is_same(fd: int, other: int) -> bool:
    """Whether both are one file: a keeper that starts again may store what was given back to it."""
    return os.path.samestat(os.fstat(fd), os.fstat(other))
