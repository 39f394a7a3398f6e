"""What goes wrong on the way, drawn from a seed: the same for the n-th request of every run."""

from __future__ import annotations

import enum
import os
import random
from dataclasses import dataclass

SEED_VARIABLE = "SOCKETD_FAULT_SEED"
PROBABILITY = 0.2
LONGEST_DELAY_S = 0.05
LONGEST_LATER = 40
_WITHIN_BYTES = 1 << 20  # of a body whose length nobody knows


class Fault(enum.Enum):
    """What happens to one request and its answer.

    Attributes:
        NONE: Nothing; what the client sends and what it gets is whole.
        REFUSE: The connection ends before any of the request has gone to the daemon.
        CUT_REQUEST: It ends within the request, which the daemon sees the beginning of.
        TRUNCATE_REQUEST: The daemon sees the end of the stream within the request, and is heard out.
        LEAVE: It ends when the request has gone; the daemon finds its client gone, sooner or later.
        LOSE_ANSWER: It ends when the answer has come, of which the client sees nothing.
        CUT_ANSWER: It ends within the answer.
        DELAY_REQUEST: The request comes late.
        DELAY_ANSWER: The answer comes late.
        DUPLICATE: The daemon gets the request on another connection as well, at the same time.
        DUPLICATE_LATER: The daemon gets it again when some others have been answered.
    """

    NONE = "none"
    REFUSE = "refuse"
    CUT_REQUEST = "cut request"
    TRUNCATE_REQUEST = "truncate request"
    LEAVE = "leave"
    LOSE_ANSWER = "lose answer"
    CUT_ANSWER = "cut answer"
    DELAY_REQUEST = "delay request"
    DELAY_ANSWER = "delay answer"
    DUPLICATE = "duplicate"
    DUPLICATE_LATER = "duplicate later"


FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)


@dataclass(frozen=True)
class Plan:
    """What happens to one request.

    Attributes:
        place: Where in the message, as a part of it from 0 to 1.
        is_in_head: Whether that is in the head or in the body, should there be one.
        is_reset: Whether the client's connection is reset or closed.
        delay_s: How late it is.
        later: How many requests are answered before the duplicate is sent.
    """

    fault: Fault
    place: float
    is_in_head: bool
    is_reset: bool
    delay_s: float
    later: int

    def offset(self, head_bytes: int, body_bytes: int | None) -> int:
        """Say after how many bytes of a message it ends, and never after all of them."""
        if self.is_in_head or body_bytes == 0:
            return int(self.place * head_bytes)
        return head_bytes + int(self.place * (_WITHIN_BYTES if body_bytes is None else body_bytes))


def plan(seed: int, nth: int, probability: float) -> Plan:
    """Draw what happens to the n-th request."""
    draw = random.Random(f"{seed}/{nth}")
    return Plan(
        draw.choice(FAULTS) if draw.random() < probability else Fault.NONE,
        draw.random(),
        draw.random() < 0.5,
        draw.random() < 0.5,
        draw.random() * LONGEST_DELAY_S,
        draw.randint(1, LONGEST_LATER),
    )


def seeds(count: int) -> list[int]:
    """List the seeds to run with: fixed ones, or the one that the environment gives."""
    given = os.environ.get(SEED_VARIABLE)
    return list(range(1, count + 1)) if given is None else [int(given)]
