"""A socket in a forward is not released: what is on its way through the daemon would be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

RECEIVES = {"Accept-Descriptors": "yes"}


def pair(daemon: DaemonProcess) -> tuple[int, int]:
    left, right = daemon.request("POST", "/v1/socketpairs", {}).json()["sockets"]
    return left["fd"], right["fd"]


def test_release_waits_for_the_end_of_the_forward(daemon: DaemonProcess):
    (left, _), (right, _) = pair(daemon), pair(daemon)
    forward = daemon.request("POST", "/v1/forwards", {"sockets": [left, right]}).json()
    path = f"/v1/sockets/{left}/take"
    refused = daemon.request("POST", path, {"release": True}, RECEIVES)
    assert (refused.status, refused.json()["errno"]) == (409, "EBUSY")
    assert daemon.request("GET", f"/v1/forwards/{forward['id']}").json()["state"] == "running"
    assert daemon.request("POST", path, {}, RECEIVES).status == 200
    assert daemon.request("DELETE", f"/v1/forwards/{forward['id']}").status == 200
    assert daemon.request("POST", path, {"release": True}, RECEIVES).status == 200
