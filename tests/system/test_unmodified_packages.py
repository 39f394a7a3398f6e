"""Packages that other people wrote for ``socket``, unmodified, on sockets that the daemon holds."""

from __future__ import annotations

import importlib
import os
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import urllib3

import socketd_client
from tests.system.secure_shell import running_sshd
from tests.system.unmodified import BOUND_S, MEGABYTES, holding, served_beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["holding"]  # a fixture


@contextmanager
def imported_anew(*names: str) -> Iterator[list[ModuleType]]:
    """Import modules as a program does that starts here; afterwards those from before are there again."""
    roots = {name.partition(".")[0] for name in names}
    for name in names:
        pytest.importorskip(name, reason=f"the package of {name} is not installed")

    def theirs() -> dict[str, ModuleType]:
        return {name: found for name, found in sys.modules.items() if name.partition(".")[0] in roots}

    before = theirs()
    try:
        for name in before:
            del sys.modules[name]
        yield [importlib.import_module(name) for name in names]
    finally:
        for name in theirs():
            del sys.modules[name]
        sys.modules.update(before)


class Redis(socketserver.StreamRequestHandler):
    """As much of Redis as SET, GET and a wait for what never comes."""

    def handle(self) -> None:
        known: dict[bytes, bytes] = {}
        while head := self.rfile.readline():
            command, *words = [self._word() for _ in range(int(head[1:]))]
            if command == b"GET":
                value = known.get(words[0])
                self.wfile.write(b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value))
            elif command == b"HELLO":
                self.wfile.write(b"-ERR unknown command\r\n")
            elif command != b"BLPOP":
                known.update([words[:2]] if command == b"SET" else [])
                self.wfile.write(b"+OK\r\n")

    def _word(self) -> bytes:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]


def test_redis_py_keeps_a_pool(holding):
    with (
        holding(),
        imported_anew("redis") as (redis,),
        served_beside(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Redis)) as (host, port),
    ):
        with redis.Redis(host, port, protocol=2, socket_timeout=BOUND_S) as known:
            assert known.set("key", MEGABYTES[:100_000])
            assert known.get("key") == MEGABYTES[:100_000]
            assert known.get("none") is None
            with known.pipeline(transaction=False) as pipeline:
                for number in range(50):
                    pipeline.set(str(number), number)
                assert pipeline.execute() == [True] * 50
        patience = {"socket_timeout": 0.05, "socket_connect_timeout": BOUND_S, "retry": None}
        with (
            redis.Redis(host, port, protocol=2, **patience) as waiting,
            pytest.raises(redis.TimeoutError, match="Timeout reading from"),
        ):
            waiting.blpop("key")


@pytest.mark.needs("sshd", "ssh-keygen")
def test_paramiko_runs_a_command_and_copies_a_file(holding, tmp_path):
    pytest.importorskip("paramiko", reason="paramiko is not installed")
    with (
        running_sshd(tmp_path) as port,
        holding(),
        imported_anew("paramiko") as (paramiko,),
        paramiko.SSHClient() as client,
    ):
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1",
            port,
            key_filename=str(tmp_path / "client"),
            timeout=BOUND_S,
            allow_agent=False,
            look_for_keys=False,
        )
        stdin, stdout, _ = client.exec_command("cat")
        stdin.write("x" * 100_000)
        stdin.channel.shutdown_write()
        assert len(stdout.read()) == 100_000


class Nameserver(socketserver.BaseRequestHandler):
    """Answers every question with one address."""

    def handle(self) -> None:
        asked, sock = self.request
        question = asked[12 : asked.index(b"\0", 12) + 5]
        head = asked[:2] + bytes.fromhex("8180 0001 0001 0000 0000")
        sock.sendto(
            head + question + bytes.fromhex("c00c 0001 0001 0000003c 0004 c0000207"), self.client_address
        )


def test_dnspython_asks_a_nameserver(holding):
    with (
        holding(),
        imported_anew("dns.resolver") as (resolver,),
        served_beside(socketserver.ThreadingUDPServer(("127.0.0.1", 0), Nameserver)) as (host, port),
    ):
        asking = resolver.Resolver(configure=False)
        asking.nameservers, asking.port, asking.lifetime = [host], port, BOUND_S
        assert [row.to_text() for row in asking.resolve("example.org", "A", search=False)] == ["192.0.2.7"]


def test_websockets_talk_in_threads(holding):
    with holding(), imported_anew("websockets.sync.server", "websockets.sync.client") as (servers, clients):

        def echo(connection) -> None:
            for message in connection:
                connection.send(message)

        with servers.serve(echo, "127.0.0.1", 0) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            port = server.socket.getsockname()[1]
            with clients.connect(f"ws://127.0.0.1:{port}/", proxy=None) as connection:
                connection.send("a word")
                assert connection.recv(BOUND_S) == "a word"
                connection.send(MEGABYTES[:500_000])
                assert connection.recv(BOUND_S) == MEGABYTES[:500_000]
                with pytest.raises(TimeoutError):
                    connection.recv(0.01)
            server.shutdown()
            serving.join(BOUND_S)
            assert not serving.is_alive()


class Breaking(socketserver.StreamRequestHandler):
    """Hangs up on two requests before it answers one, and leaves the next to wait until all is over."""

    asked: int
    over: threading.Event

    def handle(self) -> None:
        while (line := self.rfile.readline()).strip():
            pass
        type(self).asked += bool(line)
        if self.asked == 3:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        elif self.asked > 3:
            self.over.wait(BOUND_S)


def test_urllib3_tries_again_and_times_out(holding):
    class Once(Breaking):
        asked = 0
        over = threading.Event()

    with holding(), served_beside(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Once)) as (host, port):
        url = f"http://{host}:{port}/"
        try:
            with requests.Session() as session:
                adapter = requests.adapters.HTTPAdapter(max_retries=urllib3.Retry(2, backoff_factor=0.001))
                session.mount("http://", adapter)
                assert session.get(url, timeout=BOUND_S).text == "ok"
                assert Once.asked == 3
            with requests.Session() as session, pytest.raises(requests.ReadTimeout):
                session.get(url, timeout=(BOUND_S, 0.05))
        finally:
            Once.over.set()


GUNICORN = """
import os, sys
from socketd_client import Client, installed

def answer(environ, start_response):
    start_response("200 OK", [("Content-Length", "5"), ("X-Pid", str(os.getpid()))])
    return [b"hello"]

with installed(Client(sys.argv[1]), prefer=sys.argv[2] or None):
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self):
            self.cfg.set("bind", "127.0.0.1:0")
            self.cfg.set("workers", 2)
            self.cfg.set("loglevel", "warning")
            self.cfg.set("post_worker_init", self.tell)

        def tell(self, worker):
            print(worker.sockets[0].getsockname()[1], flush=True)

        def load(self):
            return answer

    Application().run()
"""


def test_gunicorn_forks_workers_that_accept(holding):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    home = str(Path(socketd_client.__file__).parents[1])
    command = [sys.executable, "-c", GUNICORN, holding.client.url, holding.prefer or ""]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": home}, stdout=subprocess.PIPE) as server:
        try:
            (port,) = {int(server.stdout.readline()) for _ in range(2)}
            with requests.Session() as session:
                for _ in range(10):
                    answer = session.get(f"http://127.0.0.1:{port}/", timeout=BOUND_S)
                    assert (answer.text, int(answer.headers["X-Pid"]) == server.pid) == ("hello", False)
        finally:
            server.terminate()
        assert server.wait(BOUND_S) == 0
