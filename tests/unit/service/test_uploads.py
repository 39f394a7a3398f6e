"""Positions of uploads: found again by who brought them, bounded, and final once the daemon goes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from socketd.errors import (
    BusyError,
    InvalidRequestError,
    KernelRefusedError,
    ShuttingDownError,
    UploadInterruptedError,
    UploadOffsetError,
    WaitTimeoutError,
)
from socketd.service import uploads
from socketd.service.uploads import Part
from tests.held import ANN, ROOT, Held
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from socketd.core.entry import Entry
    from socketd.service.call import Call

TOO_MUCH = bytes(8 << 20)


def bring(held: Held, entry: Entry, data: bytes, part: Part, call: Call | None = None) -> int:
    """Send a body in one piece, as far as there is room; return how much of it was sent."""
    pieces = [data]
    with held.service.streams.writing(call or held.call(), entry.reference, part) as writing:
        writing.run(lambda: pieces.pop() if pieces else b"", 0.05)
        return writing.sent


def position(held: Held, entry: Entry, key: str, uid: int = ROOT) -> int | None:
    return held.service.streams.position(held.call(uid), entry.reference, key)


def test_upload_is_known_by_its_key(held: Held):
    near, far = held.pair()
    assert position(held, near, "a") is None
    assert bring(held, near, b"123", Part("a")) == 3
    assert (position(held, near, "a"), position(held, near, "b"), position(held, far, "a")) == (3, None, None)


def test_key_of_another_caller_is_another_upload(held: Held):
    made = held.tcp(uid=ANN)
    with (
        pytest.raises(KernelRefusedError),
        held.service.streams.writing(held.call(ANN), made.reference, Part("a")) as writing,
    ):
        writing.run(lambda: b"x", 0)
    assert (position(held, made, "a", ANN), position(held, made, "a", ROOT)) == (0, None)


def test_gap_notes_nothing(held: Held):
    near, _ = held.pair()
    with pytest.raises(UploadOffsetError) as caught:
        bring(held, near, b"later", Part("a", 4))
    assert (caught.value.position, position(held, near, "a")) == (0, None)


def test_other_length_under_the_same_key_is_refused(held: Held):
    near, _ = held.pair()
    bring(held, near, b"123", Part("a", 0, 3))
    assert bring(held, near, b"23", Part("a", 1, 2)) == 2
    with pytest.raises(InvalidRequestError, match="3 bytes"):
        bring(held, near, b"1234", Part("a", 0, 4))


def test_rest_is_told_and_gone_on_with(held: Held):
    near, far = held.pair()
    with pytest.raises(WaitTimeoutError):
        bring(held, near, TOO_MUCH, Part("a"))
    sent = position(held, near, "a")
    assert sent is not None
    assert 0 < sent < len(TOO_MUCH)
    assert len(far.sock.recv(len(TOO_MUCH))) == sent
    assert bring(held, near, b"end", Part("a", sent)) == 3


def test_what_is_old_is_forgotten(held: Held):
    near, _ = held.pair()
    bring(held, near, b"1", Part("old"))
    held.clock.now += uploads.KEPT_S + 1
    bring(held, near, b"1", Part("new"))
    assert (position(held, near, "old"), position(held, near, "new")) == (None, 1)


def test_what_runs_is_never_forgotten(held: Held):
    near, _ = held.pair()
    with held.service.streams.writing(held.call(), near.reference, Part("running")):
        held.clock.now += uploads.KEPT_S + 1
        bring(held, near, b"1", Part("new"))
        assert position(held, near, "running") == 0


def test_position_is_final_once_the_daemon_goes(held: Held):
    near, far = held.pair()
    waiter = PollWaiter()
    found: list[BaseException] = []

    def stall() -> None:
        try:
            pieces = [TOO_MUCH]
            with held.service.streams.writing(held.call(waiter=waiter), near.reference, Part("a")) as writing:
                writing.run(pieces.pop, None)
        except UploadInterruptedError as error:
            found.append(error)

    stalling = threading.Thread(target=stall)
    stalling.start()
    waiter.await_waiting()
    waiter.shut()
    stalling.join()
    assert found
    sent = position(held, near, "a")
    assert sent is not None
    far.sock.recv(sent)
    with pytest.raises(UploadInterruptedError):  # one that lingers, whose bytes are all there
        bring(held, near, TOO_MUCH, Part("a"))
    assert position(held, near, "a") == sent


def test_daemon_that_goes_before_the_first_byte_has_done_nothing(held: Held):
    near, _ = held.pair()
    waiter = PollWaiter()
    waiter.shut()
    with (
        pytest.raises(ShuttingDownError),
        held.service.streams.writing(held.call(waiter=waiter), near.reference, Part("a")),
    ):
        raise AssertionError("it waits for nobody")


def test_socket_in_a_flow_is_busy_for_streams(held: Held):
    one, other = held.connection()
    left, _ = held.pair()
    held.service.forwards.create(held.call(), one.reference, left.reference, "keep")
    with pytest.raises(BusyError):
        bring(held, one, b"x", Part())
    with (
        pytest.raises(BusyError),
        held.service.streams.reading(held.call(), left.reference) as reading,
    ):
        next(reading.pieces(0.1))
    assert bring(held, other, b"free", Part()) == 4
