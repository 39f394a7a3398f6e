"""How often somebody may ask: a bucket of requests for each caller, that fills as time goes by."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from socketd.errors import QuotaError

if TYPE_CHECKING:
    from socketd.access.rules import Quota
    from socketd.core.owner import Owner
    from socketd.core.seams import Clock

_REMEMBERED: Final = 4096
"""Callers; who is forgotten comes back with a full bucket, and was idle longer than all of these."""

_LONGEST_S: Final = 3600.0  # said of a rate of 0


@dataclass(slots=True)
class _Bucket:
    """What is left of a burst, and when that was looked at (monotonic seconds)."""

    left: float
    at: float


class Rates:
    """Counts requests, of each caller and of all together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[Owner, _Bucket] = OrderedDict()
        self._total = _Bucket(math.inf, 0.0)

    def count(self, owner: Owner, own: Quota, total: Quota) -> None:
        """Count one request; one that is refused is not counted.

        Raises:
            QuotaError: There were too many of late; says when the next one may come.
        """
        if own.requests_per_s is None and total.requests_per_s is None:
            return
        now = self._clock.monotonic()
        mine = self._bucket(owner, now)
        wait_s = max(_fill(mine, own, now), _fill(self._total, total, now))
        if wait_s > 0:
            retry_after_s = math.ceil(min(wait_s, _LONGEST_S))
            raise QuotaError("too many requests of late", retry_after_s=retry_after_s, hint="ask less often")
        mine.left -= 1
        self._total.left -= 1

    def _bucket(self, owner: Owner, now: float) -> _Bucket:
        bucket = self._buckets.get(owner)
        if bucket is None:
            bucket = self._buckets[owner] = _Bucket(math.inf, now)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(owner)
        return bucket


def _fill(bucket: _Bucket, quota: Quota, now: float) -> float:
    """Add what has come since the last time, up to the burst; returns how long it takes to have one."""
    rate = quota.requests_per_s
    if rate is None:
        bucket.left, bucket.at = math.inf, now
        return 0.0
    burst = max(1.0, math.ceil(rate) if quota.burst is None else quota.burst)
    bucket.left = min(burst, bucket.left + (now - bucket.at) * rate)
    bucket.at = now
    if bucket.left >= 1:
        return 0.0
    return (1 - bucket.left) / rate if rate > 0 else math.inf
