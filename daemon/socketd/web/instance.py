"""``Socketd-Instance``: which daemon process answers, and a request's condition that it be that one.

What a daemon did for a request ends with it in part: which bytes it sent, which answers it gave. A client
that repeats a request names the daemon that may have done it, and no other does it a second time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from flask import current_app, request

from socketd.errors import SocketdError

if TYPE_CHECKING:
    from flask import Flask, Response

HEADER: Final = "Socketd-Instance"
_EXTENSION: Final = "socketd.instance"
_ID_BYTES: Final = 8


class OtherInstanceError(SocketdError):
    """``Socketd-Instance`` names another daemon process than this one; nothing was done."""

    code = "other_instance"

    def __init__(self) -> None:
        super().__init__(
            "this daemon is not the one that the request is for",
            symbol="ESTALE",
            hint="the daemon was restarted; Socketd-Instance of this answer names the one that serves now",
        )


class _Instance:
    """This process, as answers name it."""

    def __init__(self) -> None:
        self.id = os.urandom(_ID_BYTES).hex()

    def refuse_others(self) -> None:
        """Refuse a request that is for another daemon.

        Raises:
            OtherInstanceError: It is.
        """
        if request.headers.get(HEADER, self.id) != self.id:
            raise OtherInstanceError

    def sign(self, response: Response) -> Response:
        """Say who answers."""
        response.headers[HEADER] = self.id
        return response


def install(app: Flask) -> None:
    """Have every answer name this process, and every request for another one refused."""
    instance = app.extensions[_EXTENSION] = _Instance()
    app.before_request(instance.refuse_others)
    app.after_request(instance.sign)


def name() -> str:
    """Return the name of this process, for an answer that is written by hand."""
    found: _Instance = current_app.extensions[_EXTENSION]
    return found.id
