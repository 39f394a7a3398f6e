"""Whatever systemd looks after may die: nothing held is lost, doubled, or back again."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.system.bulk import Interruption, survive_interruption
from tests.system.deaths import Death, survive
from tests.system.machine import DAEMON, KEEPER, Machine
from tests.system.package import install, newer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.systemd_container import Container

pytestmark = pytest.mark.timeout(900)  # the first test of a session waits for the package to be built

KEEPING, MASTER, WORKER = ({name} for name in ("keeper", "master", "worker"))
EVERYBODY = KEEPING | MASTER | WORKER
NOBODY: set[str] = set()
BOTH = ("master", "worker")
ALL = (*BOTH, "keeper")


def killing(*names: str) -> Callable[[Machine], None]:
    return lambda machine: machine.signal(signal.SIGKILL, *names)


def stopping(name: str) -> Callable[[Machine], None]:
    return lambda machine: machine.signal(signal.SIGSTOP, name)


def ordering(*words: str) -> Callable[[Machine], None]:
    return lambda machine: machine.systemctl(*words)


def stop_and_start(machine: Machine) -> None:
    machine.systemctl("stop", DAEMON)
    assert set(machine.processes()) == {"keeper"}
    machine.systemctl("start", DAEMON)


def execute_systemd_anew(machine: Machine) -> None:
    machine.systemctl("daemon-reexec")
    machine.signal(signal.SIGKILL, "keeper", "master", "worker")


DEATHS = {
    "nobody": Death(lambda _: None, NOBODY),
    "worker": Death(killing("worker"), WORKER),
    "master": Death(killing("master"), MASTER | WORKER),
    "worker, then master": Death(killing("worker", "master"), MASTER | WORKER),
    "keeper": Death(killing("keeper"), KEEPING),
    "keeper, then daemon": Death(killing("keeper", "master", "worker"), EVERYBODY),
    "daemon, then keeper": Death(killing("master", "worker", "keeper"), EVERYBODY),
    "restart": Death(ordering("restart", DAEMON), MASTER | WORKER),
    "restart of the keeper": Death(ordering("restart", KEEPER), KEEPING),
    "restart of both": Death(ordering("restart", KEEPER, DAEMON), EVERYBODY),
    "stop and start": Death(stop_and_start, MASTER | WORKER),
    "reload": Death(ordering("reload", DAEMON), NOBODY),
    "daemon-reexec, then everybody": Death(execute_systemd_anew, EVERYBODY),
}
HANGS = {
    "worker": Death(stopping("worker"), MASTER | WORKER),
    "keeper": Death(stopping("keeper"), KEEPING),
}
INTERRUPTIONS = {
    "half made": Interruption("worker", 0.5, ("worker",), WORKER),
    "half stored": Interruption("keeper", 0.5, BOTH, MASTER | WORKER),
    "all made, keeper deaf, everybody": Interruption("worker", 1.0, ALL, EVERYBODY, has_deaf_keeper=True),
}


@pytest.fixture
def machine(installed: Container) -> Iterator[Machine]:
    """Take the module's machine; nothing is held before a test, and nothing after it."""
    one = Machine(installed)
    one.await_up()
    yield one
    for held in one.place.ask("GET", "/v1/sockets?limit=10000&fields=fd")["sockets"]:
        one.place.ask("DELETE", f"/v1/sockets/{held['fd']}", status=204)


@pytest.fixture
def impatient(machine: Machine) -> Iterator[Machine]:
    """Shorten the watchdogs' time, which a process is told when it starts."""
    drop_ins = [f"/run/systemd/system/{unit}.d/impatient.conf" for unit in (DAEMON, KEEPER)]
    for path in drop_ins:
        machine.container.path(path).parent.mkdir(parents=True)
        machine.container.path(path).write_text("[Service]\nWatchdogSec=3s\n")
    restart(machine)
    yield machine
    for path in drop_ins:
        machine.container.path(path).unlink()
        machine.container.path(path).parent.rmdir()
    restart(machine)


def restart(machine: Machine) -> None:
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", KEEPER, DAEMON)
    machine.await_up()


@pytest.mark.parametrize("name", DEATHS)
def test_death_loses_and_doubles_nothing(machine, name):
    survive(machine, DEATHS[name])


@pytest.mark.parametrize("name", HANGS)
def test_process_that_hangs_is_replaced_and_loses_nothing(impatient, name):
    survive(impatient, HANGS[name])


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_bulk_create_that_is_interrupted_makes_all_or_nothing(machine, name):
    survive_interruption(machine, INTERRUPTIONS[name])


def test_upgrade_of_the_package_loses_and_doubles_nothing(machine, package, tmp_path):
    higher = newer(package, tmp_path)
    survive(machine, Death(lambda house: install(house.container, higher), EVERYBODY))
