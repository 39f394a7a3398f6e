"""The granted folder itself is made where the one above is ours, and nowhere else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tests.unit.service.granted_folders import STRANGER, as_root, bind, granted, refused

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["granted"]  # a fixture


def test_a_granted_folder_is_made_where_the_one_above_is_ours(granted: Path):
    path = granted / "ann" / "x.sock"
    assert bind(path, granted / "ann") is not None
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711


def test_only_the_last_folder_is_made(granted: Path):
    assert refused(granted / "deep" / "ann" / "x.sock", granted / "deep" / "ann").symbol == "ENOENT"
    assert list(granted.iterdir()) == []


def test_no_folder_is_made_where_others_may_write(granted: Path):
    granted.chmod(0o1777)
    assert refused(granted / "ann" / "x.sock", granted / "ann").symbol == "ENOENT"
    assert list(granted.iterdir()) == []


@as_root
def test_no_folder_is_made_where_a_strangers_link_leads(granted: Path):
    (granted / "target").mkdir()
    theirs = granted / "theirs"
    theirs.mkdir()
    (theirs / "run").symlink_to(granted / "target")
    os.chown(theirs, STRANGER, -1)
    assert refused(theirs / "run" / "ann" / "x.sock", theirs / "run" / "ann").code == "not_permitted"
    assert list((granted / "target").iterdir()) == []
