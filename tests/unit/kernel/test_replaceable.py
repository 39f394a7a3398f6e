"""A path lasts where every folder of it is trusted; the first part that others could replace is told."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from socketd.kernel.replaceable import first_replaceable

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED = {0, os.geteuid()}
STRANGER = 4_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    found = tmp_path / "a" / "b" / "c"
    found.mkdir(parents=True)
    return found


@pytest.mark.parametrize("mode", [0o757, 0o775, 0o777, 0o1775 & ~stat.S_ISVTX])
def test_what_is_in_a_folder_that_others_may_write_to_is_replaceable(deep: Path, mode: int):
    holder = deep.parent
    holder.chmod(mode)
    found = first_replaceable(str(deep), TRUSTED)
    assert found is not None
    assert (found.path, found.holder, found.mode) == (str(deep), str(holder), mode)


@as_root
def test_what_is_in_a_strangers_folder_is_replaceable_and_the_folder_itself_is_not(deep: Path):
    os.chown(deep.parent, STRANGER, -1)
    found = first_replaceable(str(deep), TRUSTED)
    assert found is not None
    assert (found.path, found.uid) == (str(deep), STRANGER)
    assert first_replaceable(str(deep.parent), TRUSTED) is None


@as_root
def test_the_sticky_bit_protects_what_is_trusted_and_nothing_else(deep: Path):
    deep.parent.chmod(0o1777)
    assert first_replaceable(str(deep), TRUSTED) is None
    os.chown(deep, STRANGER, -1)
    assert first_replaceable(str(deep), TRUSTED) is not None


def test_a_link_lasts_as_long_as_what_it_leads_over(deep: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to("a/../a/b")
    assert first_replaceable(str(link / "c"), TRUSTED) is None
    deep.parent.parent.chmod(0o777)
    found = first_replaceable(str(link / "c"), TRUSTED)
    assert found is not None
    assert found.path == str(deep.parent)


def test_a_link_in_a_folder_that_others_may_write_to_is_replaceable(deep: Path):
    link = deep.parent / "link"
    link.symlink_to("/")
    deep.parent.chmod(0o777)
    found = first_replaceable(f"{link}/etc", TRUSTED)
    assert found is not None
    assert found.path == str(link)


def test_links_in_a_ring_are_eloop(tmp_path: Path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        first_replaceable(str(tmp_path / "one"), TRUSTED)


def test_what_is_not_there_is_enoent(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        first_replaceable(str(tmp_path / "nowhere" / "x"), TRUSTED)


@pytest.mark.parametrize("written", ["{}", "{}/", "/{}", "{}/."])
def test_trusted_folders_last(deep: Path, written: str):
    assert first_replaceable(written.format(deep), TRUSTED) is None
    assert first_replaceable("/", TRUSTED) is None
