"""Events in the client and on the command line, from a real daemon, and on over its restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from socketd_client import ApiError, BadAnswerError, Client
from socketd_client.events import _documents
from tests.socketctl_process import socketctl

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess


def test_events_are_records(daemon: DaemonProcess):
    with Client(daemon.url) as client:
        last = [each.sequence for each in client.events(after=0, timeout=0)][-1:] or [0]
        with client.sockets.create(bind=("127.0.0.1", 0), listen=True, name="evented") as made:
            where = made.getsockname()
        created, bound, listening, closed = client.events(after=last[0], timeout=0)
        assert [created.event, bound.event, listening.event, closed.event] == [
            *("created", "bound", "listening", "closed")
        ]
        assert created.socket.name == "evented"
        assert listening.local.as_tuple() == where
        assert closed.caller.via == "unix"


def test_a_follower_goes_on_where_the_daemon_ended(fresh_daemon, tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    first = fresh_daemon(folder=folder)
    with Client(first.url, timeout_s=60) as client:
        events = client.events(after=0)
        client.sockets.create(name="one")
        assert next(events).socket.name == "one"
        first.stop()
        fresh_daemon(folder=folder)
        client.sockets.create(name="two")
        said = [next(events).event, next(events)]
        # What the first daemon did at its end may have been told, or is in the gap.
        while said[-1].event != "created":
            said.append(next(events))
        assert "gap" in {each if isinstance(each, str) else each.event for each in said}
        assert said[-1].socket.name == "two"


def test_a_refusal_is_raised_when_the_iterator_is_used(daemon: DaemonProcess):
    with Client(daemon.url) as client:
        events = client.events(after=-1)
        with pytest.raises(ApiError):
            next(events)


def test_a_line_that_is_cut_is_read_when_the_rest_comes():
    pieces = [b'{"event":"a","seq', b'uence":1}\n{"event":"b","sequence":2}\n{"ev']
    assert [each["event"] for each in _documents(iter(pieces))] == ["a", "b"]


@pytest.mark.parametrize("line", [b"no\n", b"[]\n", b'{"event":1,"sequence":1}\n', b'{"event":"a"}\n'])
def test_a_stream_of_something_else_is_a_bad_answer(line: bytes):
    with pytest.raises(BadAnswerError):
        list(_documents(iter([line])))


def test_the_command_prints_a_line_each(daemon: DaemonProcess):
    made = daemon.request(
        "POST", "/v1/sockets", {"name": "told", "bind": "127.0.0.1:0", "listen": True}
    ).json()
    daemon.request("POST", "/v1/sockets/told/bind", {"address": "127.0.0.1:1"})
    daemon.request("DELETE", "/v1/sockets/told")
    done = socketctl(daemon.url, "events", "--after", "0", "--timeout", "0")
    assert (done.returncode, done.stderr) == (0, "")
    *_, listening, refused, closed = [line.split(" ", 1)[1] for line in done.stdout.splitlines()]
    who = f"{made['fd']} (told) inet stream"
    assert listening.startswith(f"listening {who} on {made['local']['text']} by root (pid ")
    assert refused.startswith(f"refused bound EINVAL 127.0.0.1:1 {who} by root")
    assert closed.startswith(f"closed {who} by root")


def test_the_command_prints_what_the_api_says(daemon: DaemonProcess):
    daemon.request("POST", "/v1/sockets", {})
    done = socketctl(daemon.url, "events", "--after", "1", "--timeout", "0", "--json")
    gap, *said = map(json.loads, done.stdout.splitlines())
    assert gap["event"] == "gap"
    assert {each["event"] for each in said} >= {"created"}
    told = socketctl(daemon.url, "events", "--after", "1", "--timeout", "0").stdout
    assert told.startswith("gap: what came after 1 and up to ")
