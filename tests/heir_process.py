"""A daemon with an heir and little else, for tests that kill it at one exact moment.

Arguments: the keeper's path, and how far it comes (``Moment``). What it would tell the keeper is ``PACKET``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from enum import StrEnum
from typing import Final

from socketd.kernel import scm
from socketd.runtime.keeping.heir import Heir, NoHeirError

PACKET: Final = b"the packet"


class Moment(StrEnum):
    """How far it comes."""

    ACCEPTED = "accepted"
    SENT = "sent"
    TORN = "torn"
    NOTHING_CAME = "nothing-came"
    OVERTAKEN = "overtaken"  # another thread's descriptor has the number, and the connection the next one
    STRANGER = "stranger"  # a socket of another thread's has the number, and nothing was accepted
    ENDED = "ended"  # by itself, and goes on
    THREADED = "threaded"


def main(path: str, moment: Moment) -> None:
    """Come that far, say so, and go on living."""
    if moment is Moment.THREADED:
        threading.Thread(target=signal.pause, daemon=True).start()
    try:
        heir = Heir.fork()
    except NoHeirError as error:
        tell(str(error))
        return
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(path)
    listener = socket.create_server(("127.0.0.1", 0))
    tell(str(listener.getsockname()[1]))
    sys.stdin.readline()  # somebody has connected
    opened = come(heir, line, listener, moment)
    if moment is Moment.ENDED:
        heir.end()
    tell("there")
    sys.stdin.readline()
    heir.check()
    for each in (*opened, listener, line):
        each.close()


def come(heir: Heir, line: socket.socket, listener: socket.socket, moment: Moment) -> list[socket.socket]:
    """Leave a will, and come as far as ``moment``; return what is open since."""
    heir.page.write(line.fileno(), os.dup(listener.fileno()), PACKET)
    if moment is Moment.STRANGER:
        return [socket.socket()]
    if moment is Moment.NOTHING_CAME:
        return []
    opened = [socket.socket(type=socket.SOCK_DGRAM)] if moment is Moment.OVERTAKEN else []
    connection, _ = listener.accept()
    if moment in (Moment.SENT, Moment.TORN):
        scm.send(line.fileno(), PACKET, (connection.fileno(),))
    if moment is Moment.TORN:
        heir.page.tear()
    return [*opened, connection]


def tell(word: str) -> None:
    """Say a line."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Moment(sys.argv[2]))
