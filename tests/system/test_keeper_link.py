"""A daemon and its keeper, real processes: whichever dies, no socket is lost and none comes back."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

from tests.daemon_process import STOP_S
from tests.system.kept import (
    LISTENER,
    LOOPBACK,
    address,
    create,
    end,
    get,
    is_kept,
    keeper,
    kept_daemon,
    kill_worker,
    pid_or_none,
    place_of,
    same,
)
from tests.system.place import await_true
from tests.unit.keeper.parties import Daemon, fetched

__all__ = ["keeper", "kept_daemon"]  # fixtures


def test_killed_worker_loses_neither_connections_nor_bytes(kept_daemon, tmp_path):
    daemon, place = kept_daemon, place_of(kept_daemon, tmp_path)
    web = create(daemon, name="web", **LISTENER)
    udp = create(daemon, type="dgram", bind=LOOPBACK)
    with (
        socket.create_connection(address(web)) as first,
        socket.create_connection(address(web)) as second,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        first.sendall(b"one")
        second.sendall(b"two")
        sender.sendto(b"datagram", address(udp))
        (held,) = place.ask("POST", "/v1/sockets/web/accept", status=201)["sockets"]
        kill_worker(daemon)
        for made in (web, udp, held):
            same(made, get(daemon, made["fd"]))
            assert is_kept(daemon, made["fd"])
        assert daemon.request("POST", f"/v1/sockets/{held['fd']}/recv", {}).body == b"one"
        (queued,) = place.ask("POST", "/v1/sockets/web/accept", status=201)["sockets"]
        assert daemon.request("POST", f"/v1/sockets/{queued['fd']}/recv", {}).body == b"two"
        assert daemon.request("POST", f"/v1/sockets/{udp['fd']}/recv", {}).body == b"datagram"
    assert "the keeper has its sockets, and another is started" in daemon.log
    assert "CRITICAL" not in daemon.log


def test_what_was_answered_201_survives_a_kill_right_after(kept_daemon):
    daemon = kept_daemon
    made = []
    for nth in range(4):
        made.append(create(daemon, name=f"n{nth}", **LISTENER))
        with socket.create_connection(address(made[-1])):
            answer = daemon.request("POST", f"/v1/sockets/n{nth}/accept")
            made.append(answer.json()["sockets"][0])
        kill_worker(daemon)
    for each in made:
        assert get(daemon, each["fd"])["cookie"] == each["cookie"]


def test_numbers_rise_over_deaths(kept_daemon):
    daemon = kept_daemon
    first, second = create(daemon), create(daemon)
    assert daemon.request("DELETE", f"/v1/sockets/{second['fd']}").status == 204
    kill_worker(daemon)
    assert create(daemon)["fd"] > second["fd"] > first["fd"]


def test_request_repeated_after_a_death_gets_what_it_made(kept_daemon):
    daemon = kept_daemon
    key = {"Idempotency-Key": "once"}
    made = create(daemon, key, **LISTENER)
    kill_worker(daemon)
    same(made, create(daemon, key, **LISTENER))
    assert len(daemon.request("GET", "/v1/sockets").json()["sockets"]) == 1


def test_killed_master_takes_the_worker_along_and_the_next_daemon_has_all(keeper, kept_daemon, fresh_daemon):
    daemon = kept_daemon
    web = create(daemon, name="web", **LISTENER)
    worker = os.pidfd_open(daemon.pid)
    try:
        daemon.process.kill()
        assert select.select([worker], [], [], STOP_S)[0]
    finally:
        os.close(worker)
    daemon.process.wait(STOP_S)
    follower = fresh_daemon("--keeper", keeper.path)
    same(web, get(follower, "web"))


def test_stopped_daemon_leaves_its_sockets_to_the_next(keeper, kept_daemon, fresh_daemon, tmp_path):
    path = str(tmp_path / "held.sock")
    web = create(kept_daemon, name="web", **LISTENER)
    unix = create(kept_daemon, family="unix", bind=path, listen=True)
    kept_daemon.stop()
    with socket.create_connection(address(web)), socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        follower = fresh_daemon("--keeper", keeper.path)
        same(web, get(follower, "web"))
        assert follower.request("POST", "/v1/sockets/web/accept").status == 201
        assert follower.request("DELETE", f"/v1/sockets/{unix['fd']}").status == 204
    assert not os.path.lexists(path)  # the file is still known to be the socket's


def test_sigquit_ends_for_good(keeper, kept_daemon, tmp_path):
    path = str(tmp_path / "held.sock")
    create(kept_daemon, family="unix", bind=path, listen=True)
    web = create(kept_daemon, **LISTENER)
    with socket.create_connection(address(web)) as peer:
        kept_daemon.process.send_signal(signal.SIGQUIT)
        kept_daemon.check_end()
        peer.settimeout(STOP_S)
        with suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    assert fetched(keeper.path) == {}
    assert not os.path.lexists(path)


def test_killed_keeper_has_all_again_when_it_is_back(keeper, kept_daemon):
    daemon = kept_daemon
    web = create(daemon, name="web", **LISTENER)
    keeper.kill()
    await_true(lambda: not is_kept(daemon, "web"), lambda: daemon.log)
    assert daemon.request("GET", "/v1/").json()["keeper"] == "away"
    keeper.start()
    await_true(lambda: is_kept(daemon, "web"), lambda: daemon.log)
    await_true(lambda: daemon.request("GET", "/v1/").json()["keeper"] == "up", lambda: daemon.log)
    kill_worker(daemon)
    same(web, get(daemon, "web"))


def test_daemon_goes_on_without_its_keeper(keeper, kept_daemon, tmp_path):
    daemon, place = kept_daemon, place_of(kept_daemon, tmp_path)
    gone = create(daemon, name="gone")
    web = create(daemon, name="web", **LISTENER)
    keeper.kill()
    lone = create(daemon, name="lone", **LISTENER)
    assert lone["kept"] == "daemon"
    with socket.create_connection(address(web)):
        (held,) = place.ask("POST", "/v1/sockets/web/accept", status=201)["sockets"]
    bulk = place.ask("POST", "/v1/sockets", {"count": 300}, status=201)["sockets"]
    place.ask("DELETE", "/v1/sockets/gone", status=204)
    keeper.start()
    everything = [web, lone, held, *bulk]
    await_true(lambda: all(is_kept(daemon, each["fd"]) for each in everything[-3:]), lambda: daemon.log)
    daemon.stop()
    assert set(fetched(keeper.path)) == {each["fd"] for each in everything}
    assert gone["fd"] not in fetched(keeper.path)


def test_socket_closed_while_the_keeper_was_deaf_is_closed(keeper, kept_daemon):
    """It is stopped, and so does not close its copy before it goes on."""
    daemon = kept_daemon
    web = create(daemon, name="web", **LISTENER)
    os.kill(keeper.pid, signal.SIGSTOP)
    try:
        closing = threading.Thread(target=daemon.request, args=("DELETE", "/v1/sockets/web"))
        closing.start()
        await_true(lambda: daemon.request("GET", "/v1/sockets/web").status == 404, lambda: daemon.log)
    finally:
        os.kill(keeper.pid, signal.SIGCONT)
    closing.join()
    with socket.create_server(address(web)):
        pass


def test_close_really_closes(kept_daemon):
    daemon = kept_daemon
    # Its connections inherit the option, and so do not hold on to the port in TIME_WAIT.
    web = create(daemon, name="web", options={"SO_REUSEADDR": True}, **LISTENER)
    for _ in range(20):
        with socket.create_connection(address(web)) as peer:
            peer.settimeout(0)
            held = daemon.request("POST", "/v1/sockets/web/accept").json()["sockets"][0]
            assert daemon.request("DELETE", f"/v1/sockets/{held['fd']}").status == 204
            assert peer.recv(1) == b""  # the end is there already
    assert daemon.request("DELETE", "/v1/sockets/web").status == 204
    with socket.create_server(address(web)):
        pass
    kill_worker(daemon)
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


def test_bulk_create_that_is_killed_leaves_all_or_nothing(keeper, kept_daemon):
    daemon = kept_daemon
    count = 8000
    statuses: list[int] = []

    def ask() -> None:
        with suppress(OSError, ValueError):
            statuses.append(daemon.request("POST", "/v1/sockets", {"count": count}).status)

    worker = daemon.pid
    asking = threading.Thread(target=ask)
    asking.start()
    await_true(lambda: keeper.held() > 500, lambda: keeper.log)  # some are staged
    end(worker, signal.SIGKILL)
    asking.join()
    await_true(lambda: pid_or_none(daemon) not in {None, worker}, lambda: daemon.log)
    held = daemon.request("GET", "/v1/").json()["sockets"]
    assert held in {0, count}
    assert held == count or statuses != [201]


def test_bulk_create_that_fails_leaves_nothing_with_the_keeper(keeper, kept_daemon):
    create(kept_daemon, name="x.700")
    answer = kept_daemon.request("POST", "/v1/sockets", {"count": 1000, "name": "x"})
    assert answer.status == 409
    kept_daemon.stop()
    assert len(fetched(keeper.path)) == 1


def test_note_of_a_newer_version_stays_with_the_keeper(keeper, fresh_daemon):
    with Daemon(keeper.path) as newer, socket.create_server(("127.0.0.1", 0)) as listener:
        newer.store(64, listener.fileno(), b'{"v":2,"owner":{"uid":0},"at":1.0}')
        newer.store(65, listener.fileno(), b"not a note at all")
    daemon = fresh_daemon("--keeper", keeper.path)
    assert "1 sockets (64) stay with the keeper: its note has version 2" in daemon.log
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []
    assert daemon.request("GET", "/v1/sockets/64").status == 404
    made = create(daemon)
    assert made["fd"] not in {64, 65}
    daemon.stop()
    assert set(fetched(keeper.path)) == {64, 65, made["fd"]}


def test_too_few_descriptors_end_the_start_and_lose_nothing(keeper, kept_daemon, fresh_daemon):
    assert kept_daemon.request("POST", "/v1/sockets", {"count": 300}).status == 201
    kept_daemon.stop()
    few = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh")
    poor = fresh_daemon("--keeper", keeper.path, launcher=few, ready=False)
    log = poor.check_end(status=3)
    assert "RLIMIT_NOFILE" in log
    assert "LimitNOFILE" in log
    daemon = fresh_daemon("--keeper", keeper.path)
    assert daemon.request("GET", "/v1/").json()["sockets"] == 300


def test_without_its_keeper_a_daemon_does_not_start(fresh_daemon, tmp_path):
    daemon = fresh_daemon("--keeper", str(tmp_path / "nobody.sock"), ready=False)
    log = daemon.check_end(status=3)
    assert f"no keeper at {tmp_path / 'nobody.sock'}" in log
    assert "keeper is away" not in log


def test_told_to_stop_while_it_waits_for_its_keeper_it_stops(fresh_daemon, tmp_path):
    daemon = fresh_daemon("--keeper", str(tmp_path / "nobody.sock"), "--log-level", "debug", ready=False)
    daemon.await_log("Booting worker with pid")
    daemon.stop()


def test_daemon_waits_for_its_predecessor_to_leave_the_keeper(keeper, kept_daemon, fresh_daemon):
    web = create(kept_daemon, name="web", **LISTENER)
    follower = fresh_daemon("--keeper", keeper.path, ready=False)
    await_true(lambda: "EBUSY" in keeper.log, lambda: keeper.log)
    kept_daemon.stop()
    follower.await_notification("READY=1")
    same(web, get(follower, "web"))


def test_a_thousand_sockets_are_had_back(kept_daemon, capsys):
    """They fill several batches, and land on each other's numbers."""
    assert kept_daemon.request("POST", "/v1/sockets", {"count": 1000}).status == 201
    before = kept_daemon.descriptors()
    begin = time.monotonic()
    kill_worker(kept_daemon)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfrom kill to the first answer with 1,000 sockets: {time.monotonic() - begin:.2f} s\n"
        )
    after = kept_daemon.descriptors()
    ours = {number: link for number, link in before.items() if number >= 64}
    assert len(ours) == 1000
    assert {number: after[number] for number in ours} == ours
