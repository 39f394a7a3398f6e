"""Descriptors move to the numbers they had: chains, rings, and nothing of anybody else's."""

from __future__ import annotations

import os
import random
import resource
from typing import TYPE_CHECKING

import pytest

from socketd.core.placing import place
from socketd.errors import KernelRefusedError
from tests.held import FIRST, open_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 12


@pytest.fixture
def free() -> Iterator[None]:
    """Close what a test has put at its numbers."""
    yield
    for number in range(FIRST, FIRST + 2 * MOST):
        if is_open(number):
            os.close(number)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def put(*offsets: int) -> dict[int, int]:
    """Open something at each number; return what is there by its inode, which goes with it."""
    found = {}
    for offset in offsets:
        low = os.memfd_create("placed")
        os.dup2(low, FIRST + offset, inheritable=True)
        os.close(low)
        found[FIRST + offset] = os.fstat(FIRST + offset).st_ino
    return found


def moved(wanted: dict[int, int]) -> None:
    """Place what is at each offset at the other, and look."""
    inodes = put(*wanted)
    before = len(open_numbers())
    place([(FIRST + at, FIRST + to) for at, to in wanted.items()])
    assert {to: os.fstat(FIRST + to).st_ino for to in wanted.values()} == {
        to: inodes[FIRST + at] for at, to in wanted.items()
    }
    assert not any(os.get_inheritable(FIRST + to) for to in wanted.values())
    assert not any(is_open(FIRST + at) for at in wanted if at not in wanted.values())
    assert len(open_numbers()) == before


@pytest.mark.usefixtures("free")
def test_a_number_in_use_is_ebusy_and_what_is_there_stays():
    inodes = put(0, 1, 5)
    with pytest.raises(KernelRefusedError) as caught:
        place([(FIRST, FIRST + 7), (FIRST + 1, FIRST + 5)])
    assert caught.value.symbol == "EBUSY"
    assert str(FIRST + 5) in (caught.value.hint or "")
    assert os.fstat(FIRST + 5).st_ino == inodes[FIRST + 5]
    assert not any(is_open(FIRST + each) for each in (0, 1, 7))


@pytest.mark.usefixtures("free")
def test_a_failure_in_the_middle_of_a_chain_closes_all_that_came():
    put(0, 1, 2, 3, 9)
    with pytest.raises(KernelRefusedError):
        place([(FIRST, FIRST + 1), (FIRST + 1, FIRST + 6), (FIRST + 2, FIRST + 9), (FIRST + 3, FIRST + 3)])
    assert [each for each in range(MOST) if is_open(FIRST + each)] == [9]


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("wanted", [[(0, 4), (0, 5)], [(0, 4), (1, 4)]])
def test_what_comes_twice_is_refused_and_closed(wanted: list[tuple[int, int]]):
    put(0, 1)
    with pytest.raises(ValueError, match="twice"):
        place([(FIRST + at, FIRST + to) for at, to in wanted])
    assert not any(is_open(FIRST + at) for at, _ in wanted)


@pytest.mark.usefixtures("free")
def test_a_number_beyond_the_limit_says_which_limit():
    put(0)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with pytest.raises(KernelRefusedError) as caught:
        place([(FIRST, limit)])
    assert caught.value.symbol == "EINVAL"
    assert "RLIMIT_NOFILE" in (caught.value.hint or "")
    assert not is_open(FIRST)


def test_nothing_is_placed_where_nothing_came():
    place([])


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(
    "wanted",
    [
        {0: 5},
        {0: 0},
        {0: 1, 1: 2, 2: 3},
        {2: 3, 1: 2, 0: 1},
        {0: 1, 1: 0},
        {0: 1, 1: 2, 2: 0, 3: 3},
        {0: 1, 1: 0, 2: 3, 3: 2, 4: 6},
    ],
    ids=["free", "in place", "chain", "chain backwards", "swap", "ring and one in place", "two rings"],
)
def test_descriptors_are_at_their_numbers_and_nowhere_else(wanted: dict[int, int]):
    moved(wanted)


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_any_numbers_is_placed(seed: int):
    rng = random.Random(seed)
    at = rng.sample(range(MOST), 8)
    to = rng.sample(range(MOST), 8)
    moved(dict(zip(at, to, strict=True)))
