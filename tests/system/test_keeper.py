"""The keeper as a process: how it starts and ends, and what it can hold."""

from __future__ import annotations

import errno
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from socketd.keeper.protocol import Mode, Record, Store, fitting
from tests.unit.keeper.keeper_process import DAEMON_FOLDER, KeeperProcess, from_store, keeping
from tests.unit.keeper.parties import PATIENCE_S, Daemon, Manager, fetched, has_ended, inode

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as played:
        yield played


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def keeper(tmp_path: Path, manager: Manager) -> Iterator[KeeperProcess]:
    with keeping(tmp_path, manager, capacity=8) as started:
        yield started


def test_the_path_is_for_its_owner_alone(keeper):
    assert stat.S_IMODE(Path(keeper.path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(keeper.path).parent.stat().st_mode) == 0o700


def test_a_second_keeper_says_who_serves_there(keeper, pair):
    with Daemon(keeper.path) as daemon:
        second = keeper.launch()
        assert second.wait(PATIENCE_S) == 1
        assert f"another keeper serves there (pid {keeper.process.pid})" in keeper.log
        daemon.store(64, pair[0].fileno())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_leaves_the_store_what_it_has(keeper, manager, pair, number):
    ours, theirs = pair
    with Daemon(keeper.path) as daemon:
        daemon.store(64, ours.fileno())
        from_store(manager, 1)
    ours.close()
    assert keeper.kill(number) == 0
    assert not list(Path(keeper.path).parent.iterdir())
    manager.read_until("STOPPING=1")
    assert sorted(manager.stored) == ["notes", "s64"]
    assert not has_ended(theirs)


def test_it_ends_cleanly_with_what_nobody_else_has(tmp_path, manager, pair):
    ours, theirs = pair
    with keeping(tmp_path, manager) as keeper:
        with Daemon(keeper.path) as daemon:
            daemon.store(64, ours.fileno())
        ours.close()
        assert keeper.kill(signal.SIGTERM) == 0
        assert has_ended(theirs)


def test_sighup_is_nothing_to_it(keeper, pair):
    keeper.process.send_signal(signal.SIGHUP)
    with Daemon(keeper.path) as daemon:
        daemon.store(64, pair[0].fileno())


def test_a_killed_keeper_leaves_its_path_to_the_next(keeper):
    keeper.kill()
    assert Path(keeper.path).exists()
    keeper.start()
    assert fetched(keeper.path) == {}


def test_what_is_no_socket_is_left_alone(tmp_path, manager):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "k.sock").write_text("precious")
    keeper = KeeperProcess(tmp_path, manager)
    assert keeper.launch().wait(PATIENCE_S) == 1
    assert "no socket" in keeper.log
    assert (tmp_path / "run" / "k.sock").read_text() == "precious"


def test_all_of_it_is_imported_from_the_standard_library_and_itself():
    code = "import sys; import socketd.keeper.process; print(*sorted({*sys.modules} - {'__main__'}))"
    out = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(DAEMON_FOLDER)},
        check=True,
        capture_output=True,
    ).stdout.decode()
    packages = {name.partition(".")[0] for name in out.split()} - set(sys.stdlib_module_names)
    assert packages == {"socketd"}
    ours = {
        name for name in out.split() if name.startswith("socketd.") and not name.startswith("socketd.keeper")
    }
    readers = {f"socketd.kernel.{each}" for each in ("scm", "facts", "sockopt", "path_lock")}
    assert ours == {"socketd.kernel", *readers}


def test_out_of_descriptors_it_refuses_and_loses_nothing(tmp_path, manager, pair):
    with keeping(tmp_path, manager, limit=128) as keeper:
        with Daemon(keeper.path) as daemon:
            daemon.store(64, pair[0].fileno(), b"held")
            records = tuple(Record(number, b"") for number in range(65, 265))
            daemon.say(Store(0, records), [pair[1].fileno()] * 200)
            refused = daemon.refusal()
            assert refused.errno == errno.EMFILE
            assert "LimitNOFILE" in refused.text
        assert fetched(keeper.path) == {64: b"held"}
        with Daemon(keeper.path) as daemon:
            daemon.store(65, pair[1].fileno())


def test_5000_are_held_and_given_back(tmp_path, manager, pair):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6000:
        pytest.skip(f"needs 6000 descriptors, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with keeping(tmp_path, manager) as keeper:
            before = keeper.resident_bytes()
            with Daemon(keeper.path) as daemon:
                for part in fitting(Record(number, b"n" * 150) for number in range(64, 5064)):
                    daemon.do(Store(0, part), [pair[0].fileno()] * len(part))
            assert (keeper.resident_bytes() - before) / 5000 < 2048
            with Daemon(keeper.path, Mode.FETCH) as successor:
                had = successor.fetch()
                assert sorted(had) == list(range(64, 5064))
                assert {inode(fd) for _, fd in had.values()} == {inode(pair[0].fileno())}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
