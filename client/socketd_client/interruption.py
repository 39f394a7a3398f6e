"""Signal handlers that raise in the middle of an HTTP exchange, told from the exchange's own failures."""

from __future__ import annotations

import functools
import signal
from types import CodeType


def raised_by_handler(error: BaseException) -> BaseException | None:
    """Find the exception that a signal handler of the program raised, in what ``error`` was made from.

    urllib3 and requests wrap every ``OSError``. A handler's ``TimeoutError`` (the usual alarm) is one, and
    must reach the program as it would from a local socket's ``recv``.
    """
    codes = {code for number in signal.valid_signals() if (code := _code(signal.getsignal(number)))}
    # urllib3 gives its own errors the traceback of what they wrap, so the innermost is the handler's.
    left = [cause for cause in causes(error) if codes and _left_a_handler(cause, codes)]
    return left[-1] if left else None


def causes(error: BaseException) -> list[BaseException]:
    """List an exception and what it was made from, outermost first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    # An exception that is raised again can be its own context's cause.
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _left_a_handler(error: BaseException, codes: set[CodeType]) -> bool:
    """Tell whether an exception came out of a handler; one caught inside it has no frame outside it."""
    trace = error.__traceback__ and error.__traceback__.tb_next
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code(handler: object) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    code = getattr(handler, "__code__", None) or getattr(getattr(handler, "__call__", None), "__code__", None)  # noqa: B004
    return code if isinstance(code, CodeType) else None
