"""The audit: a line a change, in a thread; what is lost is counted and said, and the loop never waits."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from gevent.hub import get_hub

from socketd.runtime.audit import OFF, Audit, AuditError, Auditing, Target
from socketd.runtime.config import ConfigError, load
from tests.held import ANN, LOOPBACK, Held, specification
from tests.system.place import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


ADDED = 20_000


@pytest.fixture(scope="module", autouse=True)
def _hub() -> Iterator[None]:
    """Open the loop's own descriptors before the leak gate looks."""
    hub = get_hub()
    warm = Audit(Target(os.devnull))
    warm.close()
    yield
    hub.destroy(destroy_loop=True)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.service.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def record(held: Held) -> Any:
    journal = held.service.journal
    held.tcp()
    return journal.read(journal.last - 1, 1)[0]


def test_a_change_is_a_flat_line(held: Held, tmp_path: Path):
    auditing = Auditing(held.service.journal, str(tmp_path / "audit"))
    listener = held.make(specification(bind=LOOPBACK, backlog=1), uid=ANN, name="web")
    auditing.close()
    created, bound, listening = lines(tmp_path / "audit")
    assert [created["event"], bound["event"], listening["event"]] == ["created", "bound", "listening"]
    port = listener.sock.getsockname()[1]
    assert listening == {
        "time": listening["time"],
        "sequence": held.service.journal.last,
        "event": "listening",
        "change": "listening",
        "result": "ok",
        "via": "unix",
        "uid": ANN,
        "fd": listener.fd,
        "inode": listener.inode,
        "cookie": listener.cookie,
        "name": "web",
        "family": "inet",
        "type": "stream",
        "protocol": "tcp",
        "owner": f"uid:{ANN}",
        "local": f"127.0.0.1:{port}",
    }


def test_what_finds_no_room_is_counted_and_said(held: Held, tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    audit = Audit(Target(str(fifo)), most=4)
    one = record(held)
    for _ in range(ADDED):  # nobody reads: the pipe gets full, then the queue
        audit.add(one)
    assert audit.lost > 0
    os.set_blocking(reader, True)
    with ThreadPoolExecutor(1) as pool, os.fdopen(reader, "rb") as pipe:
        text = pool.submit(pipe.read)
        audit.close()
        read = [json.loads(line) for line in text.result(30).splitlines()]
    lost = [each["lines"] for each in read if each["event"] == "lost"]
    assert sum(lost) == audit.lost
    assert len(read) - len(lost) + sum(lost) == ADDED


def test_a_full_disk_loses_lines_and_says_so_when_it_has_room(held: Held, tmp_path: Path, capfd):
    path = tmp_path / "audit"
    auditing = Auditing(held.service.journal, "/dev/full")
    held.pair()
    auditing.reload(replace(load({}, {}).settings, audit=str(path)))()
    held.tcp()
    auditing.close()
    lost, created = lines(path)
    assert (lost["event"], lost["lines"]) == ("lost", 2)
    assert created["event"] == "created"
    assert "No space left on device" in capfd.readouterr().err


def test_a_renamed_file_is_left_behind_by_a_reload(held: Held, tmp_path: Path):
    path = tmp_path / "audit"
    auditing = Auditing(held.service.journal, str(path))
    held.tcp()
    await_true(lambda: bool(path.read_text()), lambda: "nothing was written")
    path.rename(tmp_path / "audit.1")
    auditing.reload(replace(load({}, {}).settings, audit=str(path)))()
    held.tcp()
    auditing.close()
    assert len(lines(tmp_path / "audit.1")) == len(lines(path)) == 1


def test_it_can_be_turned_on_and_off(held: Held, tmp_path: Path):
    settings = load({}, {}).settings
    auditing = Auditing(held.service.journal, OFF)
    assert auditing.lost is None
    auditing.reload(replace(settings, audit=str(tmp_path / "audit")))()
    held.tcp()
    assert auditing.lost == 0
    auditing.reload(replace(settings, audit=OFF))()
    held.tcp()
    assert len(lines(tmp_path / "audit")) == 1


def test_what_cannot_be_opened_refuses_the_start_and_the_reload(held: Held, tmp_path: Path):
    for where in (str(tmp_path), str(tmp_path / "not" / "there")):
        with pytest.raises(AuditError, match="audit"):
            Auditing(held.service.journal, where)
        with pytest.raises(ConfigError, match="audit"):
            Auditing(held.service.journal, OFF).reload(replace(load({}, {}).settings, audit=where))


def test_a_fifo_that_nobody_reads_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(AuditError):
        Target(str(tmp_path / "fifo"))


def test_a_record_that_cannot_be_written_costs_one_line(held: Held, tmp_path: Path, capfd):
    audit = Audit(Target(str(tmp_path / "audit")))
    good = record(held)
    audit.add((*good[:2], "created", object(), *good[4:]))
    audit.add(good)
    audit.close()
    assert [each["event"] for each in lines(tmp_path / "audit")] == ["lost", "created"]
    assert audit.lost == 1
    assert "cannot be written" in capfd.readouterr().err
