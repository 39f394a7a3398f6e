"""What is found on disk is read as it was written, or told and left alone."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.core.owner import Owner, is_name
from socketd.core.saving import Saved, Unreadable
from socketd.errors import UnreadableSpecificationError
from socketd.runtime.specification_format import MOST_BYTES, VERSION, decode, encode
from socketd.runtime.specifications import SOCKETS
from tests.unit.runtime.specification_folder import OLD, found, root, store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["root", "store"]  # fixtures


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
