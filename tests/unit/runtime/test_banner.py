"""The lines to paste; that they work is tested with a daemon in tests/system."""

from __future__ import annotations

import json
import shlex
import socket

import pytest

from socketd.runtime.banner import FIRST_PORT, banner, curl_lines, free_port


def test_banner_exports_the_unix_socket_and_the_token_of_tcp():
    text = banner(["unix:///run/x/api.sock", "http://127.0.0.1:80"], "sesame")
    assert "export SOCKETD_URL=unix:///run/x/api.sock\n" in text
    assert "export SOCKETD_TOKEN=sesame" in text
    assert "http://127.0.0.1:80" in text


def test_banner_without_tcp_speaks_of_no_token():
    assert "TOKEN" not in banner(["unix:///run/x/api.sock"], None)


def test_odd_paths_are_quoted():
    for line in curl_lines("unix:///tmp/a b'c/api.sock", None):
        assert "/tmp/a b'c/api.sock" in shlex.split(line)


def test_body_is_json_with_the_passive_service():
    words = shlex.split(curl_lines("unix:///x", None)[0])
    body = json.loads(words[words.index("-d") + 1])
    assert body["bind"]["flags"] == ["AI_PASSIVE"]
    assert int(body["bind"]["service"]) >= FIRST_PORT


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["inet", "inet6"])
def test_port_that_somebody_has_is_not_chosen(family):
    with socket.socket(family) as other:
        taken = free_port()
        other.bind(("", taken))
        assert free_port() > taken
