"""Promised sockets that a keeper gave back are not made again, and are what the disk says."""

from __future__ import annotations

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from tests.held import ANN, where
from tests.unit.service.reboots import create, declared, ensure, held, hosts, listening, named, restarted

__all__ = ["held", "hosts"]  # fixtures


def test_what_the_keeper_gave_back_is_not_made_again(hosts, held):
    entry = create(held, "web", listening())
    cookie = entry.cookie
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").cookie == cookie
    assert len(new.table) == 1


def test_a_held_socket_whose_file_is_gone_is_no_longer_promised(hosts, held):
    create(held, "web", listening())
    hosts.shelf.saved.clear()
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").persist is None
    new.service.close()


def test_a_held_socket_whose_file_is_there_is_promised(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    hosts.shelf.saved = {"web": Saved("web", Owner(ANN), {"bind": where(entry), "listen": True})}
    new = restarted(hosts, held)
    new.service.boot.remake()
    assert new.table.find("web").persist == "boot"
    assert named(new, "web").entry is new.table.find("web")


def test_a_request_repeated_after_the_daemon_died_before_it_saved_is_saved(hosts, held):
    entry = create(held, "web", listening(), key="k")
    cookie, document = entry.cookie, hosts.shelf.saved["web"].document
    hosts.shelf.saved.clear()
    new = restarted(hosts, held)
    new.service.boot.remake()
    again = create(new, "web", declared(**document), key="k")
    assert (again.cookie, again.persist) == (cookie, "boot")
    assert set(hosts.shelf.saved) == {"web"}
