"""The protocol ``tcp``: after the 101 the connection carries the held socket's bytes, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import request

from socketd.errors import ClientGoneError
from socketd.web import upgrading
from socketd.web.caller import service

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.core.relaying import Line
    from socketd.service import Call

PROTOCOL: Final = "tcp"


class Switch:
    """Tells the client, and has its connection leave HTTP; closed when the tunnel has ended."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.line: Line | None = None

    def __call__(self) -> Line:
        """Do it, at once: nobody else runs meanwhile.

        Raises:
            KernelRefusedError: EMFILE; the client has been told nothing.
            ClientGoneError: The client reads not even this, and has answers of before unread.
        """
        line: Line = request.environ["gunicorn.socket"].leave_http()
        self.line = line
        if line.send(memoryview(self._head)) is not None:
            raise ClientGoneError
        return line

    def close(self, *, is_well: bool) -> None:
        """Let the connection end, by a reset if the client would miss something without knowing."""
        if self.line is not None:
            if is_well:
                self.line.end_well()
            self.line.close()


def serve(asked: Call, entry: Entry) -> None:
    """Answer 101, and move bytes until that is over; the connection is to be ended then."""
    switch = Switch(upgrading.switching(PROTOCOL))
    is_well = False
    try:
        ending = service().tunnels.join(asked, entry, switch)
        is_well = ending.is_lossless
        if switch.line is not None and not ending.is_whole:
            service().tunnels.let_read(asked, switch.line)  # a reset, ours too, takes back what is under way
    except ClientGoneError:
        if switch.line is None:
            raise
    finally:
        switch.close(is_well=is_well)
