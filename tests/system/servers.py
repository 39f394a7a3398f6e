"""Servers that other people wrote, on ports of loopback, for clients that know nothing of socketd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_port
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOUND_S = 30.0
UDP_TABLE = Path("/proc/net/udp")
SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
VSFTPD = """\
background=NO
listen=YES
listen_address=127.0.0.1
listen_port={port}
run_as_launching_user=YES
secure_chroot_dir={folder}/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={folder}/files
anon_upload_enable=YES
anon_world_readable_only=NO
anon_umask=022
write_enable=YES
"""
NGINX = """\
daemon off;
{main}
pid {folder}/nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ {server} }}
}}
"""
WEB = """
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    location / {{ root {folder}/root; }}
    location /put {{ root {folder}/root; dav_methods PUT; create_full_put_path on; }}
    location /said {{ return 200 "$request_method $content_length $http_x_said"; }}
"""


def nginx_configuration(folder: Path, server: str, main: str = "") -> str:
    """Have nginx write beneath ``folder`` alone; ``server`` and ``main`` are what else it is told."""
    return NGINX.format(folder=folder, server=server, main=main)


@contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; entered when it accepts connections on ``port``."""
    with (
        log.open("wb") as written,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=written) as process,
    ):
        try:
            deadline = time.monotonic() + BOUND_S
            while _refuses(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
            yield port
        finally:
            process.terminate()


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Serve ``folder/root``, and say what was asked at ``/said``."""
    port = free_port()
    (folder / "root").mkdir()
    config = folder / "nginx.conf"
    main = f"master_process off; error_log {folder}/error.log;"
    config.write_text(nginx_configuration(folder, WEB.format(folder=folder, port=port), main))
    command = ("nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config))
    with _running(command, port, folder / "nginx.out"):
        yield port


@contextmanager
def smtpd(folder: Path) -> Iterator[int]:
    """Take mail, and put it into ``folder/mail/new``."""
    port = free_port()
    command = (sys.executable, "-W", "ignore", "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}")
    mailbox = ("-c", "aiosmtpd.handlers.Mailbox", str(folder / "mail"))
    with _running((*command, *mailbox), port, folder / "smtpd.out"):
        yield port


@contextmanager
def ftpd(folder: Path) -> Iterator[int]:
    """Serve ``folder/files`` to anonymous, who may write in ``in``."""
    port = free_port()
    (folder / "files" / "in").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "files").chmod(0o555)  # vsftpd refuses an anonymous root that is writable
    config = folder / "vsftpd.conf"
    config.write_text(VSFTPD.format(folder=folder, port=port))
    with _running((shutil.which("vsftpd", path=SBIN) or "vsftpd", str(config)), port, folder / "ftpd.out"):
        yield port


@contextmanager
def telnetd(folder: Path) -> Iterator[int]:
    """Ask who it is, greet them, and end with the next line: what is written at the end telnetd may lose."""
    port = free_port()
    greeter = folder / "greeter"
    greeter.write_text("#!/bin/sh\nprintf 'who? '\nread who\necho \"hello $who\"\nread end\n")
    greeter.chmod(0o755)
    command = (
        "socat",
        f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
        f"EXEC:telnetd -E {greeter},nofork",
    )
    with _running(command, port, folder / "telnetd.out"):
        yield port


@contextmanager
def tftpd(folder: Path) -> Iterator[int]:
    """Serve and take files of ``folder``, as whoever is ``nobody``; for root."""
    port = free_port(socket.SOCK_DGRAM)
    for above in (folder, *folder.parents[:3]):
        above.chmod(0o755)
    folder.chmod(0o777)
    command = ("in.tftpd", "-L", "-4", "-c", "-p", "-U", "0", "-u", "nobody", "-T", "300000")
    with subprocess.Popen((*command, "-a", f"127.0.0.1:{port}", "-s", str(folder))) as process:
        try:
            _await_bound(port, process)
            yield port
            assert process.poll() is None
        finally:
            process.terminate()


def _await_bound(port: int, process: subprocess.Popen[bytes]) -> None:
    """Block until a UDP socket has the port; to try it ourselves would be in the way of the other."""

    def is_bound() -> bool:
        assert process.poll() is None
        return f":{port:04X} " in UDP_TABLE.read_text()

    await_true(is_bound, lambda: f"nobody took port {port}", BOUND_S)
