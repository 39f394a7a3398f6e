"""Everything that `socketd run` looks after may die: nothing held is lost, doubled, or back again."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.system.animals import LOOPBACK
from tests.system.bulk import Interruption, survive_interruption
from tests.system.deaths import Death, survive
from tests.system.place import await_true
from tests.system.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


KEEPER, MASTER, WORKER = ({name} for name in ("keeper", "master", "worker"))
EVERYBODY = KEEPER | MASTER | WORKER
NOBODY: set[str] = set()
BOTH = ("master", "worker")
ALL = (*BOTH, "keeper")


def killing(*names: str) -> Callable[[Supervised], None]:
    return lambda house: house.signal(signal.SIGKILL, *names)


def stopping(name: str) -> Callable[[Supervised], None]:
    return lambda house: house.signal(signal.SIGSTOP, name)


def reload(house: Supervised) -> None:
    house.process.send_signal(signal.SIGHUP)
    await_true(lambda: "reload" in house.log, lambda: house.log)


def replace(house: Supervised) -> None:
    house.process.send_signal(signal.SIGUSR1)


def nothing(_: Supervised) -> None:
    """Show that a zoo is whole when nobody dies."""


DEATHS = {
    "nobody": Death(nothing, NOBODY),
    "worker": Death(killing("worker"), WORKER),
    "master": Death(killing("master"), MASTER | WORKER),
    "worker, then master": Death(killing("worker", "master"), MASTER | WORKER),
    "master, then worker": Death(killing("master", "worker"), MASTER | WORKER),
    "keeper": Death(killing("keeper"), KEEPER),
    "keeper, then daemon": Death(killing("keeper", "master", "worker"), EVERYBODY),
    "daemon, then keeper": Death(killing("master", "worker", "keeper"), EVERYBODY),
    "reload": Death(reload, NOBODY),
    "replacement": Death(replace, MASTER | WORKER),
}
HANGS = {
    "worker": Death(stopping("worker"), MASTER | WORKER),
    "keeper": Death(stopping("keeper"), KEEPER),
}
INTERRUPTIONS = {
    "at the start": Interruption("worker", 0.05, ("worker",), WORKER),
    "half made": Interruption("worker", 0.5, ("worker",), WORKER),
    "all made": Interruption("worker", 1.0, ("worker",), WORKER),
    "half stored": Interruption("keeper", 0.5, BOTH, MASTER | WORKER),
    "all stored": Interruption("keeper", 1.0, BOTH, MASTER | WORKER),
    "all made, keeper deaf": Interruption("worker", 1.0, BOTH, MASTER | WORKER, has_deaf_keeper=True),
    "all made, keeper deaf, everybody": Interruption("worker", 1.0, ALL, EVERYBODY, has_deaf_keeper=True),
    "half stored, the keeper": Interruption("keeper", 0.5, ("keeper",), KEEPER),
}
WATCHDOG = {"WATCHDOG_USEC": "3000000"}  # what its own manager asks of `socketd run`, it asks of the others


@contextmanager
def running(folder: Path, environ: dict[str, str | None] | None = None) -> Iterator[Supervised]:
    """Have one that serves; stop it at the end, and check that it ended well."""
    house = Supervised(folder, environ=environ)
    try:
        house.await_up()
        yield house
        house.stop()
    finally:
        house.kill()


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Run one that serves."""
    with running(tmp_path_factory.mktemp("run")) as one:
        yield one


def listening(house: Supervised, name: str) -> tuple[str, int]:
    """Make a listener; return where it is."""
    body = {"name": name, "bind": LOOPBACK, "listen": True}
    local = house.place.ask("POST", "/v1/sockets", body, status=201)["local"]
    return local["host"], local["port"]


@pytest.mark.parametrize("name", DEATHS)
def test_death_loses_and_doubles_nothing(house, name):
    survive(house, DEATHS[name])


@pytest.mark.parametrize("name", HANGS)
def test_process_that_hangs_is_replaced_and_loses_nothing(tmp_path_factory, name):
    with running(tmp_path_factory.mktemp("run"), WATCHDOG) as house:
        survive(house, HANGS[name])


def test_deaths_one_after_the_other_lose_nothing(house):
    for name in ("worker", "keeper", "replacement", "daemon, then keeper", "master", "keeper"):
        survive(house, DEATHS[name])


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_bulk_create_that_is_interrupted_makes_all_or_nothing(house, name):
    survive_interruption(house, INTERRUPTIONS[name])


def test_close_is_final_when_everything_dies_right_after(house):
    address = listening(house, "web")
    house.place.ask("DELETE", "/v1/sockets/web", status=204)
    house.signal(signal.SIGKILL, "master", "worker", "keeper")
    assert house.place.is_free(address)
    house.await_up()
    house.place.ask("GET", "/v1/sockets/web", status=404)
    assert house.place.is_free(address)


def test_close_while_the_keeper_is_away_is_final(house):
    address = listening(house, "web")
    house.signal(signal.SIGKILL, "keeper")
    house.place.ask("DELETE", "/v1/sockets/web", status=204)
    house.await_up()
    await_true(lambda: house.place.is_free(address), lambda: house.log)
    house.signal(signal.SIGKILL, "master", "worker")
    house.await_up()
    house.place.ask("GET", "/v1/sockets/web", status=404)
    assert house.place.is_free(address)


def test_what_is_made_while_the_keeper_is_away_is_kept_when_it_is_back(house):
    house.signal(signal.SIGKILL, "keeper")
    address = listening(house, "web")
    house.await_up()
    house.signal(signal.SIGKILL, "master", "worker")
    house.await_up()
    with house.place.connect(address):
        house.place.ask("POST", "/v1/sockets/web/accept", status=201)
