"""What holds for every test: no descriptor is left open, and a program that is missing is named."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.ports import own_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on an ordinary user's PATH in Debian


def pytest_configure() -> None:
    """Let tests find the daemons and tools that Debian keeps in sbin, and take this process's ports.

    A job in a shell's background ignores SIGINT, and so would all that tests start and interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path.extend(folder for folder in SYSTEM_FOLDERS if folder not in path)
    os.environ["PATH"] = os.pathsep.join(path)
    own_ports()  # now: whoever asks first would seem to leave a descriptor open


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose ``needs`` marker names a missing program; in CI, fail it."""
    for marker in item.iter_markers("needs"):
        missing = [tool for tool in marker.args if shutil.which(tool) is None]
        if not missing:
            continue
        reason = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        if os.environ.get("SOCKETD_REQUIRE_TOOLS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def open_descriptors() -> dict[int, str]:
    """Return what every descriptor of this process points to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no Path object per descriptor, twice a test
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:
            continue  # the descriptor that listed the folder is closed by now
    return found


def newly_open(before: dict[int, str]) -> dict[int, str]:
    """Return the descriptors that were not there before, or that point elsewhere now."""
    return {fd: link for fd, link in open_descriptors().items() if before.get(fd) != link}


@pytest.fixture(autouse=True)
def _leak_gate() -> Iterator[None]:
    """Fail the test that leaves a descriptor open.

    Autouse fixtures are set up first and torn down last in their scope, so a test's own fixtures have closed
    theirs by then, and what module and session fixtures hold was open before.
    """
    before = open_descriptors()
    yield
    leaked = newly_open(before)
    if leaked:
        gc.collect()  # an object in a cycle may still hold one; costs tens of milliseconds, so only now
        leaked = newly_open(before)
    if leaked:
        listing = ", ".join(f"{fd} -> {link}" for fd, link in sorted(leaked.items()))
        pytest.fail(f"left open: {listing}", pytrace=False)
