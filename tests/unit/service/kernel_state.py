"""What a call might leave behind: this process's descriptors, and what the kernel says of its sockets."""

from __future__ import annotations

from pathlib import Path

from tests.held import open_numbers

INODE_COLUMN = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "unix": 6, "netlink": 9}
"""Where proc_net(5) has it; other tests run in the same network namespace."""
ADDRESSES = slice(1, 4)  # local, remote, state; behind them are timers
GONE = "gone"


def kernel_state() -> set[tuple[str, ...]]:
    """Everything that a call might leave behind: our descriptors, and what the kernel says of our sockets."""
    found = {(number, link_of(number)) for number in open_numbers()}
    ours = {link[8:-1] for _, link in found if link.startswith("socket:[")}
    for name, column in INODE_COLUMN.items():
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[column] in ours:
                found.add((name, words[column], *(words[6:] if name == "unix" else words[ADDRESSES])))
    return {each for each in found if each[1] != GONE}


def link_of(number: str) -> str:
    """Where a descriptor leads; the one that listed them is closed by now."""
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return GONE
