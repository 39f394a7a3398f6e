"""One operation of the SDK that is cut at one place, and beside it a client that is not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from socketd_client import Client
from tests.client.damage import CALL_S
from tests.cutting_proxy import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd_client import Socket
    from tests.cutting_proxy import CuttingProxy, Place
    from tests.daemon_process import DaemonProcess


class Trial:
    """One operation with at most one cut in it.

    Args:
        place: Where it is cut.

    Attributes:
        direct: Nothing of its own is cut.
        client: What it does in a block of ``cut`` is.
        carried: How many bytes went in that block.
    """

    def __init__(self, proxy: CuttingProxy, direct: Client, client: Client, place: Place | None) -> None:
        self.direct = direct
        self.client = client
        self.carried = dict.fromkeys(Way, 0)
        self._proxy = proxy
        self._place = place

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        self._proxy.cut_after(self._place)
        yield
        self.carried = self._proxy.carried
        self._proxy.cut_after(None)

    def made(self, **spec: object) -> Socket:
        """Make a socket, and give a handle whose requests are cut."""
        return self.seen(self.direct.sockets.create(**spec))  # type: ignore[arg-type]

    def seen(self, sock: Socket) -> Socket:
        found = self.client.sockets.get(sock.fd)
        found.settimeout(CALL_S)
        return found


def tried(
    proxy: CuttingProxy, daemon: DaemonProcess, operation: Callable[[Trial], None], place: Place | None = None
) -> Trial:
    """Do it once, and close everything."""
    with Client(daemon.url) as direct, Client(proxy.url, timeout_s=CALL_S) as client:
        client.info()
        trial = Trial(proxy, direct, client, place)
        try:
            operation(trial)
        finally:
            for sock in direct.sockets.list():
                sock.close()
    return trial
