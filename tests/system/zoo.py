"""All kinds of held sockets at once, as they were before a death, and those that were closed before it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.system.animals import KINDS, LOOPBACK, read_to_the_end
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.animals import Animal
    from tests.system.place import Place


class Closed:
    """A listener and a connection of its, both closed; nobody but their number may remember them.

    The peer of the connection has seen its end already when this is made.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        # Its connections inherit the option, and so do not hold on to the port in TIME_WAIT.
        body = {"name": name, "bind": LOOPBACK, "listen": True, "options": {"SO_REUSEADDR": True}}
        made = place.ask("POST", "/v1/sockets", body, status=201)
        self._address = made["local"]["host"], made["local"]["port"]
        with place.connect(self._address) as peer:
            (accepted,) = place.ask("POST", f"/v1/sockets/{name}/accept", status=201)["sockets"]
            self._refs = [made["fd"], accepted["fd"], name]
            for fd in (accepted["fd"], made["fd"]):
                place.ask("DELETE", f"/v1/sockets/{fd}", status=204)
            assert read_to_the_end(peer) == b""
        assert place.is_free(self._address)

    def check(self) -> None:
        """Fail if one of them is back, or still there for the kernel."""
        for ref in self._refs:
            self._place.ask("GET", f"/v1/sockets/{ref}", status=404)
        assert self._place.is_free(self._address)


class Zoo:
    """The sockets, and what becomes of them.

    Args:
        place: Where the daemon is.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.animals: list[Animal] = []
        self._closed: list[Closed] = []
        self._highest = 0

    def gather(self) -> None:
        """Make one of each."""
        for name, kind in KINDS.items():
            self.animals.append(kind(self.place, f"zoo-{name}"))
        self._closed.append(Closed(self.place, "zoo-closed"))

    def await_kept(self, where: str) -> None:
        """Block until all of them are kept there, and the keeper is up."""
        await_true(
            lambda: set(self.kept()) == {where} and self.place.look("/v1/")["keeper"] == "up",
            lambda: f"not all are kept by {where}: {self.kept()}",
        )

    def kept(self) -> list[str]:
        """Say of each how safe it is, in the order of making."""
        return [self.place.ask("GET", one.path)["kept"] for one in self.animals]

    def remember(self) -> None:
        """Note everything that a death may not change."""
        for one in self.animals:
            one.remember()
        self._highest = max(self._numbers())

    def check(self) -> None:
        """Fail if anything is lost, doubled, changed, or back from the dead."""
        for one in self._closed:
            one.check()
        assert len(self._numbers()) == len(self.animals)
        for one in self.animals:
            one.check()
        self._check_numbers()

    def close(self) -> None:
        """Close all of them."""
        for one in self.animals:
            one.close()

    def _numbers(self) -> list[int]:
        return [one["fd"] for one in self.place.ask("GET", "/v1/sockets?fields=fd")["sockets"]]

    def _check_numbers(self) -> None:
        """No number is given to a second socket, also across a death."""
        made = self.place.ask("POST", "/v1/sockets", {}, status=201)["fd"]
        self.place.ask("DELETE", f"/v1/sockets/{made}", status=204)
        assert made > self._highest


@contextmanager
def gathered(place: Place) -> Iterator[Zoo]:
    """Have a zoo during the body."""
    zoo = Zoo(place)
    try:
        zoo.gather()
        yield zoo
    finally:
        zoo.close()
