"""Makes attempts at a call until one is answered, or its time is over; ``repeating`` says what is safe."""

from __future__ import annotations

import time
from dataclasses import replace
from errno import ECONNREFUSED, ENOENT
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from socketd_client.errors import (
    ApiError,
    ConnectError,
    ConnectionLostError,
    SocketdError,
    TransportTimeoutError,
)
from socketd_client.records import ServiceInfo
from socketd_client.repeating import (
    INSTANCE,
    MOST_LOST,
    Attempt,
    Repeat,
    is_broken,
    is_connect,
    is_cut,
    is_for_another,
    is_forgotten,
    is_leaving,
    pause_s,
    repeat_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd_client.calls import Answer, Call

# How long a refused connection is tried again by a client that has never been answered.
_REFUSED_FOR_S: Final = 0.25
_REFUSED_PAUSE_S: Final = 0.02
_NO_KEEPER: Final = "none"

Result = TypeVar("Result")


class Line(Protocol):
    """What is to be known of the way to the daemon."""

    @property
    def timeout_s(self) -> float:
        """How long an answer may take beyond the wait its call asked for."""

    def describe(self) -> Answer:
        """Ask the daemon for the description of itself."""


class Insistence:
    """The attempts at the calls of one client; used by several threads at once.

    Attributes:
        instance: The daemon that answered last, as it names itself; ``None`` before any has.
        is_known: Whether the daemon was there when it was last tried.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self.instance: str | None = None
        self.is_known = False

    def insist(self, call: Call, make: Callable[[Attempt], Result]) -> Result:
        """Make attempts at a call until one is answered.

        Raises:
            ApiError, TransportError: Why the last one was not, or why none may follow.
        """
        attempt = Attempt(call, self.instance)
        deadline = attempt.started + call.wait_s + self._line.timeout_s
        while True:
            try:
                return self._reach(make, attempt, deadline)
            except ConnectionLostError as error:
                if time.monotonic() > deadline:
                    raise
                attempt = self._after_loss(attempt, error)
            except ApiError as error:
                attempt = self._after_refusal(attempt, error, deadline)
            time.sleep(attempt.pause_s())

    def _reach(self, make: Callable[[Attempt], Result], attempt: Attempt, deadline: float) -> Result:
        """Make an attempt, again while the daemon is not there."""
        began = time.monotonic()
        give_up = max(deadline if self.is_known else 0.0, began + _REFUSED_FOR_S)
        while True:
            try:
                return make(attempt)
            except ConnectError as error:
                number = None if error.reason is None else error.reason.errno
                # A daemon alone takes its socket file away at its end.
                is_away = number == ECONNREFUSED or (number == ENOENT and self.is_known)
                if not is_away or time.monotonic() > give_up:
                    # One that stays away is not waited for by each of a hundred calls.
                    self.is_known = False
                    raise
                time.sleep(_REFUSED_PAUSE_S)

    def _after_loss(self, attempt: Attempt, lost: ConnectionLostError) -> Attempt:
        repeat = repeat_of(attempt.call)
        if repeat is Repeat.NEVER:
            raise lost
        following = attempt.after(lost)
        if attempt.instance is not None or repeat is Repeat.ALWAYS:
            return following
        return replace(following, instance=self._whoever_may_do(repeat, attempt, lost))

    def _after_refusal(self, attempt: Attempt, error: ApiError, deadline: float) -> Attempt:
        """Return the next attempt where the daemon did not do this one, or raise."""
        if is_for_another(error):
            return self._after_restart(attempt, error, deadline)
        if is_forgotten(error):
            raise attempt.lost or ConnectionLostError(error.detail) from error
        if is_cut(error) or is_broken(error):
            lost = ConnectionLostError(error.detail)
            if time.monotonic() > deadline:
                raise attempt.lost or lost from error
            return attempt.after(None) if is_cut(error) else self._after_loss(attempt, lost)
        if not is_leaving(error) or is_connect(attempt.call):
            raise error
        return self._after_leaving(attempt, error, deadline)

    def _after_restart(self, attempt: Attempt, error: ApiError, deadline: float) -> Attempt:
        """Turn to the daemon that serves now, if it may do what the one before it may have done."""
        lost, repeat = attempt.lost, repeat_of(attempt.call)
        if time.monotonic() > deadline:
            raise lost or TransportTimeoutError("one daemon came after the other, and none did it") from error
        if self.instance == attempt.instance:  # who made the attempt did not tell us of the answer
            self._line.describe()
        if lost is None:
            return attempt.elsewhere(self.instance)
        if len(attempt.lost_with) > MOST_LOST:
            raise lost from error
        if repeat is Repeat.ALWAYS:
            return attempt.elsewhere(self.instance)
        return attempt.elsewhere(self._whoever_may_do(repeat, attempt, lost))

    def _after_leaving(self, attempt: Attempt, error: ApiError, deadline: float) -> Attempt:
        """Wait until the daemon may be back; return the next attempt, or raise."""
        if attempt.lost is not None and repeat_of(attempt.call) is Repeat.REPLAYED:
            raise attempt.lost from error  # this try did nothing, but the first may have
        left_s = deadline - time.monotonic()
        if left_s < pause_s(error):
            raise error
        time.sleep(pause_s(error))
        if attempt.lost is not None:
            return attempt
        return Attempt(
            attempt.call.shortened(deadline - self._line.timeout_s - time.monotonic()), self.instance
        )

    def _whoever_may_do(self, repeat: Repeat, attempt: Attempt, lost: ConnectionLostError) -> str:
        """Ask who serves now; return its name if it is the one that may have done it, or may do it instead.

        One that was there before the first attempt is the one that may have seen it: there is only one at a
        time.

        Raises:
            ConnectionLostError: ``lost``: it may not, or does not say who it is.
        """
        try:
            answer = self._line.describe()
            service = ServiceInfo.from_json(answer.json())
        except SocketdError as error:
            raise lost from error
        name = answer.headers.get(INSTANCE)
        is_same = service.uptime_s > time.monotonic() - attempt.started
        if name is None or not (is_same or (repeat is Repeat.KEPT and service.keeper != _NO_KEEPER)):
            raise lost
        return name
