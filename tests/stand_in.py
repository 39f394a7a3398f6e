"""A program for supervisors to supervise: does what the test says, over a socket, and nothing by itself."""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time

TOLD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def notify(text: str, descriptors: list[int]) -> None:
    address = os.environ["NOTIFY_SOCKET"].replace("@", "\0")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendmsg([text.encode()], rights, 0, address)


class StandIn:
    """The commands: each is a method, its arguments are strings, and what it returns goes back as JSON."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.opened: dict[str, socket.socket] = {}

    def say(self, text: str) -> None:
        notify(text, [])

    def feed(self) -> None:
        """Feed the watchdog from now on."""
        threading.Thread(target=self._feed, daemon=True).start()

    def _feed(self) -> None:
        while True:
            notify("WATCHDOG=1", [])
            time.sleep(0.05)

    def store(self, name: str) -> int:
        """Put a new socket into the supervisor's store; return its inode."""
        made = self.opened.setdefault(name, socket.socket())
        notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [made.fileno()])
        return os.fstat(made.fileno()).st_ino

    def barrier(self) -> None:
        """Block until the supervisor has done all that was said before."""
        reading, writing = os.pipe()
        notify("BARRIER=1", [writing])
        os.close(writing)
        assert os.read(reading, 1) == b""
        os.close(reading)

    def given(self) -> dict[str, int]:
        """Return names and inodes of what came by LISTEN_FDS."""
        names = os.environ["LISTEN_FDNAMES"].split(":") if "LISTEN_FDS" in os.environ else []
        return {name: os.fstat(3 + nth).st_ino for nth, name in enumerate(names)}

    def answer(self) -> None:
        """Accept one connection at descriptor 3, and send our pid."""
        with socket.socket(fileno=os.dup(3)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(str(os.getpid()).encode())

    def fork(self) -> int:
        """Start a process of the same group that ends for SIGKILL alone; return its id."""
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self.control.close()
            while True:
                signal.pause()
        return pid

    def trap(self, name: str) -> None:
        """Report a signal to the test, and do nothing else for it."""
        signal.signal(
            signal.Signals[name], lambda number, _: self.tell({"signal": signal.Signals(number).name})
        )

    def group(self) -> int:
        return os.getpgrp()

    def descriptors(self) -> list[int]:
        return sorted(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208

    def exit(self, status: str) -> None:
        os._exit(int(status))

    def tell(self, message: object) -> None:
        self.control.send(json.dumps(message).encode())

    def run(self) -> None:
        while request := self.control.recv(65536):
            name, *arguments = json.loads(request)
            self.tell({"done": getattr(self, name)(*arguments)})


def main(path: str, name: str) -> None:
    """Connect to the test, say who we are, and obey until it hangs up."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(path)
    stand_in = StandIn(control)
    environ = {key: os.environ[key] for key in TOLD if key in os.environ}
    stand_in.tell({"name": name, "pid": os.getpid(), "environ": environ})
    with contextlib.suppress(ConnectionError):
        stand_in.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
