"""Descriptors and processes: emulated /proc directories first, then the real one."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.errors import UnknownDescriptorError
from socketd.kernel import procfs

NOT_OPEN = 900_000
STAT = "4711 (a) b (c d) S 12 4711 4711 0 -1 4194560 99 0 0 0 5 6 0 0 20 0 3 0 250 9999 640\n"
STATUS = (
    "Name:\ta b\nUid:\t1000\t1001\t1002\t1003\nGid:\t100\t101\t102\t103\nVmRSS:\t    2048 kB\nThreads:\t3\n"
)
LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             7                    8                    processes \n"
    "Max open files            1024                 524288               files     \n"
)
REASON = "without|ends before|lacks|invalid literal"
FDINFO = "pos:\t0\nflags:\t02004002\nmnt_id:\t10\nino:\t14941\n"


@pytest.fixture
def proc(tmp_path):
    """Emulate /proc/4711, with descriptors 0, 2 and 10."""
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "limits").write_text(LIMITS)
    (tmp_path / "cmdline").write_bytes(b"/bin/a\0\0-x y\0\xff\0")
    (tmp_path / "fd").mkdir()
    (tmp_path / "fdinfo").mkdir()
    for number, link in ((10, "socket:[4711]"), (2, "/dev/null"), (0, os.fsdecode(b"/tmp/\xff (deleted)"))):
        (tmp_path / "fd" / str(number)).symlink_to(link)
    (tmp_path / "fdinfo" / "10").write_text(FDINFO)
    return str(tmp_path)


def test_descriptors_come_by_number(proc):
    assert list(procfs.descriptors(proc)) == [
        procfs.Descriptor(0, "/tmp/\udcff (deleted)"),
        procfs.Descriptor(2, "/dev/null"),
        procfs.Descriptor(10, "socket:[4711]"),
    ]


def test_descriptors_of_a_process_that_is_gone_are_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(procfs.descriptors(str(tmp_path / "4712")))


@pytest.mark.parametrize("fd", [1, -1, NOT_OPEN])
def test_number_that_is_not_open_is_an_unknown_descriptor(proc, fd):
    for ask in (procfs.descriptor_link, procfs.fdinfo):
        for where in (proc, "/proc/self") if fd != 1 else (proc,):
            with pytest.raises(UnknownDescriptorError) as caught:
                ask(fd, where)
            assert caught.value.subject == str(fd)


def test_emulated_descriptor_is_read(proc):
    assert procfs.descriptor_link(10, proc) == "socket:[4711]"
    assert procfs.fdinfo(10, proc) == procfs.FdInfo(
        pos=0,
        flags=0o2004002,
        flag_names=("O_RDWR", "O_NONBLOCK", "O_CLOEXEC"),
        mnt_id=10,
        ino=14941,
        text=FDINFO,
        extra=(),
    )


@pytest.mark.parametrize("missing", ["pos", "flags", "mnt_id"])
def test_fdinfo_without_a_line_every_kernel_has_is_a_value_error(missing):
    text = "".join(line for line in FDINFO.splitlines(keepends=True) if not line.startswith(missing))
    with pytest.raises(ValueError, match=missing):
        procfs.decode_fdinfo(text)


def test_fdinfo_of_an_older_kernel_has_no_inode():
    assert procfs.decode_fdinfo("pos:\t7\nflags:\t0100001\nmnt_id:\t9\n").ino is None


def test_fdinfo_keeps_the_other_lines_in_order():
    info = procfs.decode_fdinfo(FDINFO + "tfd:        5 events:       19\ntfd:        6 events: 1\nlock:\n")
    assert info.extra == (("tfd", "5 events:       19"), ("tfd", "6 events: 1"), ("lock", ""))


@given(st.text(max_size=200))
def test_any_text_is_a_record_or_a_value_error(text):
    for decode in (
        procfs.decode_fdinfo,
        procfs.decode_stat,
        procfs.decode_status,
        procfs.decode_descriptor_limits,
    ):
        with pytest.raises(ValueError, match=REASON):
            decode(text)
    assert isinstance(procfs.decode_command(text), tuple)


@given(st.text(alphabet="posflagmntdi_:\t \n-0123456789", max_size=60))
def test_any_lines_beside_a_good_fdinfo_do_no_harm(text):
    try:
        info = procfs.decode_fdinfo(FDINFO + text)
    except ValueError:
        return
    assert info.text == FDINFO + text


def test_emulated_process_is_read(proc):
    process = procfs.process(proc)
    assert (process.pid, process.ppid, process.threads) == (4711, 12, 3)
    assert (process.uid, process.gid, process.rss_bytes) == (1001, 101, 2 << 20)
    assert process.command == ("/bin/a", "", "-x y", "\udcff")
    assert (process.descriptor_limit_soft, process.descriptor_limit_hard) == (1024, 524_288)
    assert process.descriptors_open == 3


@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (procfs.decode_stat, STAT[:60]),
        (procfs.decode_stat, STAT.replace("4711 (", "x (")),
        (procfs.decode_status, STATUS.replace("1001", "")[: STATUS.index("Gid")]),
        (procfs.decode_status, "Uid:\t1\nGid:\t1\n"),
        (procfs.decode_descriptor_limits, LIMITS.replace("Max open files", "Max closed files")),
        (procfs.decode_descriptor_limits, "Max open files            1024"),
    ],
)
def test_too_short_text_is_a_value_error(decode, text):
    with pytest.raises(ValueError, match=REASON):
        decode(text)


def test_no_limit_is_infinity():
    text = LIMITS.replace("524288", "unlimited")
    assert procfs.decode_descriptor_limits(text) == (1024, resource.RLIM_INFINITY)


def test_kernel_thread_has_no_command_and_no_memory():
    assert procfs.decode_command("") == ()
    assert procfs.decode_status("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n") == procfs.Status(0, 0, 0)


def test_own_process_is_this_one():
    process = procfs.process()
    assert (process.pid, process.ppid) == (os.getpid(), os.getppid())
    assert (process.uid, process.gid) == (os.geteuid(), os.getegid())
    assert list(process.command) == sys.orig_argv
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (process.descriptor_limit_soft, process.descriptor_limit_hard) == limits
    assert process.descriptors_open == len(list(procfs.descriptors()))
    assert process.rss_bytes > 1 << 20


def test_start_of_a_child_lies_between_before_and_after():
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()", "odd ) name"], stdin=subprocess.PIPE) as child:
        started_at = procfs.process(f"/proc/{child.pid}").started_at
        after = time.time()
        child.communicate(b"\n", timeout=30)
    assert before - 2 * tick_s <= started_at <= after + 2 * tick_s


def test_command_name_with_blanks_and_parentheses_is_skipped(tmp_path):
    program = tmp_path / "a ) (b c"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        assert child.stdout.readline() == b"\n"
        process = procfs.process(f"/proc/{child.pid}")
        child.communicate(b"\n", timeout=30)
    assert (process.pid, process.ppid, process.threads) == (child.pid, os.getpid(), 1)
    assert process.command == (str(program), "-c", "print(flush=True); input()")


def test_own_descriptors_are_the_real_ones(listener):
    table = {descriptor.fd: descriptor.link for descriptor in procfs.descriptors()}
    fd = listener.fileno()
    assert table[fd] == procfs.descriptor_link(fd) == f"socket:[{os.fstat(fd).st_ino}]"
    assert list(table) == sorted(table)
    assert not [fd for fd in table if not os.path.lexists(f"/proc/self/fd/{fd}")]


def test_fdinfo_of_a_socket_agrees_with_the_system_calls(listener):
    listener.settimeout(0)
    info = procfs.fdinfo(listener.fileno())
    assert info.ino == os.fstat(listener.fileno()).st_ino
    assert info.flag_names == ("O_RDWR", "O_NONBLOCK", "O_CLOEXEC")
    listener.settimeout(None)
    fcntl.fcntl(listener, fcntl.F_SETFD, 0)
    assert procfs.fdinfo(listener.fileno()).flag_names == ("O_RDWR",)


def test_fdinfo_of_a_file_has_its_position(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.lseek(fd, 42, os.SEEK_SET)
        info = procfs.fdinfo(fd)
    finally:
        os.close(fd)
    assert info.pos == 42
    assert info.flag_names == ("O_WRONLY", "O_APPEND", "O_LARGEFILE", "O_CLOEXEC")


def test_fdinfo_longer_than_one_read_is_whole(stack):
    epoll = stack.enter_context(select.epoll())
    for _ in range(100):
        epoll.register(stack.enter_context(socket.socket()), select.EPOLLIN)
    info = procfs.fdinfo(epoll.fileno())
    assert [name for name, _ in info.extra] == ["tfd"] * 100
