"""A request body whose chunks are malformed is the client's error: said as one, before the API sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import NoMoreData, ParseException

from socketd.web.body import MalformedBodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Application = Callable[[dict[str, Any], Any], Any]


def with_checked_chunks(application: Application) -> Application:
    """Wrap ``application``: reading malformed chunks raises ``MalformedBodyError``, not gunicorn's own."""

    def checked(environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _CheckedInput(environ["wsgi.input"])
        return application(environ, start_response)

    return checked


class _CheckedInput:
    """``wsgi.input`` (PEP 3333) over gunicorn's."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes."""
        return self._checked(self._body.read, size)

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
            raise _refusal("the chunked body ends before its last chunk") from error


def _refusal(message: str) -> MalformedBodyError:
    refusal = MalformedBodyError(message)
    refusal.hint = None
    return refusal
