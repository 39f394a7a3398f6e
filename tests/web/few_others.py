"""Requests made from the document: few of them are for another daemon, which is all that it says of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from schemathesis.schemas import BaseSchema

_HEADER: Final = "Socketd-Instance"
_FEW: Final = "f"


def have_few_others(schema: BaseSchema) -> None:
    """Have most requests name no daemon: a made up name is another's, and nothing is done for it."""

    @schema.hook
    def map_headers(_context: Any, headers: dict[str, Any]) -> dict[str, Any]:
        if headers and not str(headers.get(_HEADER, "")).endswith(_FEW):
            headers.pop(_HEADER, None)
        return headers
