"""Specifications on disk: what is saved is loaded, by one daemon at a time and for its user alone."""

from __future__ import annotations

import pytest

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.errors import InvalidRequestError, NotSavedError
from socketd.runtime.specification_format import MOST_BYTES
from socketd.runtime.specifications import SOCKETS, Specifications
from tests.unit.runtime.specification_folder import NEWER, OLD, root, store

__all__ = ["root", "store"]  # fixtures


def test_what_is_saved_is_loaded_and_what_is_removed_is_not(root, store):
    other = Saved("x" * 255, Owner(0), {})
    store.save(OLD)
    store.save(other)
    store.save(NEWER)
    assert list(store.load()) == [NEWER, other]
    store.remove(("web", "x" * 255, "never-saved"))
    assert list(store.load()) == []
    assert list((root / SOCKETS).iterdir()) == []


def test_nothing_is_made_before_something_is_saved(root, store):
    assert list(store.load()) == []
    store.remove(("web",))
    assert not root.exists()


def test_an_empty_folder_is_not_written_to_by_looking(root, store):
    root.mkdir()
    assert list(store.load()) == []
    store.remove(("web",))
    assert list(root.iterdir()) == []


def test_only_our_user_may_look(root, store):
    store.save(OLD)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
    assert modes == {"state": 0o700, "sockets": 0o700, "tmp": 0o700, "web": 0o600}


def test_a_state_directory_that_is_a_file_is_told(root, store):
    root.write_text("")
    with pytest.raises(NotSavedError) as caught:
        store.save(OLD)
    assert caught.value.symbol == "ENOTDIR"
    with pytest.raises(NotSavedError):
        store.load()


def test_a_second_daemon_is_kept_out_until_the_first_ends(root, store):
    store.save(OLD)
    second = Specifications(str(root))
    try:
        for attempt in (second.load, lambda: second.save(NEWER), lambda: second.remove(("web",))):
            with pytest.raises(NotSavedError) as caught:
                attempt()
            assert (caught.value.symbol, caught.value.syscall) == ("EBUSY", "flock")
        store.close()
        assert list(second.load()) == [OLD]
    finally:
        second.close()


def test_one_that_is_too_long_is_refused_before_anything_is_written(root, store):
    with pytest.raises(InvalidRequestError) as caught:
        store.save(Saved("web", Owner(0), {"options": {"SO_MARK": "x" * MOST_BYTES}}))
    assert (caught.value.symbol, caught.value.member) == ("EMSGSIZE", "persist")
    assert not root.exists()
