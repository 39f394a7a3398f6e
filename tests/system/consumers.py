"""Programs that serve on a socket they are given: their files, and how each is started and ended."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.system.servers import nginx_configuration

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = b"served"

SYSTEMD_STYLE = """\
import os, select, signal, socket, sys
from socketd_client import listen_fds

mode = open("mode").read().strip() if os.path.exists("mode") else ""
if mode == "fail":
    sys.exit(7)
notify = os.environ.get("NOTIFY_SOCKET")
web = listen_fds()["web"]
woken, bell = os.pipe()
os.set_blocking(bell, False)
signal.set_wakeup_fd(bell)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGUSR1, lambda *_: print("USR1 came", flush=True))
print("serving", os.getpid(), flush=True)
if notify and mode != "silent":
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(b"READY=1\\nSTATUS=as asked", "\\0" + notify[1:])
while True:
    ready, _, _ = select.select([web, woken], [], [])
    if woken in ready and signal.SIGTERM in os.read(woken, 64):
        sys.exit(0)
    if web not in ready:
        continue
    try:
        connection, _ = web.accept()
    except BlockingIOError:
        continue
    with connection:
        connection.settimeout(30)
        data = b""
        while b"\\r\\n\\r\\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nserved by %d" % os.getpid())
"""

WSGI = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"served"]
"""

ASGI = """\
async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"served"})
"""

HAPROXY = """\
global
    hard-stop-after 20s
defaults
    mode http
    timeout client 30s
    timeout connect 30s
    timeout server 30s
frontend web
    bind fd@3
    http-request return status 200 content-type text/plain string served
"""


@dataclass(frozen=True, slots=True)
class Consumer:
    """How a program is started, after ``socketctl exec --listen web=…``, and ended gracefully."""

    words: tuple[str, ...]
    stop: signal.Signals = signal.SIGTERM


def prepare(kind: str, folder: Path, address: str) -> Consumer:
    """Write a program's files, and say how it is started."""
    if kind == "systemd-style":
        (folder / "consumer.py").write_text(SYSTEMD_STYLE)
        return Consumer(("--", sys.executable, "consumer.py"))
    if kind.startswith("gunicorn"):
        (folder / "wsgi.py").write_text(WSGI)
        bind = ("--bind", "fd://{fd:web}") if kind == "gunicorn fd" else ()
        gunicorn = (sys.executable, "-m", "gunicorn", "--no-control-socket", "--log-level", "warning")
        # By fd:// it is not to see LISTEN_FDS, which it prefers.
        hidden = ("env", "-u", "LISTEN_FDS", "-u", "LISTEN_PID") if bind else ()
        return Consumer(("--", *hidden, *gunicorn, *bind, "wsgi:application"))
    if kind == "uvicorn":
        (folder / "asgi.py").write_text(ASGI)
        uvicorn = (sys.executable, "-m", "uvicorn", "--fd", "{fd:web}", "--log-level", "warning")
        return Consumer(("--", *uvicorn, "asgi:application"))
    if kind == "nginx":
        server = f'listen {address}; return 200 "served";'
        (folder / "nginx.conf").write_text(nginx_configuration(folder, server, "error_log stderr;"))
        words = ("--env", "NGINX={fd:web};", "--", "nginx", "-p", str(folder), "-c", "nginx.conf")
        return Consumer(words, signal.SIGQUIT)
    (folder / "haproxy.cfg").write_text(HAPROXY)
    return Consumer(("--", "haproxy", "-f", "haproxy.cfg"), signal.SIGUSR1)
