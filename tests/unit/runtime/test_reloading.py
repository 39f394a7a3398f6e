"""A reload changes all that it can, or nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from socketd.runtime import config, reloading
from socketd.runtime.config import ConfigError
from socketd.runtime.settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from socketd.runtime.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return config.load({}, {}).settings


def test_every_live_key_is_one_that_can_be_configured():
    assert {key.name for key in KEYS} > reloading.LIVE


def test_nothing_changed_is_nothing(settings):
    assert reloading.compare(settings, settings) == reloading.Changes(settings, (), ())


def test_only_what_can_change_is_taken_over(settings):
    wanted = replace(settings, max_waits=7, max_connections=8, listen="/elsewhere")
    changes = reloading.compare(settings, wanted)
    assert changes.live == ("max_waits",)
    assert changes.waiting == ("listen", "max_connections")
    assert changes.settings == replace(settings, max_waits=7)


def test_one_part_that_cannot_keeps_all_as_they_were(settings):
    applied: list[str] = []

    def good(_settings: Settings, /) -> Callable[[], None]:
        return lambda: applied.append("good")

    def bad(_settings: Settings, /) -> Callable[[], None]:
        raise ConfigError("the file is broken")

    with pytest.raises(ConfigError):
        reloading.put_in_force(settings, [good, bad])
    assert applied == []
    reloading.put_in_force(settings, [good, good])
    assert applied == ["good", "good"]


def test_log_level_changes_when_it_is_applied(settings):
    root = logging.getLogger()
    before = root.level
    try:
        apply = reloading.log_level(replace(settings, log_level="error"))
        assert root.level == before
        apply()
        assert root.level == logging.ERROR
    finally:
        root.setLevel(before)
