"""How many calls a second does the daemon answer, beside servers that do nothing and bare system calls?"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yardsticks
from processes import Daemon, wsgi_server
from report import Report, Samples, main, timed
from wire import Wire, request

from socketd_client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client import Socket

ROUNDS: Final = 9
STEPS: Final = 150
KIB: Final = bytes(1024)
LISTENER: Final = {"bind": "127.0.0.1:0", "listen": True}
BARE: Final = "system calls in Python"
GTHREAD: Final = "hello, gthread"
GEVENT: Final = "hello, gevent"


def _nothing(_step: int) -> None:
    """Prepare nothing."""


@dataclass(slots=True)
class Case:
    """One kind of call, repeated; only ``step`` is timed.

    Attributes:
        step: Makes the call, given how many were made in this round before.
        before: Lays out what the step needs.
        tidy: Ends a round.
    """

    name: str
    step: Callable[[int], object]
    before: Callable[[int], object] = _nothing
    tidy: Callable[[], object] = list
    samples: Samples = field(default_factory=Samples)

    def run(self, steps: int) -> None:
        """Measure one round."""
        took = []
        try:
            for step in range(steps):
                self.before(step)
                took.append(timed(lambda: self.step(step)))  # noqa: B023 - called at once
        finally:
            self.tidy()
        self.samples.rounds.append(took)


class WireCalls:
    """The main calls, each as few bytes over one kept connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._made: list[int] = []
        self._peers: list[socket.socket] = []
        self._shown = self._create({**LISTENER, "count": 100})[0]
        self._made.clear()
        self._listener, self._listener_address = self._listen()
        self._peer = socket.create_connection(self._listener_address)
        (self._pipe,) = self._accept()
        self._made.clear()

    def cases(self) -> list[Case]:
        """List them."""
        one = f"/v1/sockets/{self._shown}"
        new = request("POST", "/v1/sockets", {})
        new_listener = request("POST", "/v1/sockets", LISTENER)
        return [
            self._plain("healthz", request("GET", "/healthz")),
            self._plain("GET a socket", request("GET", one)),
            self._plain("GET an option", request("GET", f"{one}/options/SO_REUSEADDR")),
            self._plain("list 100 sockets", request("GET", "/v1/sockets?limit=100")),
            Case("create", lambda _: self._keep(new), tidy=self._delete_all),
            Case("create+bind+listen, one call", lambda _: self._keep(new_listener), tidy=self._delete_all),
            Case("create, then delete", lambda _: self._create_and_delete(new), tidy=self._delete_all),
            self._on_new("bind", {}, "bind", {"address": "127.0.0.1:0"}),
            self._on_new("listen", {"bind": "127.0.0.1:0"}, "listen", {"backlog": 128}),
            Case("accept, a connection is there", lambda _: self._accept(), self._arrive, self._delete_all),
            self._send(),
            self._receive(),
        ]

    def close(self) -> None:
        """Close our end of the pipe."""
        self._peer.close()

    def _plain(self, name: str, raw: bytes) -> Case:
        return Case(name, lambda _: self._wire.ask(raw))

    def _on_new(self, name: str, body: dict[str, Any], operation: str, argument: dict[str, Any]) -> Case:
        def step(_: int) -> None:
            self._wire.ask(request("POST", f"/v1/sockets/{self._made[-1]}/{operation}", argument))

        return Case(name, step, lambda _: self._create(body), self._delete_all)

    def _send(self) -> Case:
        raw = request("POST", f"/v1/sockets/{self._pipe}/send", KIB)
        # What came by the step before is taken before the next one, so that there is always room.
        return Case("send 1 KiB", lambda _: self._wire.ask(raw), self._drain, lambda: self._drain(1))

    def _receive(self) -> Case:
        raw = request("POST", f"/v1/sockets/{self._pipe}/recv?size={len(KIB)}")
        return Case(
            "recv 1 KiB, already there", lambda _: self._wire.ask(raw), lambda _: self._peer.sendall(KIB)
        )

    def _drain(self, step: int) -> None:
        if step:
            self._peer.recv(len(KIB), socket.MSG_WAITALL)

    def _arrive(self, _: int) -> None:
        self._peers.append(socket.create_connection(self._listener_address))

    def _accept(self) -> list[int]:
        raw = request("POST", f"/v1/sockets/{self._listener}/accept", {"timeout": 30})
        accepted = self._wire.ask(raw, 201).json()["sockets"]
        self._made += [one["fd"] for one in accepted]
        return [one["fd"] for one in accepted]

    def _listen(self) -> tuple[int, tuple[str, int]]:
        made = self._wire.ask(request("POST", "/v1/sockets", LISTENER), 201).json()
        return made["fd"], ("127.0.0.1", made["local"]["port"])

    def _create(self, body: dict[str, Any]) -> list[int]:
        made = self._wire.ask(request("POST", "/v1/sockets", body), 201).json()
        self._made += [one["fd"] for one in made.get("sockets", [made])]
        return self._made

    def _keep(self, raw: bytes) -> None:
        body = self._wire.ask(raw, 201).body
        self._made.append(int(body[body.index(b":") + 1 : body.index(b",")]))  # "fd" comes first

    def _create_and_delete(self, raw: bytes) -> None:
        self._keep(raw)
        self._delete_all()

    def _delete_all(self) -> None:
        while self._made:
            self._wire.ask(request("DELETE", f"/v1/sockets/{self._made.pop()}"), 204)
        while self._peers:
            self._peers.pop().close()


class SdkCalls:
    """Some of the same through the client that Python programs use."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: list[Socket] = []
        self._listener = client.sockets.create(bind=("127.0.0.1", 0), listen=True)
        self._peer = socket.create_connection(self._listener.getsockname())  # type: ignore[arg-type]
        self._pipe, _ = self._listener.accept()

    def cases(self) -> list[Case]:
        """List them."""
        return [
            Case("SDK: get", lambda _: self._client.sockets.get(self._listener.fd)),
            Case("SDK: create+bind+listen, one call", lambda _: self._listen(), tidy=self._close_all),
            Case("SDK: create, then close", lambda _: self._client.sockets.create().close()),
            Case("SDK: send 1 KiB", lambda _: self._pipe.send(KIB), self._drain, lambda: self._drain(1)),
            Case("SDK: recv 1 KiB", lambda _: self._pipe.recv(1024), lambda _: self._peer.sendall(KIB)),
        ]

    def close(self) -> None:
        """Close our end of the pipe."""
        self._peer.close()

    def _listen(self) -> None:
        self._made.append(self._client.sockets.create(bind=("127.0.0.1", 0), listen=True))

    def _drain(self, step: int) -> None:
        if step:
            self._peer.recv(len(KIB), socket.MSG_WAITALL)

    def _close_all(self) -> None:
        while self._made:
            self._made.pop().close()


@contextlib.contextmanager
def _cases() -> Iterator[list[Case]]:
    with contextlib.ExitStack() as stack:
        found = [Case(BARE, lambda _: yardsticks.listen_and_close())]
        for name, application, worker in (
            (GTHREAD, "yardsticks:hello", "gthread"),
            (GEVENT, "yardsticks:hello", "gevent"),
            ("Flask hello, gthread", "yardsticks:flask_hello()", "gthread"),
            ("Flask hello, gevent", "yardsticks:flask_hello()", "gevent"),
        ):
            found.append(
                _asking(
                    stack.enter_context(stack.enter_context(wsgi_server(application, worker)).wire()), name
                )
            )
        daemon = stack.enter_context(Daemon())
        raw = WireCalls(stack.enter_context(daemon.wire()))
        stack.callback(raw.close)
        sdk = SdkCalls(stack.enter_context(Client(f"unix://{daemon.path}")))
        stack.callback(sdk.close)
        yield [*found, *raw.cases(), *sdk.cases()]


def _asking(wire: Wire, name: str) -> Case:
    raw = request("GET", "/")
    return Case(name, lambda _: wire.ask(raw))


def measure(quick: bool) -> list[Report]:  # noqa: FBT001 - what every benchmark takes
    """Let every case have a turn in each round."""
    with _cases() as cases:
        for _ in range(3 if quick else ROUNDS):
            for case in cases:
                case.run(STEPS // 3 if quick else STEPS)
    by_name = {case.name: case.samples for case in cases}
    rows = tuple(
        (
            case.name,
            case.samples.per_second(),
            case.samples.quantile_us(0.5),
            case.samples.quantile_us(0.99),
            case.samples.ratio(by_name[GTHREAD]),
            case.samples.ratio(by_name[GEVENT]),
        )
        for case in cases
    )
    columns = ("call", "per second", "p50 µs", "p99 µs", f"of {GTHREAD}", f"of {GEVENT}")
    return [
        Report(
            "One caller, one call after the other, over a kept connection on a Unix socket",
            columns,
            rows,
            "`hello` is an empty WSGI application in gunicorn with the daemon's settings, which answers the "
            "same 15 bytes to everything. “Create, then delete” is two calls.",
        )
    ]


if __name__ == "__main__":
    main(measure)
