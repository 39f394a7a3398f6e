"""Names of open flags, composites above all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.kernel import open_flags


def large_file():
    """Read the bit from the kernel: libc calls it 0 on x86-64 and sets it all the same."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    finally:
        os.close(fd)
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags"))
    return flags & ~(os.O_DIRECTORY | os.O_CLOEXEC)


LARGE_FILE = large_file()


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (os.O_RDONLY, ("O_RDONLY",)),
        (os.O_WRONLY | os.O_NONBLOCK, ("O_WRONLY", "O_NONBLOCK")),
        (3, ("O_ACCMODE",)),
        (os.O_RDWR | os.O_SYNC, ("O_RDWR", "O_SYNC")),
        (os.O_RDWR | os.O_DSYNC, ("O_RDWR", "O_DSYNC")),
        (os.O_RDWR | os.O_TMPFILE, ("O_RDWR", "O_TMPFILE")),
        (os.O_DIRECTORY | os.O_CLOEXEC, ("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC")),
        (os.O_PATH | os.O_NOFOLLOW, ("O_RDONLY", "O_NOFOLLOW", "O_PATH")),
        (os.O_RDONLY | LARGE_FILE, ("O_RDONLY", "O_LARGEFILE")),
        (os.O_RDWR | 1 << 30, ("O_RDWR", "0o10000000000")),
    ],
)
def test_flags_have_their_names(flags, names):
    assert open_flags.names(flags) == names


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_names_hold_every_bit_once(flags):
    access_mode, *rest = open_flags.names(flags)
    bits = os.O_ACCMODE if access_mode == "O_ACCMODE" else getattr(os, access_mode)
    for name in rest:
        if name == "O_LARGEFILE":
            bits |= LARGE_FILE
        else:
            bits |= int(name, 8) if name.startswith("0o") else getattr(os, name)
    assert bits == flags
