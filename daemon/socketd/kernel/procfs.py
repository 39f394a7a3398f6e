"""A process and its descriptor table as /proc shows them."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from socketd.errors import UnknownDescriptorError
from socketd.kernel import open_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

_SELF = "/proc/self"
_PPID_FIELD = 1  # of /proc/<pid>/stat, counted from 0 behind the command's closing parenthesis
_THREADS_FIELD = 17
_START_FIELD = 19
_EFFECTIVE = 1  # of the four ids real, effective, saved, file system
_LIMIT_LINE = "Max open files"
_HARD_COLUMN = 1
_KIB = 1024
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One line of the descriptor table."""

    fd: int
    link: str


@dataclass(frozen=True, slots=True)
class FdInfo:
    """One file of ``/proc/<pid>/fdinfo``.

    Attributes:
        flags: The open flags, which the file writes in octal.
        flag_names: The same, access mode first; bits without a name are one octal number at the end.
        ino: ``None`` before Linux 5.14.
        text: The file as it was.
        extra: The other lines, in order; a name may come more than once (epoll's ``tfd``).
    """

    pos: int
    flags: int
    flag_names: tuple[str, ...]
    mnt_id: int
    ino: int | None
    text: str
    extra: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/<pid>/stat`` says and ``status`` does not, or not as well.

    Attributes:
        started_ticks: After boot, in ``sysconf(_SC_CLK_TCK)`` a second.
    """

    pid: int
    ppid: int
    threads: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class Status:
    """What ``/proc/<pid>/status`` says of the owner and the memory."""

    uid: int
    gid: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        uid: The effective one, as ``gid``.
        command: Its arguments; empty for a kernel thread or a zombie.
        started_at: Unix seconds, to a hundredth.
        rss_bytes: 0 for a kernel thread or a zombie.
        descriptor_limit_soft: ``resource.RLIM_INFINITY`` for no limit, as the hard one.
    """

    pid: int
    ppid: int
    uid: int
    gid: int
    command: tuple[str, ...]
    started_at: float
    threads: int
    rss_bytes: int
    descriptor_limit_soft: int
    descriptor_limit_hard: int
    descriptors_open: int


def descriptors(proc: str = _SELF) -> Iterator[Descriptor]:
    """Tell the open descriptors and what each refers to, by number; some 6 microseconds each.

    Raises:
        OSError: The process is gone, or not ours to look into.
    """
    for fd in sorted(int(name) for name in os.listdir(f"{proc}/fd")):
        try:
            yield Descriptor(fd, _link(fd, proc))
        except FileNotFoundError:
            # Closed between listdir and readlink; of our own table the listing's own descriptor always is.
            continue


def descriptor_link(fd: int, proc: str = _SELF) -> str:
    """Read what a descriptor refers to (``socket:[4711]``, or a path).

    Raises:
        UnknownDescriptorError: No such descriptor is open.
    """
    try:
        return _link(fd, proc)
    except FileNotFoundError:
        raise UnknownDescriptorError(fd) from None


def fdinfo(fd: int, proc: str = _SELF) -> FdInfo:
    """Read position, flags, mount and inode of a descriptor.

    Raises:
        UnknownDescriptorError: No such descriptor is open.
    """
    try:
        return decode_fdinfo(_text(f"{proc}/fdinfo/{fd}"))
    except FileNotFoundError:
        raise UnknownDescriptorError(fd) from None


def decode_fdinfo(text: str) -> FdInfo:
    """Turn the text of ``/proc/<pid>/fdinfo/<fd>`` into a record.

    Raises:
        ValueError: ``pos``, ``flags`` or ``mnt_id`` is missing or no number.

    Source: proc(5) /proc/pid/fdinfo.
    """
    pairs = [
        (name, value.strip()) for name, _, value in (line.partition(":") for line in text.split("\n") if line)
    ]
    known = {name: value for name, value in pairs if name in ("pos", "flags", "mnt_id", "ino")}
    missing = {"pos", "flags", "mnt_id"} - known.keys()
    if missing:
        raise ValueError(f"fdinfo without {', '.join(sorted(missing))}")
    flags = int(known["flags"], 8)
    return FdInfo(
        pos=int(known["pos"]),
        flags=flags,
        flag_names=open_flags.names(flags),
        mnt_id=int(known["mnt_id"]),
        ino=int(known["ino"]) if "ino" in known else None,
        text=text,
        extra=tuple(pair for pair in pairs if pair[0] not in known),
    )


def process(proc: str = _SELF) -> Process:
    """Read who a process is and how much it uses.

    Raises:
        OSError: The process is gone, or not ours to look into.
        ValueError: A file there is not what proc(5) says.
    """
    stat = decode_stat(_text(f"{proc}/stat"))
    status = decode_status(_text(f"{proc}/status"))
    soft, hard = decode_descriptor_limits(_text(f"{proc}/limits"))
    return Process(
        pid=stat.pid,
        ppid=stat.ppid,
        uid=status.uid,
        gid=status.gid,
        command=decode_command(_text(f"{proc}/cmdline")),
        started_at=_unix_seconds(stat.started_ticks),
        threads=stat.threads,
        rss_bytes=status.rss_bytes,
        descriptor_limit_soft=soft,
        descriptor_limit_hard=hard,
        descriptors_open=_count_descriptors(proc, is_own=stat.pid == os.getpid()),
    )


def decode_stat(text: str) -> Stat:
    """Turn the text of ``/proc/<pid>/stat`` into a record.

    Raises:
        ValueError: ``text`` ends before the start time, or holds no number where one belongs.

    Source: proc(5) /proc/pid/stat.
    """
    # The command may hold blanks and parentheses of its own, so only the last parenthesis ends it.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) <= _START_FIELD:
        raise ValueError("/proc/pid/stat ends before the start time")
    return Stat(
        pid=int(head.partition(" ")[0]),
        ppid=int(fields[_PPID_FIELD]),
        threads=int(fields[_THREADS_FIELD]),
        started_ticks=int(fields[_START_FIELD]),
    )


def decode_status(text: str) -> Status:
    """Turn the text of ``/proc/<pid>/status`` into a record.

    Raises:
        ValueError: The lines ``Uid`` or ``Gid`` are missing or short.

    Source: proc(5) /proc/pid/status.
    """
    lines = {name: value.split() for name, _, value in (line.partition(":") for line in text.split("\n"))}
    try:
        return Status(
            uid=int(lines["Uid"][_EFFECTIVE]),
            gid=int(lines["Gid"][_EFFECTIVE]),
            rss_bytes=int(lines.get("VmRSS", ["0"])[0]) * _KIB,
        )
    except LookupError:
        raise ValueError("/proc/pid/status lacks Uid, Gid or VmRSS") from None


def decode_descriptor_limits(text: str) -> tuple[int, int]:
    """Find the soft and the hard limit of open files in ``/proc/<pid>/limits``.

    Raises:
        ValueError: There is no such line, or it is short.

    Source: proc(5) /proc/pid/limits.
    """
    for line in text.split("\n"):
        if line.startswith(_LIMIT_LINE):
            columns = line.removeprefix(_LIMIT_LINE).split()
            if len(columns) > _HARD_COLUMN:
                return _limit(columns[0]), _limit(columns[_HARD_COLUMN])
    raise ValueError(f"/proc/pid/limits lacks {_LIMIT_LINE!r}")


def decode_command(text: str) -> tuple[str, ...]:
    """Split ``/proc/<pid>/cmdline`` into arguments; one that is empty counts.

    Source: proc(5) /proc/pid/cmdline.
    """
    return tuple(text.removesuffix("\0").split("\0")) if text else ()


def _limit(column: str) -> int:
    return resource.RLIM_INFINITY if column == "unlimited" else int(column)


def _unix_seconds(ticks_after_boot: int) -> float:
    # Not from btime of /proc/stat, which ProcSubset=pid hides. The clock's offset is read anew each time and
    # jitters by microseconds, hence rounding to the hundredth that a tick is.
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(booted_at + ticks_after_boot / os.sysconf("SC_CLK_TCK"), 2)


def _count_descriptors(proc: str, *, is_own: bool) -> int:
    # The listing of our own table holds the descriptor it is made with.
    return len(os.listdir(f"{proc}/fd")) - is_own


def _link(fd: int, proc: str) -> str:
    return os.readlink(f"{proc}/fd/{fd}")  # decoded as os.fsdecode does


def _text(path: str) -> str:
    # os.open costs half of open(), and st_size says 0 here: read until nothing comes.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fsdecode(b"".join(iter(lambda: os.read(fd, _READ_BYTES), b"")))
    finally:
        os.close(fd)
