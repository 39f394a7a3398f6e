"""A slow disk stops nobody but who waits for it; what it refuses is raised where it was asked for."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.hub import get_hub

from socketd.core.owner import Owner
from socketd.core.saving import Saved, Unreadable
from socketd.errors import NotSavedError
from socketd.runtime.disk_thread import DiskThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WEB = Saved("web", Owner(0), {})


class SlowStore:
    """A store that waits until it is let go, and then refuses to remove."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.calls: list[str] = []

    def save(self, saved: Saved) -> None:
        self.calls.append("begin")
        assert self.may_go_on.wait(30)
        self.calls.append(f"saved {saved.name}")

    def remove(self, names: Sequence[str]) -> None:
        self.calls.append(f"remove {' '.join(names)}")
        raise NotSavedError(OSError(errno.EROFS, ""), "unlink", "/state")

    def load(self) -> Sequence[Saved | Unreadable]:
        return (WEB,)


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Iterator[None]:
    """Open the loop's own descriptors before the leak gate looks."""
    hub = get_hub()
    warm = DiskThread(SlowStore())
    warm.load()
    yield
    warm.close()
    hub.destroy(destroy_loop=True)


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


@pytest.fixture
def aside(slow: SlowStore) -> Iterator[DiskThread]:
    made = DiskThread(slow)
    yield made
    made.close()


def test_others_run_while_one_waits_for_the_disk_and_calls_keep_their_order(slow, aside, capfd):
    refusals: list[NotSavedError] = []

    def remove() -> None:
        try:
            aside.remove(("web",))
        except NotSavedError as error:
            refusals.append(error)

    saving = gevent.spawn(aside.save, WEB)
    removing = gevent.spawn(remove)
    with gevent.Timeout(30):
        while "begin" not in slow.calls:
            gevent.sleep(0.001)
    assert slow.calls == ["begin"]
    slow.may_go_on.set()
    gevent.joinall([saving, removing], raise_error=True)
    assert slow.calls == ["begin", "saved web", "remove web"]
    assert [error.symbol for error in refusals] == ["EROFS"]
    assert capfd.readouterr().err == ""


def test_what_is_loaded_is_given_back(aside):
    assert list(aside.load()) == [WEB]
