"""Descriptor numbers rise, rest after their use, and run out with an error that says so."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from socketd.core.numbers import Numbers
from socketd.errors import KernelRefusedError, OutOfDescriptorsError
from tests.held import FIRST, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

REST_S = 120.0


class Giving:
    """Numbers of a small range, with every duplicate noted and closed at the end."""

    def __init__(self, fd: int, size: int) -> None:
        self.clock = ManualClock()
        self.numbers = Numbers(FIRST, FIRST + size, REST_S, self.clock)
        self._fd = fd
        self.open: set[int] = set()

    def give(self) -> int:
        number = self.numbers.duplicate(self._fd)
        self.open.add(number)
        return number - FIRST

    def free(self, offset: int) -> None:
        os.close(FIRST + offset)
        self.open.discard(FIRST + offset)
        self.numbers.free(FIRST + offset)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as opened:
        yield opened


@pytest.fixture
def giving(sock: socket.socket) -> Iterator[Giving]:
    made = Giving(sock.fileno(), 10)
    yield made
    for number in made.open:
        os.close(number)


def test_a_full_range_is_out_of_descriptors_and_opens_nothing(giving: Giving):
    for _ in range(10):
        giving.give()
    with pytest.raises(OutOfDescriptorsError) as caught:
        giving.give()
    assert (caught.value.symbol, caught.value.number) == ("EMFILE", 24)
    assert str(FIRST + 10) in str(caught.value)


def test_numbers_above_the_limit_are_never_given_though_the_kernel_has_them(giving: Giving):
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > FIRST + 10
    assert [giving.give() for _ in range(10)] == list(range(10))
    with pytest.raises(OutOfDescriptorsError):
        giving.give()


def test_a_lowered_rlimit_is_out_of_descriptors(sock: socket.socket):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FIRST, hard))
    try:
        with pytest.raises(OutOfDescriptorsError):
            Numbers(FIRST, FIRST + 10, REST_S, ManualClock()).duplicate(sock.fileno())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_closed_descriptor_is_what_the_kernel_says():
    with pytest.raises(KernelRefusedError) as caught:
        Numbers(FIRST, FIRST + 10, REST_S, ManualClock()).duplicate(FIRST + 20)
    assert (caught.value.symbol, caught.value.syscall) == ("EBADF", "fcntl")


def test_a_reserved_number_is_never_given(giving: Giving):
    giving.numbers.reserve(FIRST + 1)
    giving.numbers.reserve(FIRST + 2)
    assert [giving.give() for _ in range(8)] == [0, *range(3, 10)]
    giving.clock.now += 100 * REST_S
    with pytest.raises(OutOfDescriptorsError):
        giving.give()


def test_resting_and_reserved_numbers_are_passed_over_in_one_go(giving: Giving):
    assert [giving.give() for _ in range(4)] == [0, 1, 2, 3]
    giving.free(0)
    giving.free(2)
    giving.numbers.reserve(FIRST + 4)
    assert [giving.give() for _ in range(5)] == [5, 6, 7, 8, 9]
    giving.clock.now += REST_S
    assert [giving.give() for _ in range(2)] == [0, 2]


def test_numbers_go_on_above_those_of_an_earlier_life(giving: Giving):
    giving.numbers.start_after(FIRST + 6)
    giving.numbers.start_after(FIRST + 3)
    assert [giving.give() for _ in range(4)] == [7, 8, 9, 0]


def test_numbers_wrap_when_the_earlier_life_ended_at_the_limit(giving: Giving):
    giving.numbers.start_after(FIRST + 9)
    assert giving.give() == 0


def test_numbers_rise_though_lower_ones_are_free(giving: Giving):
    assert [giving.give() for _ in range(3)] == [0, 1, 2]
    giving.free(0)
    giving.free(1)
    giving.clock.now += REST_S + 1
    assert giving.give() == 3


def test_numbers_wrap_at_the_limit_to_those_that_have_rested(giving: Giving):
    for _ in range(10):
        giving.give()
    giving.free(4)
    giving.clock.now += REST_S
    assert giving.give() == 4


def test_a_freed_number_rests(giving: Giving):
    for _ in range(10):
        giving.give()
    giving.free(4)
    giving.clock.now += REST_S - 0.1
    with pytest.raises(OutOfDescriptorsError):
        giving.give()


def test_a_run_of_resting_numbers_is_passed_over(giving: Giving):
    for _ in range(10):
        giving.give()
    for offset in (0, 1, 2, 3, 7):
        giving.free(offset)
    giving.clock.now += REST_S
    giving.give()
    for offset in (0, 4):
        giving.free(offset)
    assert giving.give() == 1


def test_no_more_than_half_of_the_range_rests_so_that_churn_goes_on(giving: Giving):
    for _ in range(10):
        giving.give()
    for offset in range(6):
        giving.free(offset)
    assert giving.give() == 0  # five rest, and the one freed first no longer does
    with pytest.raises(OutOfDescriptorsError):
        giving.give()


def test_endless_churn_in_a_small_range_reuses_no_number_within_half_of_it(giving: Giving):
    given: list[int] = []
    for _ in range(200):
        number = giving.give()
        assert number not in given[-5:]
        given.append(number)
        giving.free(number)


def test_a_number_that_somebody_else_uses_is_passed_over(giving: Giving, sock: socket.socket):
    taken = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST + 1)
    try:
        assert taken == FIRST + 1
        assert [giving.give() for _ in range(3)] == [0, 2, 3]
    finally:
        os.close(taken)


def test_a_number_given_back_is_the_next_one(giving: Giving):
    first = giving.give()
    giving.open.discard(FIRST + first)
    giving.numbers.give_back(FIRST + first)
    assert giving.give() == first


def test_a_number_given_back_late_moves_nothing(giving: Giving):
    first, _second = giving.give(), giving.give()
    giving.open.discard(FIRST + first)
    giving.numbers.give_back(FIRST + first)
    assert giving.give() == 2


def test_duplicates_are_not_inherited(giving: Giving):
    assert not os.get_inheritable(FIRST + giving.give())
