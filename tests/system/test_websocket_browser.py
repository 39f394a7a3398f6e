"""A real browser has a WebSocket to a held socket: text and bytes, both ends, and the close code."""

from __future__ import annotations

import json
import queue
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.browsing import PAGE, REPORT, WAIT_S, browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("chromium")
SCRIPT = """
<!doctype html><title>socket</title><script>
const url = location.origin.replace('http', 'ws') + '/v1/sockets/talk/tunnel';
const socket = new WebSocket(url, ['socketd.v1']);
socket.binaryType = 'arraybuffer';
const heard = [];
socket.onopen = () => socket.send('from a page');
socket.onmessage = event => {
  heard.push(new TextDecoder().decode(event.data));
  if (event.data.byteLength === 0) socket.send(new Uint8Array());
};
socket.onclose = event => fetch('/report', {method: 'POST', body: JSON.stringify(
  {heard: heard.join(''), code: event.code, subprotocol: socket.protocol})});
</script>
"""


class Way:
    """Serves the page, takes its report, and joins the WebSocket's connection to the daemon as it is."""

    def __init__(self, socket_path: str, listener: socket.socket) -> None:
        self._socket_path = socket_path
        self._listener = listener
        self.reports: queue.Queue[Any] = queue.Queue()

    def serve(self) -> None:
        """Serve until the listener is shut."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._meet, args=(client,), daemon=True).start()

    def _meet(self, client: socket.socket) -> None:
        with client:
            head = client.recv(65536)
            target = head.split(b" ", 2)[1].decode() if head else ""  # it connects ahead of need
            if target == PAGE:
                body = SCRIPT.encode()
                kind = b"Content-Type: text/html\r\nConnection: close\r\n"
                client.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, len(body), body))
            elif target == REPORT:
                while b"}" not in head:
                    head += client.recv(65536)
                client.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                self.reports.put(json.loads(head.partition(b"\r\n\r\n")[2]))
            elif "tunnel" in target:
                self._pass_on(client, head)

    def _pass_on(self, client: socket.socket, head: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(self._socket_path)
            daemon.sendall(head)
            back = threading.Thread(target=_copy, args=(daemon, client))
            back.start()
            _copy(client, daemon)
            back.join(WAIT_S)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def serving(socket_path: str) -> Iterator[tuple[Way, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = Way(socket_path, listener)
        thread = threading.Thread(target=way.serve)
        thread.start()
        try:
            yield way, f"http://localhost:{listener.getsockname()[1]}{PAGE}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_page_talks_to_a_held_socket(tmp_path: Path, daemon):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        daemon.request("POST", "/v1/sockets", {"name": "talk", "connect": address})
        peer, _ = server.accept()
    with peer, serving(daemon.socket_path) as (way, url), browser(tmp_path, url):
        peer.settimeout(WAIT_S)
        assert peer.recv(100) == b"from a page"
        peer.sendall("to a page, ünïcode".encode())
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
        report = way.reports.get(timeout=WAIT_S)
    assert report == {"heard": "to a page, ünïcode", "code": 1000, "subprotocol": "socketd.v1"}
    assert daemon.request("DELETE", "/v1/sockets/talk").status == 204
