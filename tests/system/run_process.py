"""Real ``socketd run`` processes: supervisor, keeper, master and worker."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemon_process import DaemonProcess
from tests.system.place import PATIENCE_S, await_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = ("keep", "serve")


class RunProcess(DaemonProcess):
    """One ``python -m socketd run``; ``process`` is the supervisor."""

    COMMAND = "run"

    def programs(self) -> dict[str, int]:
        """Return the process ids of its children, by command."""
        found = {}
        for pid in self.children():
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            found |= {name: pid for name in PROGRAMS if name in words}
        return found

    def everybody(self) -> list[int]:
        """Return the process ids of all: keeper, master and worker."""
        return [*self.programs().values(), self.pid]

    def make(self, name: str, **more: object) -> dict[str, object]:
        """Make a listening TCP socket; return its record."""
        body = {"name": name, "bind": {"host": "127.0.0.1", "service": "0"}, "listen": {"backlog": 8}, **more}
        answer = self.request("POST", "/v1/sockets", body)
        assert answer.status == 201, answer.body
        return answer.json()

    def look(self, name: str) -> dict[str, object]:
        """Return the record of a held socket."""
        answer = self.request("GET", f"/v1/sockets/{name}")
        assert answer.status == 200, answer.body
        return answer.json()

    def await_kept(self, name: str, by: str) -> None:
        """Block until that one has a copy of the socket."""
        await_true(lambda: self.look(name)["kept"] == by, lambda: f"{self.look(name)}\n{self.log}")


def status_by_tcp(url: str, token: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request("GET", "/v1/", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def identity(record: dict[str, object]) -> tuple[object, ...]:
    return tuple(record[key] for key in ("fd", "name", "inode", "cookie", "created_at"))


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunProcess]]:
    """Start supervisors; what still runs at the end is stopped, and has to end well."""
    started: list[RunProcess] = []

    def start(*flags: str, ready: bool = True, folder: Path | None = None, **more: object) -> RunProcess:
        one = RunProcess(folder or tmp_path_factory.mktemp("run"), flags, **more)
        started.append(one)
        if ready:
            one.await_notification("READY=1")
        return one

    try:
        yield start
        for one in started:
            if one.process.poll() is None:
                one.stop()
    finally:
        for one in started:
            one.kill()
