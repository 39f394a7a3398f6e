"""The supervisor's loop over real processes: what dies comes back, alone; what is told to end, ends."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from tests.daemon_process import child_environment
from tests.supervisor_process import await_gone, is_alive


def test_daemon_is_started_when_the_keeper_is_ready(supervised):
    supervisor = supervised()
    keeper = supervisor.next("keeper")
    keeper.do("say", "STATUS=nearly")
    keeper.do("barrier")  # heard, and nothing came of it
    assert not supervisor.is_starting_one()
    keeper.ready()
    supervisor.next("daemon")


def test_each_leads_a_group_and_has_a_mailbox_of_its_own(supervised):
    keeper, daemon = supervised().both()
    assert keeper.do("group") == keeper.pid
    assert daemon.do("group") == daemon.pid
    assert keeper.environ["NOTIFY_SOCKET"] != daemon.environ["NOTIFY_SOCKET"]
    assert daemon.environ["LISTEN_PID"] == str(daemon.pid)


def test_children_have_no_descriptor_that_was_not_meant_for_them(supervised):
    keeper, daemon = supervised().both()
    # 0 to 2, the socket to the test, and the one that lists the folder.
    assert len(keeper.do("descriptors")) == 5
    assert len(daemon.do("descriptors")) == 6


def test_readiness_and_status_of_the_daemon_are_passed_on(supervised):
    supervisor = supervised()
    keeper = supervisor.next("keeper")
    keeper.do("say", "READY=1\nSTATUS=of the keeper")
    daemon = supervisor.next("daemon")
    daemon.do("say", f"READY=1\nMAINPID={daemon.pid}\nSTATUS=serving")
    assert supervisor.await_notification("STATUS") == "READY=1\nSTATUS=serving\n"
    supervisor.await_log("on_serving")
    daemon.do("say", "STATUS=serving well")
    assert supervisor.await_notification("STATUS") == "STATUS=serving well\n"


def test_reload_of_the_daemon_is_passed_on(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    daemon.do("trap", "SIGHUP")
    supervisor.send(signal.SIGHUP)
    assert daemon.hear() == {"signal": "SIGHUP"}
    daemon.do("say", "RELOADING=1\nMONOTONIC_USEC=5")
    assert supervisor.await_notification("RELOADING") == "RELOADING=1\nMONOTONIC_USEC=5\n"


def test_reload_waits_until_the_daemon_can_hear_it(supervised):
    supervisor = supervised()
    keeper = supervisor.next("keeper")
    keeper.ready()
    daemon = supervisor.next("daemon")
    daemon.do("trap", "SIGHUP")
    supervisor.send(signal.SIGHUP)
    daemon.ready()
    assert daemon.hear() == {"signal": "SIGHUP"}


@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_what_dies_is_started_again_and_the_other_lives_on(supervised, name):
    supervisor = supervised()
    children = dict(zip(("keeper", "daemon"), supervisor.both(), strict=True))
    dead = children.pop(name)
    for _ in range(4):  # the first time at once, then with a growing pause
        dead.kill()
        dead = supervisor.next(name)
        dead.ready()
    (other,) = children.values()
    assert is_alive(other.pid)
    assert supervisor.log.count("ended by SIGKILL; starting another") == 4


def test_daemon_that_ends_by_itself_is_started_again(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    daemon.exit(0)
    supervisor.next("daemon")
    assert "ended with status 0; starting another" in supervisor.log


def test_group_is_killed_before_another_is_started(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    left = daemon.do("fork")
    os.kill(daemon.pid, signal.SIGKILL)
    supervisor.next("daemon")
    assert not os.path.exists(f"/proc/{left}")  # noqa: PTH110 - not even as a zombie: we reap what we adopt


def test_daemon_is_not_started_while_there_is_no_keeper(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    keeper.kill()
    second = supervisor.next("keeper")
    daemon.kill()
    supervisor.await_log(f"daemon (pid {daemon.pid}) ended by SIGKILL")
    second.do("say", "STATUS=nearly")
    second.do("barrier")
    assert not supervisor.is_starting_one()
    second.ready()
    supervisor.next("daemon")


def test_daemon_that_cannot_start_ends_the_supervisor_with_its_status(supervised):
    supervisor = supervised()
    keeper = supervisor.next("keeper")
    keeper.ready()
    supervisor.next("daemon").exit(7)
    assert supervisor.await_end() == 7
    assert "daemon (pid" in supervisor.log
    assert "ended with status 7 before it was ready; not trying again" in supervisor.log
    await_gone(keeper.pid)


def test_keeper_that_cannot_start_ends_the_supervisor_with_its_status(supervised):
    supervisor = supervised()
    supervisor.next("keeper").exit(1)
    assert supervisor.await_end() == 1
    assert not supervisor.is_starting_one()


def test_program_that_does_not_exist_is_named(supervised):
    supervisor = supervised(keeper=["/nowhere/socketd"])
    assert supervisor.await_end() == 127
    assert "socketd: keeper: /nowhere/socketd: No such file or directory\n" in supervisor.log


def test_daemon_that_fails_later_is_tried_again(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    daemon.kill()
    supervisor.next("daemon").exit(3)
    supervisor.next("daemon").ready()


def test_daemon_that_the_system_refuses_is_tried_again(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    few, most = resource.prlimit(supervisor.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(supervisor.process.pid, resource.RLIMIT_NOFILE, (5, most))
    daemon.kill()
    supervisor.await_log("daemon cannot be started: Too many open files")
    resource.prlimit(supervisor.process.pid, resource.RLIMIT_NOFILE, (few, most))
    supervisor.next("daemon").ready()
    assert is_alive(keeper.pid)


def test_child_that_never_gets_ready_is_killed(supervised):
    supervisor = supervised(start_s=0.2, keeper=[shutil.which("sleep"), "60"])
    assert supervisor.await_end() == 128 + signal.SIGKILL
    await_gone(int(re.search(r"keeper \(pid (\d+)\) ended by SIGKILL before", supervisor.log)[1]))
    assert "not ready after 0.2 s; killing it" in supervisor.log


@pytest.mark.parametrize("name", ["keeper", "daemon"])
def test_child_that_stops_feeding_the_watchdog_is_killed_and_replaced(supervised, name):
    supervisor = supervised(watchdog_s=3.0)
    children = {}
    for each in ("keeper", "daemon"):
        children[each] = supervisor.next(each)
        children[each].do("feed")
        children[each].ready()
    silent = children.pop(name)
    (fed,) = children.values()
    assert silent.environ["WATCHDOG_USEC"] == "3000000"
    os.kill(silent.pid, signal.SIGSTOP)
    assert supervisor.next(name).pid != silent.pid
    assert f"{name} (pid {silent.pid}): no WATCHDOG=1 for 3 s; killing it" in supervisor.log
    assert is_alive(fed.pid)


def test_stop_ends_the_daemon_for_good_and_then_the_keeper(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    keeper.do("trap", "SIGTERM")
    daemon.do("trap", "SIGQUIT")
    supervisor.send(signal.SIGTERM)
    assert daemon.hear() == {"signal": "SIGQUIT"}
    assert "STOPPING=1" in supervisor.await_notification("STOPPING=1")
    keeper.do("barrier")  # still served, and not told to end
    daemon.exit()
    assert keeper.hear() == {"signal": "SIGTERM"}
    keeper.exit()
    assert supervisor.await_end() == 0
    assert not supervisor.is_starting_one()


def test_daemon_that_is_not_ready_is_ended_by_sigterm(supervised):
    supervisor = supervised()
    keeper = supervisor.next("keeper")
    keeper.ready()
    daemon = supervisor.next("daemon")
    daemon.do("trap", "SIGTERM")
    supervisor.send(signal.SIGINT)
    assert daemon.hear() == {"signal": "SIGTERM"}
    daemon.exit()
    assert supervisor.await_end() == 0


def test_what_does_not_end_in_time_is_killed(supervised):
    supervisor = supervised(stop_s=0.2)
    keeper, daemon = supervisor.both()
    left = daemon.do("fork")
    daemon.do("trap", "SIGQUIT")
    supervisor.send(signal.SIGTERM)
    assert supervisor.await_end() == 0
    for pid in (keeper.pid, daemon.pid, left):
        await_gone(pid)
    assert "has not ended in 0.2 s; killing it" in supervisor.log


def test_second_interrupt_does_not_wait(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    daemon.do("trap", "SIGQUIT")
    supervisor.send(signal.SIGINT)
    assert daemon.hear() == {"signal": "SIGQUIT"}
    supervisor.send(signal.SIGINT)
    assert supervisor.await_end() == 0
    daemon.await_end()


def test_replacement_ends_one_daemon_and_starts_the_next(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    for _ in range(3):  # without a growing pause: nothing has failed
        daemon.do("trap", "SIGTERM")
        supervisor.send(signal.SIGUSR1)
        assert daemon.hear() == {"signal": "SIGTERM"}
        assert not supervisor.is_starting_one()
        daemon.exit()
        daemon = supervisor.next("daemon")
        daemon.ready()
    assert is_alive(keeper.pid)
    assert "starting another" not in supervisor.log


def test_connections_made_while_there_is_no_daemon_are_answered_by_the_next(supervised):
    supervisor = supervised()
    _, daemon = supervisor.both()
    daemon.kill()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(supervisor.api_path)
        second = supervisor.next("daemon")
        assert second.do("given").keys() == {"api"}
        second.do("answer")
        assert client.recv(100) == str(second.pid).encode()


def test_children_of_a_killed_supervisor_end(supervised):
    supervisor = supervised()
    keeper, daemon = supervisor.both()
    keeper.do("trap", "SIGTERM")
    daemon.do("trap", "SIGQUIT")
    supervisor.process.kill()
    supervisor.process.wait()
    assert daemon.hear() == {"signal": "SIGQUIT"}
    assert keeper.hear() == {"signal": "SIGTERM"}


def test_watchdog_of_its_own_manager_is_fed(supervised):
    supervisor = supervised(environ={"WATCHDOG_USEC": "100000"})
    for _ in range(3):
        supervisor.await_notification("WATCHDOG=1")


def test_importing_the_supervisor_loads_no_server():
    program = "import socketd.__main__, socketd.runtime.supervising.run, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=child_environment({}), capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"flask", "gevent", "greenlet", "gunicorn", "marshmallow", "werkzeug"} == set()
