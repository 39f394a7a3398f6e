"""``socketd run`` is small, gives each child what is its own, and can be process 1."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.system.run_process import identity, run

__all__ = ["run"]  # a fixture


def test_supervisor_is_small(run):
    daemon = run()
    mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert not re.search("gevent|greenlet", mapped)
    assert "_ctypes" in mapped  # else the names of what is loaded would not be in there at all


def test_each_child_is_told_of_what_is_its_own(run):
    daemon = run()
    keeper = Path(f"/proc/{daemon.programs()['keep']}/environ").read_text()
    assert "LISTEN_FDS" not in keeper
    assert "SOCKETD_SUPERVISOR=run" in keeper
    serve = Path(f"/proc/{daemon.programs()['serve']}/environ").read_text()
    assert "LISTEN_FDNAMES=api" in serve
    assert "FDSTORE" not in serve


@pytest.mark.needs("prlimit")
def test_store_leaves_room_where_descriptors_are_few(run):
    daemon = run(launcher=["prlimit", "--nofile=256:256"])
    keeper = Path(f"/proc/{daemon.programs()['keep']}/environ").read_text()
    assert "FDSTORE=96\0" in keeper
    many = {"count": 120, "bind": {"host": "127.0.0.1", "service": "0"}}
    made = daemon.request("POST", "/v1/sockets", many).json()["sockets"]
    assert len(made) == 120
    last = str(made[94]["fd"])  # 95 and the notes
    daemon.await_kept(last, "supervisor")
    for pid in daemon.programs().values():
        os.killpg(pid, signal.SIGKILL)
    daemon.await_notification("READY=1")
    held = daemon.request("GET", "/v1/sockets?limit=1000").json()["sockets"]
    assert {each["inode"] for each in held} == {each["inode"] for each in made[:95]}


@pytest.mark.needs("unshare")
@pytest.mark.skipif(os.getuid() != 0, reason="only root makes process namespaces")
def test_it_can_be_process_1_of_a_container(run):
    daemon = run(launcher=["unshare", "--pid", "--fork", "--mount-proc"])
    before = daemon.make("web")
    (supervisor,) = daemon.children()
    assert daemon.pid != 1
    programs = [
        int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    ]
    for pid in programs:
        os.killpg(pid, signal.SIGKILL)
    daemon.await_notification("READY=1")
    assert identity(daemon.look("web")) == identity(before)
    os.kill(supervisor, signal.SIGTERM)
    daemon.check_end()
