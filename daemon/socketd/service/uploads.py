"""How far each upload has come, so that a byte that is brought twice is sent once."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from socketd.core.streaming import Upload
from socketd.errors import InvalidRequestError, UploadOffsetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from socketd.core.entry import Entry
    from socketd.core.owner import Owner
    from socketd.core.seams import Clock
    from socketd.service.call import Call

MOST: Final = 65536
"""Uploads remembered, of everybody: some 30 MB. One that is running is never forgotten."""
KEPT_S: Final = 600.0
_FORGOTTEN_AT_ONCE: Final = 8

_Known = tuple[str, "Owner", str, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """Which bytes of which upload a request brings.

    Attributes:
        key: The upload's ``Idempotency-Key``; ``None``: these bytes will not come again.
        start: The position of the first one in the upload.
        length: How many; ``None`` if that is not said beforehand.
    """

    key: str | None = None
    start: int = 0
    length: int | None = None


class Uploads:
    """Remembers positions by caller, key and socket.

    It is memory, and ends with the daemon. A successor cannot know what this one has sent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._uploads: OrderedDict[_Known, Upload] = OrderedDict()

    def position(self, call: Call, key: str, entry: Entry) -> int | None:
        """Tell how many bytes of an upload the kernel has; ``None`` of one that is not known."""
        upload = self._uploads.get(_known(call, key, entry))
        return None if upload is None else upload.position

    @contextmanager
    def begun(self, call: Call, part: Part, entry: Entry) -> Iterator[Upload]:
        """Give the upload that a request goes on with, or a new one.

        Raises:
            UploadOffsetError: Bytes before these are missing.
            InvalidRequestError: The key is another upload's.
        """
        upload = self._found(call, part, entry)
        if part.start > upload.position:
            raise UploadOffsetError(part.start, upload.position)
        _require_length(upload, part)
        upload.running += 1
        try:
            yield upload
        finally:
            upload.running -= 1
            upload.used_at = self._clock.monotonic()

    def _found(self, call: Call, part: Part, entry: Entry) -> Upload:
        if part.key is None:
            return Upload()
        known = _known(call, part.key, entry)
        upload = self._uploads.get(known)
        if upload is None:
            upload = Upload(used_at=self._clock.monotonic())
            if part.start:  # nothing is noted of what is refused
                return upload
            self._uploads[known] = upload
        self._uploads.move_to_end(known)
        self._tidy(upload)
        return upload

    def _tidy(self, but: Upload) -> None:
        """Forget what is old, or too much; what was used longest ago first."""
        oldest = self._clock.monotonic() - KEPT_S
        for known, upload in list(islice(self._uploads.items(), _FORGOTTEN_AT_ONCE)):
            if upload.used_at > oldest and len(self._uploads) <= MOST:
                return
            if upload is not but and not upload.running:
                del self._uploads[known]


def _known(call: Call, key: str, entry: Entry) -> _Known:
    # The inode as well: what an MPTCP listener accepts has its cookie.
    return call.caller.via, call.caller.owner, key, entry.cookie, entry.inode


def _require_length(upload: Upload, part: Part) -> None:
    """Tell a repeat from another upload under the same key: its bytes would be taken for sent.

    Raises:
        InvalidRequestError: It ends elsewhere.
    """
    if part.key is None or part.length is None:
        return
    end = part.start + part.length
    if upload.length is None:
        upload.length = end
    elif upload.length != end:
        raise InvalidRequestError(
            f"the upload of this Idempotency-Key has {upload.length} bytes, this would make it {end}",
            member="Idempotency-Key",
            hint="make a new key for each upload",
        )
