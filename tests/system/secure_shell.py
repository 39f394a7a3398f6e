"""A real ``sshd`` on a port of loopback, and the key that it knows."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ports import free_port
from tests.socketctl_process import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """
ListenAddress 127.0.0.1
AuthorizedKeysFile {folder}/client.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
PidFile none
"""


def _await_greeting(port: int, sshd: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and sshd.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and probe.recv(4) == b"SSH-":
                return
    raise AssertionError(log.read_text())


@contextmanager
def running_sshd(folder: Path) -> Iterator[int]:
    """Serve on a port of loopback, to the key in ``folder`` alone."""
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "config").write_text(CONFIG.format(folder=folder))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd will not separate privileges without it
    port = free_port()
    command = [shutil.which("sshd") or "sshd", "-D", "-e", "-p", str(port)]
    log = folder / "sshd.log"
    with log.open("wb") as written:
        sshd = subprocess.Popen(
            [*command, "-f", str(folder / "config"), "-h", str(folder / "host")], stderr=written
        )
    try:
        _await_greeting(port, sshd, log)
        yield port
    finally:
        sshd.terminate()
        sshd.wait(PATIENCE_S)
