"""Request bodies as the server reads them: a malformed one is the client's error, and said as one.

A long one is read in large pieces that are joined once; gunicorn's own ``read`` copies each byte four times.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http.errors import NoMoreData, ParseException

from socketd.runtime import pieces
from socketd.web.body import MalformedBodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Application = Callable[[dict[str, Any], Any], Any]

_LONG_DIGITS: Final = 6  # of a Content-Length: 100,000 bytes and more
_PIECE_BYTES: Final = 256 * 1024


def with_checked_chunks(application: Application) -> Application:
    """Wrap ``application``: reading malformed chunks raises ``MalformedBodyError``, not gunicorn's own.

    What is put may be read as it comes, by ``read1``.
    """

    def checked(environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_TRANSFER_ENCODING" in environ or environ["REQUEST_METHOD"] == "PUT":
            environ["wsgi.input"] = _CheckedInput(environ["wsgi.input"])
        elif len(environ.get("CONTENT_LENGTH", "")) >= _LONG_DIGITS:
            environ["wsgi.input"] = _LongInput(environ["wsgi.input"])
        return application(environ, start_response)

    return checked


class _LongInput:
    """``wsgi.input`` over gunicorn's, of a body whose length is known; for who reads it whole."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, _size: int) -> bytes:
        """Read all of it; less where it breaks off."""
        whole = BytesIO()
        try:
            while piece := pieces.read1(self._body, _PIECE_BYTES):
                whole.write(piece)
        except NoMoreData:
            pass
        except BaseException:
            self._body.failed = True  # gunicorn 27 so knows that it can find no next request
            raise
        return whole.getvalue()


class _CheckedInput:
    """``wsgi.input`` (PEP 3333) over gunicorn's."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes."""
        return self._checked(self._body.read, size)

    def read1(self, size: int) -> bytes:
        """Read what has come, up to ``size`` bytes or waiting for one; nothing is the end.

        Raises:
            MalformedBodyError: The body is malformed, or ends before its end.
        """
        try:
            return self._checked(partial(pieces.read1, self._body), size)
        except BaseException:
            self._body.failed = True  # gunicorn 27 so knows that it can find no next request
            raise

    def readline(self, size: int = -1) -> bytes:
        """Read one line."""
        return self._checked(self._body.readline, size)

    def readlines(self, _hint: int = -1) -> list[bytes]:
        """Read every line."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    @staticmethod
    def _checked(read: Callable[[int | None], bytes], size: int) -> bytes:
        try:
            return read(None if size < 0 else size)
        except ParseException as error:
            raise _refusal(f"the chunked body is malformed: {error}") from error
        except NoMoreData as error:  # an OSError, and no ParseException
            raise _refusal("the body ends before its last chunk, or its length") from error


def _refusal(message: str) -> MalformedBodyError:
    refusal = MalformedBodyError(message)
    refusal.hint = None
    return refusal
