"""The heir of a daemon that is killed at one exact moment; the test is the keeper."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from socketd.keeper import protocol
from socketd.kernel import scm
from socketd.runtime.keeping.heir import NAME
from socketd.runtime.keeping.will import MOST_BYTES, Page, Will
from tests import heir_process
from tests.daemon_process import child_environment
from tests.heir_process import PACKET, Moment
from tests.system.place import await_true
from tests.system.supervised import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 30.0  # bounds of what takes milliseconds


class Daemon:
    """A process with an heir, and the keeper's end of its line."""

    def __init__(self, folder: Path, moment: Moment) -> None:
        self._opened = ExitStack()
        keeper = self._opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        keeper.bind(str(folder / "keeper"))
        keeper.listen()
        self.process = subprocess.Popen(
            [sys.executable, heir_process.__file__, str(folder / "keeper"), moment],
            env=child_environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.said = self.hear()
        if not self.said.isdecimal():
            return
        self.client = self._opened.enter_context(socket.create_connection(("127.0.0.1", int(self.said))))
        self.client.settimeout(WAIT_S)
        keeper.settimeout(WAIT_S)
        self.line = self._opened.enter_context(keeper.accept()[0])
        self.tell()
        assert self.hear() == "there"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        _, self.log = self.process.communicate(timeout=WAIT_S)
        self._opened.close()

    @property
    def heir(self) -> int:
        """Its process."""
        (pid,) = children(self.process.pid)
        return pid

    def hear(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def tell(self) -> None:
        """Have it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it, and wait until all that it had open is closed; its heir may have said something before."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def packets(self) -> list[scm.Message]:
        """Return all that came until the end of the line."""
        found = []
        while True:
            assert select.select([self.line], [], [], WAIT_S)[0]
            came = scm.receive(self.line.fileno(), protocol.MOST_BYTES)
            if not came.data:
                return found
            found.append(came)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[[Moment], Daemon]]:
    """Start daemons; they are gone at the end."""
    with ExitStack() as started:
        yield lambda moment: started.enter_context(Daemon(tmp_path, moment))


@pytest.mark.parametrize("moment", [Moment.ACCEPTED, Moment.OVERTAKEN])
def test_connection_that_was_just_accepted_reaches_the_keeper(daemon, moment):
    killed = daemon(moment)
    killed.kill()
    (last_word,) = killed.packets()
    assert last_word.data == PACKET
    with socket.socket(fileno=last_word.descriptors[0]) as connection:
        connection.sendall(b"not lost")
    assert killed.client.recv(64) == b"not lost"
    assert killed.client.recv(64) == b""  # nobody else has it


def test_connection_that_was_sent_may_come_twice_and_is_the_same(daemon):
    killed = daemon(Moment.SENT)
    killed.kill()
    first, second = killed.packets()
    assert first.data == second.data == PACKET
    (one,), (other,) = first.descriptors, second.descriptors
    assert os.fstat(one).st_ino == os.fstat(other).st_ino
    scm.close((one, other))


@pytest.mark.parametrize("moment", [Moment.TORN, Moment.NOTHING_CAME, Moment.STRANGER])
def test_nothing_is_said_when_nothing_is_left_to_say(daemon, moment):
    killed = daemon(moment)
    killed.kill()
    said = killed.packets()
    assert len(said) == (moment is Moment.TORN)  # the daemon's own
    for message in said:
        scm.close(message.descriptors)
    with pytest.raises(ConnectionResetError) if moment is not Moment.TORN else ExitStack():
        assert killed.client.recv(1) == b""


def test_heir_heeds_no_signal_while_the_daemon_lives(daemon):
    living = daemon(Moment.ACCEPTED)
    heir = living.heir
    # It may not have run yet: the daemon does not wait for it.
    await_true(lambda: Path(f"/proc/{heir}/comm").read_text().strip() == NAME, lambda: "it has no name")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM, signal.SIGTERM):
        os.kill(heir, number)
    await_true(lambda: pending(heir) & 1 << signal.SIGTERM - 1 == 0, lambda: "SIGTERM was not taken")
    assert living.heir == heir
    assert not select.select([living.line], [], [], 0)[0]


def test_heir_is_not_in_the_group_that_is_killed_with_the_daemon(daemon):
    living = daemon(Moment.ACCEPTED)
    await_true(lambda: os.getpgid(living.heir) == living.heir, lambda: "it is in the daemon's group")


def test_daemon_that_ends_leaves_no_heir(daemon):
    living = daemon(Moment.ENDED)
    assert children(living.process.pid) == []


def test_death_of_the_heir_is_told_once_and_harms_nobody(daemon):
    bereft = daemon(Moment.ACCEPTED)
    os.kill(bereft.heir, signal.SIGKILL)
    await_true(lambda: state(bereft.heir) == "Z", lambda: "it lives")
    bereft.tell()
    _, log = bereft.process.communicate(timeout=WAIT_S)
    assert bereft.process.returncode == 0
    assert log.decode().count(f"{NAME} (pid ") == 1


def test_process_with_threads_gets_no_heir(daemon):
    assert daemon(Moment.THREADED).said == "another thread runs already"


def test_will_that_is_left_is_read_until_it_is_torn():
    page = Page()
    try:
        assert page.read() is None
        with socket.socket() as listener:
            page.write(7, listener.fileno(), b"packet")
            will = page.read()
            assert will is not None
            free = os.dup(listener.fileno())
            os.close(free)
            assert will == Will(7, listener.fileno(), (free, will.candidates[1]), b"packet")
            assert will.candidates[1] > free
        page.tear()
        assert page.read() is None
    finally:
        page.close()


def test_longest_packet_with_one_note_fits():
    assert protocol.MOST_NOTE_BYTES + 64 < MOST_BYTES


def pending(pid: int) -> int:
    """Return the signals that a process has not taken yet, as a mask."""
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("ShdPnd:"))
    return int(line.split()[1], 16)


def state(pid: int) -> str:
    """Return what ps(1) calls the state of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
