"""Uploads that break off and come again: each byte arrives once."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.system import hogs
from tests.system.place import await_true
from tests.system.streams import held, put_head

if TYPE_CHECKING:
    from typing import Any

    from tests.daemon_process import DaemonProcess
    from tests.system.streams import Held

__all__ = ["held"]  # a fixture

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(60)]


def test_body_that_breaks_off_is_told_with_what_was_sent(daemon: DaemonProcess, held: Held):
    with hogs.connected(daemon) as client:
        client.sendall(put_head(held.path, 100, "Idempotency-Key: cut") + b"part")
        assert held.peer.recv(100) == b"part"
        client.shutdown(socket.SHUT_WR)
        status, headers, body = hogs.answer(client)
    assert (status, json.loads(body)["sent"], headers["Upload-Offset"]) == (400, 4, "4")
    told = daemon.request("HEAD", held.path, headers={"Idempotency-Key": "cut"})
    assert told.headers["Upload-Offset"] == "4"


def test_upload_that_is_cut_anywhere_arrives_once(daemon: DaemonProcess, held: Held):
    data = os.urandom(5_000_000)
    key = "Idempotency-Key: anywhere"
    found: dict[str, Any] = {}
    reading = held.read_in_background(found)
    for cut in (0, 1, 70_001, 1_000_000, 4_999_999):
        with hogs.connected(daemon) as client:  # each begins at 0, and many bytes come again
            client.sendall(put_head(held.path, len(data), key) + data[:cut])
    told = daemon.request("HEAD", held.path, headers={"Idempotency-Key": "anywhere"})
    start = int(told.headers.get("Upload-Offset", "0"))
    headers = {"Idempotency-Key": "anywhere", "Upload-Offset": str(start)}
    told = daemon.request("PUT", f"{held.path}?shutdown=write", data[start:], headers)
    assert (told.status, told.headers["Upload-Offset"]) == (200, str(len(data)))
    reading.join()
    assert (found["digest"], found["size"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_two_requests_of_one_upload_at_once_send_each_byte_once(daemon: DaemonProcess, held: Held):
    data = os.urandom(20_000_000)
    headers = {"Idempotency-Key": "twice"}
    found: dict[str, Any] = {}
    answers: list[Any] = []

    def bring() -> None:
        answers.append(daemon.request("PUT", held.path, data, headers))

    bringing = [threading.Thread(target=bring) for _ in range(3)]
    for each in bringing:
        each.start()
    await_true(lambda: held.waits() == len(bringing), lambda: "they do not all wait")
    reading = held.read_in_background(found)
    for each in bringing:
        each.join()
    daemon.request("POST", f"/v1/sockets/{held.fd}/shutdown", {"how": "write"})
    reading.join()
    assert [answer.json() for answer in answers] == [{"sent": len(data), "complete": True}] * len(bringing)
    assert (found["digest"], found["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
