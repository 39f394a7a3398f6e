"""A link that joins has the sockets back under their numbers, or fails with a cure."""

from __future__ import annotations

import os
import socket

import gevent
import pytest

from socketd.core.entry import Note
from socketd.core.owner import Owner
from socketd.keeper.protocol import Batch, Missing, Mode, Ping, Record, Update
from socketd.runtime.keeping.adoption import AdoptionError
from socketd.runtime.keeping.line import LineError
from socketd.runtime.keeping.notes import decode, encode
from tests.held import FIRST
from tests.unit.runtime.hub import _hub
from tests.unit.runtime.scripted_keeper import LONG_S, couple, keeper

__all__ = ["_hub", "couple", "keeper"]  # fixtures


def test_sockets_are_had_back_under_their_numbers(couple):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, two)]
        couple.join(
            Record(FIRST + 9, encode(Note(Owner(7), 1.0, "web"))),
            Record(FIRST + 2, encode(Note(Owner(8), 2.0))),
            fds=(one.fileno(), two.fileno()),
            last_number=FIRST + 20,
        )
    web, other = couple.service.table.find("web"), couple.service.table.find(FIRST + 2)
    assert (web.fd, web.owner, web.kept) == (FIRST + 9, Owner(7), "keeper")
    assert [web.inode, other.inode] == inodes
    assert couple.created().fd == FIRST + 21  # above whatever was given before


def test_socket_whose_bytes_died_with_the_daemon_is_shut_down_once_and_held(couple, caplog):
    end, peer = socket.socketpair()
    with end, peer:
        couple.join(Record(FIRST, encode(Note(Owner(7), 1.0, forwarded=True))), fds=(end.fileno(),))
        assert peer.recv(1) == b""
    entry = couple.service.table.find(FIRST)
    assert not entry.forwarded
    changed = couple.keeper.do(Update)
    assert [decode(record.note).forwarded for record in changed.records] == [False]
    assert f"1 sockets ({FIRST}) are shut down" in caplog.text


def test_number_that_is_not_to_be_had_fails_with_a_cure(couple):
    joining = gevent.spawn(couple.link.join, couple.service.table, couple.service.table.numbers, 0.0)
    couple.keeper.welcome(Mode.FETCH)
    with socket.socket() as one:
        couple.keeper.say(Batch((Record(1 << 30, encode(Note(Owner(0), 1.0))),), is_last=True), one.fileno())
    with pytest.raises(AdoptionError, match=r"RLIMIT_NOFILE must be above .* Nothing is lost"):
        joining.get(timeout=LONG_S)


def test_keeper_that_speaks_nonsense_is_left(couple):
    joining = gevent.spawn(couple.link.join, couple.service.table, couple.service.table.numbers, 0.0)
    couple.keeper.welcome(Mode.FETCH)
    couple.keeper.say(Missing((), is_last=True))
    with pytest.raises(LineError, match="instead of what it holds"):
        joining.get(timeout=LONG_S)


def test_unreadable_ones_stay_with_the_keeper_over_every_break(couple):
    with socket.socket() as newer:
        inode = os.fstat(newer.fileno()).st_ino
        couple.join(Record(FIRST, b'{"v":2}'), fds=(newer.fileno(),))
    assert len(couple.service.table) == 0
    entry = couple.created()
    assert entry.fd != FIRST
    assert couple.resume().identities == ((entry.fd, entry.inode), (FIRST, inode))
    couple.keeper.do(Ping)
    assert couple.resume().identities == ((entry.fd, entry.inode), (FIRST, inode))
