"""A bulk create whose makers are killed in the middle: all of it is there afterwards, or nothing."""

from __future__ import annotations

import http.client
import signal
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.system.animals import LOOPBACK
from tests.system.deaths import await_others
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import Answer
    from tests.system.deaths import House
    from tests.system.place import Place

COUNT = 2000
BODY = {"bind": LOOPBACK, "listen": True, "count": COUNT}
OTHERS = 10  # descriptors of the keeper that are no copies, and come and go


@dataclass(frozen=True, slots=True)
class Interruption:
    """When who is killed.

    Attributes:
        watched: Whose descriptors are counted.
        share: How much of the group it has when the others die.
        killed: Who dies, in this order.
        struck: Who is another process afterwards.
        has_deaf_keeper: Whether the keeper is stopped until then. If it goes on, it hears all that was said.
    """

    watched: str
    share: float
    killed: tuple[str, ...]
    struck: frozenset[str] | set[str]
    has_deaf_keeper: bool = False


def survive_interruption(house: House, interruption: Interruption) -> None:
    """Kill in the middle of the call, and check what is left, and that a repeat of the call completes it."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    before = house.processes()
    few = {name: house.open_count(before[name]) for name in ("worker", "keeper")}
    watched, target = before[interruption.watched], few[interruption.watched] + interruption.share * COUNT
    if interruption.has_deaf_keeper:
        house.signal(signal.SIGSTOP, "keeper")
    with in_background(partial(house.place.request, "POST", "/v1/sockets", BODY, key)) as answers:
        await_true(lambda: answers != [] or house.open_count(watched) >= target, lambda: house.log)
        house.signal(signal.SIGKILL, *interruption.killed)
        if interruption.has_deaf_keeper and "keeper" not in interruption.killed:
            house.signal(signal.SIGCONT, "keeper")
    await_others(house, before, interruption.struck)
    house.await_up()
    made, keeper = numbers(house.place), house.processes()["keeper"]
    if interruption.has_deaf_keeper and "keeper" in interruption.killed:
        assert (answers, made) == ([], [])
    assert len(made) in ({COUNT} if answers else {0, COUNT})
    await_true(
        lambda: len(made) <= house.open_count(keeper) - few["keeper"] < len(made) + OTHERS,
        lambda: f"{house.open_count(keeper)} descriptors, {few['keeper']} before, {len(made)} held",
    )
    again = house.place.ask("POST", "/v1/sockets", BODY, key, status=201)["sockets"]
    assert [one["fd"] for one in again] == numbers(house.place)
    assert len(again) == COUNT
    assert made in ([], numbers(house.place))


@contextmanager
def in_background(call: Callable[[], Answer]) -> Iterator[list[Answer]]:
    """Make a call during the body; its answer is in the list afterwards, if there was one."""
    answers: list[Answer] = []

    def run() -> None:
        with suppress(OSError, http.client.HTTPException):
            answers.append(call())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


def numbers(place: Place) -> list[int]:
    """List all that is held."""
    return [one["fd"] for one in place.ask("GET", "/v1/sockets?limit=10000&fields=fd")["sockets"]]
