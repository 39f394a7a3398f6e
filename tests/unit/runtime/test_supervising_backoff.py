"""How long what dies again and again has to wait."""

from __future__ import annotations

from socketd.runtime.supervising.backoff import Backoff


def test_first_start_is_at_once_and_the_pause_doubles_up_to_its_cap():
    backoff = Backoff()
    assert [backoff.after(0.0) for _ in range(9)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_what_was_up_for_long_starts_at_once_again():
    backoff = Backoff()
    for _ in range(5):
        backoff.after(9.9)
    assert [backoff.after(10.0), backoff.after(0.0)] == [0.0, 0.1]
