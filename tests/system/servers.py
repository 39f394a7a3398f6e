"""Servers that other people wrote, on ports of loopback, for clients that know nothing of socketd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BOUND_S = 30.0
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
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_max_body_size 64m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {folder}/root; }}
    location /put {{ root {folder}/root; dav_methods PUT; create_full_put_path on; }}
    location /said {{ return 200 "$request_method $content_length $http_x_said"; }}
  }}
}}
"""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Give a port that was free a moment ago, for a program that must be told one."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
    config.write_text(NGINX.format(folder=folder, port=port))
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
            deadline = time.monotonic() + BOUND_S
            while f":{port:04X} " not in _udp_table():
                assert process.poll() is None
                assert time.monotonic() < deadline
            yield port
        finally:
            process.terminate()


def _udp_table() -> str:
    with open("/proc/net/udp") as table:  # noqa: PTH123 - one line
        return table.read()
