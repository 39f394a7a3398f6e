"""A policy that is read again is in force; a broken one is not, and starts no daemon."""

from __future__ import annotations

import os
import signal

import pytest

from tests.daemon_process import START_S, DaemonProcess
from tests.system.policed import ANN, EVE, RULES, ask, create, place

__all__ = ["place"]  # a fixture

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


def test_a_reload_puts_another_policy_in_force_and_a_broken_one_does_not(place):
    def reload(text: str) -> str:
        place.policy.write_text(text)
        os.kill(place.daemon.process.pid, signal.SIGHUP)
        place.daemon.await_notification("RELOADING=1")
        return place.daemon.await_notification("READY=1")["STATUS"]

    held = create(place, ANN)
    unspecified = {"address": "127.0.0.1:0"}
    try:
        assert "not reloaded" in reload("version = 1\n[[rule]]\nname = 7\n")
        assert ask(place, ANN, "POST", "/v1/sockets", {"name": "ann.still"}).status == 201
        assert "not reloaded" not in reload(RULES.replace(f"uid = {ANN}", f"uid = {EVE}", 1))
        assert ask(place, ANN, "POST", "/v1/sockets", {}).status == 403
        assert ask(place, ANN, "POST", f"/v1/sockets/{held}/bind", unspecified).status == 403
        assert ask(place, ANN, "GET", f"/v1/sockets/{held}").status == 200
        create(place, EVE)
    finally:
        assert "not reloaded" not in reload(RULES)
    assert ask(place, ANN, "POST", f"/v1/sockets/{held}/bind", unspecified).status == 200


def test_a_broken_policy_at_the_start_is_no_daemon(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text("version = 2\n")
    daemon = DaemonProcess(tmp_path, ("--policy", str(file)))
    try:
        assert daemon.process.wait(START_S) != 0
        assert str(file) in daemon.log
    finally:
        daemon.kill()
