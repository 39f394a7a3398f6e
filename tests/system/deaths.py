"""What a death is and what must be true after each, wherever the daemon lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.system.place import await_true
from tests.system.zoo import gathered

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from tests.system.place import Place
    from tests.system.zoo import Zoo


class House(Protocol):
    """A daemon, its keeper, and who looks after both.

    Attributes:
        kept: What ``kept`` says of a socket that all of them hold.
    """

    place: Place
    kept: str

    def processes(self) -> dict[str, int]:
        """Return the keeper, the master and the worker, as far as they live."""

    def signal(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to some of them."""

    def open_count(self, pid: int) -> int:
        """Count the descriptors of a process."""

    def await_up(self) -> None:
        """Block until it serves, with a keeper."""

    @property
    def log(self) -> str:
        """What they wrote."""


@dataclass(frozen=True, slots=True)
class Death:
    """One way to lose something.

    Attributes:
        strike: Does it to a house; may return before it is over.
        struck: Which processes are others afterwards; the rest must be the same.
    """

    strike: Callable[[Any], object]
    struck: frozenset[str] | set[str]


def survive(house: House, death: Death) -> None:
    """Gather a zoo, strike, and check that nothing of it is lost."""
    with gathered(house.place) as zoo:
        zoo.await_kept(house.kept)
        zoo.remember()
        before = house.processes()
        death.strike(house)
        await_others(house, before, death.struck)
        await_settled(house, zoo)
        zoo.check()


def await_others(house: House, before: dict[str, int], struck: frozenset[str] | set[str]) -> None:
    """Block until every process that was struck has its successor; fail if another has got one."""

    def is_over() -> bool:
        now = house.processes()
        return set(now) == set(before) and all(now[name] != before[name] for name in struck)

    await_true(is_over, lambda: f"{sorted(struck)} of {before} are not all others:\n{house.log}")
    now = house.processes()
    assert {name: now[name] for name in before if name not in struck} == {
        name: pid for name, pid in before.items() if name not in struck
    }, house.log


def await_settled(house: House, zoo: Zoo) -> None:
    """Block until the daemon answers, by a process that lives, and everything is held by all again."""
    await_true(
        lambda: (house.place.look("/v1/") or {}).get("pid") == house.processes().get("worker"),
        lambda: f"no answer:\n{house.log}",
    )
    zoo.await_kept(house.kept)
