"""Specifications on disk are whole at any time, whoever is killed and whatever fails."""

from __future__ import annotations

import errno
import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from socketd.errors import NotSavedError
from socketd.runtime.disk import Disk
from socketd.runtime.specifications import NEW, Specifications
from tests.unit.runtime.specification_folder import NEWER, OLD, found, root, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["root", "store"]  # fixtures

MOST_STEPS = 20
CALLS = ("make_root", "open_root", "make_folder", "sync_folder", "exists", "write", "rename", "unlink")


class FaultyDisk(Disk):
    """A disk at whose n-th call, counted from 1, something happens; a write is half done by then."""

    def __init__(self, nth: int, fault: Callable[[], None]) -> None:
        self._left = nth
        self._fault = fault

    def step(self, call: str, *arguments: Any) -> None:
        self._left -= 1
        if self._left == 0:
            if call == "write":
                folder, path, data = arguments
                super().write(folder, path, data[: len(data) // 2])
            self._fault()


def _counted(call: str) -> Callable[..., Any]:
    def counted(self: FaultyDisk, *arguments: Any) -> Any:
        self.step(call, *arguments)
        return getattr(Disk, call)(self, *arguments)

    return counted


for _call in CALLS:
    setattr(FaultyDisk, _call, _counted(_call))


def no_space() -> None:
    raise OSError(errno.ENOSPC, "no")


def refusal_of(attempt: Callable[[], None]) -> NotSavedError | None:
    try:
        attempt()
    except NotSavedError as error:
        return error
    return None


@pytest.mark.parametrize("before", [None, OLD], ids=["new", "replaced"])
def test_whoever_is_killed_at_any_step_leaves_the_old_one_or_the_new_one(root, before):
    seen = []
    for nth in count(1):
        assert nth < MOST_STEPS
        store = Specifications(str(root))
        store.save(before) if before else store.remove(("web",))
        store.close()
        pid = os.fork()
        if pid == 0:
            try:
                Specifications(str(root), FaultyDisk(nth, lambda: os._exit(9))).save(NEWER)
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        left = found(root)
        assert left in ([before] if before else [], [NEWER])
        seen.append(left == [NEWER])
        if status == 0:
            break
    assert seen[-1]
    assert seen == sorted(seen)  # once the new one is there it stays
    assert seen.count(False) >= 4


@pytest.mark.parametrize("before", [None, OLD], ids=["new", "replaced"])
def test_a_disk_that_fails_at_any_step_is_told_and_leaves_no_half_of_it(root, before):
    for nth in count(1):
        assert nth < MOST_STEPS
        store = Specifications(str(root))
        store.save(before) if before else store.remove(("web",))
        store.close()
        failing = Specifications(str(root), FaultyDisk(nth, no_space))
        refusal = refusal_of(lambda: failing.save(NEWER))  # noqa: B023 (called at once)
        failing.close()
        if refusal is None:
            break
        assert (refusal.symbol, refusal.number) == ("ENOSPC", errno.ENOSPC)
        assert str(root) in (refusal.hint or "")
        assert found(root) in ([before] if before else [], [before and NEWER])
        assert not (root / NEW).exists()
    assert nth >= 5


def test_a_disk_that_recovers_can_be_saved_to(root):
    store = Specifications(str(root), FaultyDisk(2, no_space))
    try:
        with pytest.raises(NotSavedError):
            store.save(OLD)
        store.save(OLD)
        assert list(store.load()) == [OLD]
    finally:
        store.close()


def test_removal_that_fails_is_told_and_the_rest_stays(root, store):
    store.save(OLD)
    store.close()
    failing = Specifications(str(root), FaultyDisk(2, no_space))
    try:
        with pytest.raises(NotSavedError, match="unlink"):
            failing.remove(("web",))
    finally:
        failing.close()
    assert found(root) == [OLD]
