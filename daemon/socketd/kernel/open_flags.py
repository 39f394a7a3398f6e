"""The names of open(2)'s flags, as fcntl(F_GETFL) and fdinfo give them in one number."""

from __future__ import annotations

import os

_ACCESS_MODES = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")

# x86-64's libc says O_LARGEFILE is 0, yet the kernel sets the bit and shows it. Architectures permute it with
# three other flags within 0100000 to 0400000, so it is the one those leave.
_TAKEN = (os.O_DIRECT, os.O_DIRECTORY, os.O_NOFOLLOW)
_O_LARGEFILE = next(bit for bit in (0o100000, 0o200000, 0o400000) if bit not in _TAKEN)

# Composites come first: O_SYNC contains O_DSYNC's bit, and O_TMPFILE contains O_DIRECTORY's.
_FLAGS = (
    ("O_TMPFILE", os.O_TMPFILE),
    ("O_SYNC", os.O_SYNC),
    ("O_CREAT", os.O_CREAT),
    ("O_EXCL", os.O_EXCL),
    ("O_NOCTTY", os.O_NOCTTY),
    ("O_TRUNC", os.O_TRUNC),
    ("O_APPEND", os.O_APPEND),
    ("O_NONBLOCK", os.O_NONBLOCK),
    ("O_DSYNC", os.O_DSYNC),
    ("O_ASYNC", os.O_ASYNC),
    ("O_DIRECT", os.O_DIRECT),
    ("O_LARGEFILE", _O_LARGEFILE),
    ("O_DIRECTORY", os.O_DIRECTORY),
    ("O_NOFOLLOW", os.O_NOFOLLOW),
    ("O_NOATIME", os.O_NOATIME),
    ("O_CLOEXEC", os.O_CLOEXEC),
    ("O_PATH", os.O_PATH),
)


def names(flags: int) -> tuple[str, ...]:
    """Name each flag, the access mode first; bits without a name are one octal number at the end.

    Source: open(2); include/uapi/asm-generic/fcntl.h.
    """
    found = [_ACCESS_MODES[flags & os.O_ACCMODE]]
    rest = flags & ~os.O_ACCMODE
    for name, bits in _FLAGS:
        if rest & bits == bits:
            found.append(name)
            rest &= ~bits
    if rest:
        found.append(f"{rest:#o}")
    return tuple(found)
