"""Numbers between host and network order, as the daemon's host sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketd_client.calls import Call
from socketd_client.records import ByteOrder

if TYPE_CHECKING:
    from socketd_client.exchange import Exchange


class ByteOrders:
    """The four conversions; as ``client.byteorder``.

    Example::

        assert client.byteorder.htons(3490).result == socket.htons(3490)
        print(client.byteorder.htons(3490).network_bytes)
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def htons(self, number: int) -> ByteOrder:
        """Convert 16 bits from host to network order."""
        return self._convert("htons", number)

    def htonl(self, number: int) -> ByteOrder:
        """Convert 32 bits from host to network order."""
        return self._convert("htonl", number)

    def ntohs(self, number: int) -> ByteOrder:
        """Convert 16 bits from network to host order."""
        return self._convert("ntohs", number)

    def ntohl(self, number: int) -> ByteOrder:
        """Convert 32 bits from network to host order."""
        return self._convert("ntohl", number)

    def _convert(self, function: str, number: int) -> ByteOrder:
        return ByteOrder.from_json(self._exchange.json(Call("GET", f"/v1/byteorder/{function}/{number}")))
