"""An attacker for tests: another process that puts a link in the place of a folder, again and again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Puts a link in the place of a folder and the folder back, until its input ends; says first that it runs.
SWAPPING = """
import os, select, sys
folder, target, uid = sys.argv[1], sys.argv[2], int(sys.argv[3])
if uid >= 0:
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
os.symlink(target, folder + ".link")
print(flush=True)
while not select.select([0], [], [], 0)[0]:
    os.rename(folder, folder + ".kept")
    os.rename(folder + ".link", folder)
    os.rename(folder, folder + ".link")
    os.rename(folder + ".kept", folder)
"""


@contextmanager
def swapping(folder: Path, target: Path, uid: int = -1) -> Iterator[None]:
    """Have ``folder`` be by turns itself and a link to ``target`` while the block runs.

    Args:
        folder: In a folder that the attacker may write to.
        target: Where the link leads.
        uid: Whom the attacker runs as; -1: as we do.
    """
    command = [sys.executable, "-c", SWAPPING, str(folder), str(target), str(uid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        try:
            assert attacker.stdout.readline() == b"\n"
            yield
            assert attacker.poll() is None
        finally:
            attacker.stdin.close()
            attacker.wait()
