"""The byte order functions of byteorder(3), with the bytes they are about."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal

from socketd.core.vocabulary import close_matches, quoted, whole_number
from socketd.errors import InvalidRequestError

_WIDTHS: Final = {"htons": 16, "htonl": 32, "ntohs": 16, "ntohl": 32}


@dataclass(frozen=True, slots=True)
class ByteOrder:
    """One conversion, and the number's bytes before and after it.

    The number meant is ``value_in`` of ``hton*`` and ``value_out`` of ``ntoh*``.

    Attributes:
        host_bytes: How this host keeps the number in memory, lowest address first.
        network_bytes: How the number goes over the wire, first byte first.
    """

    function: str
    value_in: int
    value_out: int
    width_bits: int
    host_order: Literal["little", "big"]
    host_bytes: tuple[int, ...]
    network_bytes: tuple[int, ...]

    @property
    def hex_in(self) -> str:
        """``value_in`` in hexadecimal, at full width."""
        return self._hex(self.value_in)

    @property
    def hex_out(self) -> str:
        """``value_out`` in hexadecimal, at full width."""
        return self._hex(self.value_out)

    def _hex(self, value: int) -> str:
        return f"0x{value:0{self.width_bits // 4}x}"


def convert(function: str, value: int) -> ByteOrder:
    """Do what ``htons``, ``htonl``, ``ntohs`` or ``ntohl`` does on this host.

    Raises:
        InvalidRequestError: no such function, or the value has more bits than it converts.
    """
    width_bits = _WIDTHS.get(function)
    if width_bits is None:
        raise InvalidRequestError(
            f"function: {quoted(function)} is none of byteorder(3)",
            member="function",
            hint=close_matches(function, _WIDTHS),
        )
    whole_number(value, "value", most=2**width_bits - 1)
    size = width_bits // 8
    converted = int.from_bytes(value.to_bytes(size, sys.byteorder), "big")
    number = value if function.startswith("h") else converted
    return ByteOrder(
        function=function,
        value_in=value,
        value_out=converted,
        width_bits=width_bits,
        host_order=sys.byteorder,
        host_bytes=tuple(number.to_bytes(size, sys.byteorder)),
        network_bytes=tuple(number.to_bytes(size, "big")),
    )
