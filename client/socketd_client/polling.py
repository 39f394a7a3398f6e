"""``/v1/poll``, asked and read: the daemon's descriptor numbers, each with its ``select.poll`` mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socketd_client.calls import Call
from socketd_client.constants import poll_event_names, poll_mask
from socketd_client.repeating import POLL
from socketd_client.wire import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def poll_call(pairs: Iterable[tuple[int, int]], timeout_s: float) -> Call:
    """Write a poll of sockets; one may be in it twice."""
    entries = [{"socket": fd, "events": poll_event_names(mask)} for fd, mask in pairs]
    body: dict[str, Any] = {"sockets": entries, "timeout": timeout_s}
    return Call("POST", POLL, body=body, wait_s=timeout_s)


def ready_in(answer: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Read which sockets are ready, and for what; none if the wait ran out."""
    return [(one["socket"], poll_mask(one["events"])) for one in listed(answer, "ready")]
