"""Which calls may be made again, and how soon."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from socketd_client.calls import Call
from socketd_client.repeating import Attempt, Repeat, repeat_of
from tests.client.restarting import LEAVING, SUCCESSOR, Play, anything, held_by, playing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("method", "path", "to_whom"),
    [
        ("PUT", "/v1/sockets/64/stream", Repeat.REPLAYED),
        ("GET", "/v1/sockets/64/stream", Repeat.NEVER),
        ("HEAD", "/v1/sockets/64/stream", Repeat.ALWAYS),
        ("POST", "/v1/sockets/64/tunnel", Repeat.NEVER),
        ("POST", "/v1/sockets/64/connect", Repeat.NEVER),
        ("GET", "/v1/sockets/64/options/1:4", Repeat.REPLAYED),
        ("GET", "/v1/sockets/64/options/so_error", Repeat.REPLAYED),
        ("GET", "/v1/sockets/64/options/1:9", Repeat.ALWAYS),
        ("PUT", "/v1/sockets/64/options/1:9", Repeat.ALWAYS),
        ("PUT", "/v1/names/stream", Repeat.ALWAYS),
        ("GET", "/v1/sockets/stream", Repeat.ALWAYS),
    ],
)
def test_bytes_and_errors_that_are_taken_are_only_for_the_daemon_that_took_them(
    method: str, path: str, to_whom: Repeat
):
    assert repeat_of(Call(method, path)) is to_whom


@pytest.mark.parametrize("name", ["stream", "connect", "take"])
def test_a_name_that_is_an_operations_word_is_a_name_like_any_other(tmp_path: Path, name: str):
    play = Play(SUCCESSOR, LEAVING, None, anything)
    with playing(play, tmp_path / "s") as client:
        held_by(client)
        assert client.names.ensure(name).fd == 64
    assert len(play.calls) == 3


def test_the_pause_between_attempts_has_an_end():
    attempt = replace(Attempt(Call("GET", "/v1/")), vain=1_000_000)
    assert 0.1 < attempt.pause_s() < 1
