"""Specifications on disk: whole at any time, whoever is killed and whatever fails."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.owner import Owner, is_name
from socketd.core.saving import Saved, Unreadable
from socketd.errors import InvalidRequestError, NotSavedError, UnreadableSpecificationError
from socketd.runtime.disk import Disk
from socketd.runtime.specification_format import MOST_BYTES, VERSION, decode, encode
from socketd.runtime.specifications import NEW, SOCKETS, Specifications

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OLD = Saved("web", Owner(1000), {"bind": "127.0.0.1:3490", "listen": True})
NEWER = Saved(
    "web",
    Owner(1000),
    {"bind": "127.0.0.1:3491", "listen": {"backlog": 5}, "options": {"SO_REUSEPORT": True}},
)
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(root: Path) -> Iterator[Specifications]:
    made = Specifications(str(root))
    yield made
    made.close()


def found(root: Path) -> list[Saved | Unreadable]:
    """Read it as the next daemon does."""
    reader = Specifications(str(root))
    try:
        return list(reader.load())
    finally:
        reader.close()


def refusal_of(attempt: Callable[[], None]) -> NotSavedError | None:
    try:
        attempt()
    except NotSavedError as error:
        return error
    return None


def put(root: Path, name: str, text: str) -> Path:
    folder = root / SOCKETS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def unreadable(root: Path) -> UnreadableSpecificationError:
    (only,) = found(root)
    assert isinstance(only, Unreadable)
    return only.error


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


def test_a_newer_version_is_told_and_left_alone(root):
    path = put(root, "web", json.dumps({"version": VERSION + 1, "socket": "of the future"}))
    before = path.read_bytes()
    assert f"version {VERSION + 1}" in str(unreadable(root))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": "1"}',
        '{"version": 0, "name": "web", "owner": {"uid": 0}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"uid": -1}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"uid": 0, "token": "ci"}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"token": ""}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"uid": true}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"uid": 4294967295}, "specification": {}}',
        '{"version": 1, "name": "other", "owner": {"uid": 0}, "specification": {}}',
        '{"version": 1, "name": "web", "owner": {"uid": 0}, "specification": []}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        " " * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_specification_is_told_by_its_path(root, text):
    put(root, "web", text)
    assert str(root / SOCKETS / "web") in str(unreadable(root))


def test_what_is_no_ordinary_file_is_not_followed_or_waited_for(root):
    put(root, "fifo", "").unlink()
    os.mkfifo(root / SOCKETS / "fifo")
    (root / SOCKETS / "link").symlink_to(put(root, "web", encode(OLD).decode()))
    (root / SOCKETS / "folder").mkdir()
    loaded = found(root)
    assert [each.name for each in loaded] == ["fifo", "folder", "link", "web"]
    assert [isinstance(each, Saved) for each in loaded] == [False, False, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_believed(root):
    os.chown(put(root, "web", encode(OLD).decode()), 1234, 1234)
    assert "daemon's user" in str(unreadable(root))


@pytest.mark.parametrize("name", [".hidden", "64", "a b", "ü", "-", "web~", "#web#"])
def test_a_name_that_no_socket_can_have_is_somebody_elses_file(root, name):
    put(root, name, encode(OLD).decode())
    assert found(root) == []


def test_one_that_cannot_be_read_keeps_no_other_from_being_read(root, store):
    store.save(OLD)
    put(root, "broken", "{")
    broken, web = store.load()
    assert isinstance(broken, Unreadable)
    assert web == OLD


@given(
    st.from_regex(r"\A[A-Za-z][A-Za-z0-9._@-]{0,254}\Z"),
    st.one_of(
        st.builds(Owner, uid=st.integers(0, 2**32 - 2)),
        st.builds(Owner, token=st.text(min_size=1, max_size=60).filter(is_name)),
    ),
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    ),
)
def test_what_is_written_is_read(name, owner, document):
    saved = Saved(name, owner, document)
    assert decode(encode(saved), name, "file") == saved


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_told(data):
    with suppress(UnreadableSpecificationError):
        assert decode(data, "web", "file").name == "web"
