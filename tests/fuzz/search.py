"""Search one parser for an input that breaks it, guided by the branches that inputs reach.

``python -m tests.fuzz.search TARGET [FLAG …] [FOLDER]``: the flags are libFuzzer's, of which ``-help=1`` has
the list; the folder's files are begun with, and what reaches something new is added to them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable

# Only what is imported in here counts branches: the parsers, and tomllib, which two of them begin with.
with atheris.instrument_imports(include=["socketd", "tomllib"]):
    from tests.fuzz.targets import find

EVERY = 100  # inputs from one count of the open descriptors to the next


def with_leak_check(feed: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Have ``feed`` fail where descriptors stay open."""
    fed = 0
    before: set[str] | None = None

    def checked(data: bytes) -> None:
        nonlocal fed, before
        feed(data)
        fed += 1
        if fed % EVERY == 1:
            now = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path object per descriptor
            before = before or now  # of the first one: libFuzzer has opened its own by then
            assert now == before, f"descriptors {now ^ before} are open or closed now"

    return checked


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], with_leak_check(find(sys.argv[1]).feed))
    atheris.Fuzz()
