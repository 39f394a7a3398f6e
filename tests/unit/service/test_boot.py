"""``persist: boot``: saved or not made at all, made again by its owner, and ended with its socket."""

from __future__ import annotations

import socket

import pytest

from socketd.core.owner import Owner
from socketd.core.saving import Saved
from socketd.errors import InvalidRequestError, NotSavedError
from socketd.service.promises import LAST_RETRY_S
from tests.held import ANN, Held, where
from tests.ports import free_port
from tests.unit.service.reboots import create, declared, ensure, held, hosts, listening, named, reboot, taken

__all__ = ["held", "hosts"]  # fixtures


def test_what_is_promised_is_on_the_disk_when_the_call_returns(hosts, held):
    entry = create(held, "web", listening())
    assert entry.persist == "boot"
    assert hosts.shelf.saved == {"web": Saved("web", Owner(ANN), {"bind": "127.0.0.1:0", "listen": True})}
    assert hosts.keeper.copies[entry.fd].note.persist == "boot"


def test_it_is_made_again_with_owner_name_address_and_options(hosts, held):
    port = free_port()
    wanted = declared(bind=f"127.0.0.1:{port}", listen={"backlog": 7}, options={"SO_KEEPALIVE": True})
    create(held, "web", wanted)
    entry = reboot(hosts, held).table.find("web")
    assert (entry.owner, entry.name, entry.persist) == (Owner(ANN), "web", "boot")
    assert where(entry) == f"127.0.0.1:{port}"
    assert entry.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert entry.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_what_cannot_be_saved_is_not_made(hosts, held):
    hosts.shelf.failing.add("save")
    port = free_port()
    with pytest.raises(NotSavedError):
        create(held, "web", listening(port))
    with pytest.raises(NotSavedError):
        ensure(held, "web", listening(port))
    assert (len(held.table), hosts.keeper.copies) == (0, {})
    with taken(port):
        pass
    hosts.shelf.failing.clear()
    create(held, "web", listening(port))


def test_one_that_existed_stays_when_it_cannot_be_saved(hosts, held):
    entry, _ = ensure(held, "web", listening(persist=None))
    hosts.shelf.failing.add("save")
    with pytest.raises(NotSavedError):
        ensure(held, "web", listening())
    assert not entry.closed
    assert entry.persist is None


def test_without_a_place_to_save_it_is_refused_and_all_else_works():
    held = Held()
    try:
        with pytest.raises(NotSavedError):
            create(held, "web", listening())
        entry, is_new = ensure(held, "web", listening(persist=False))
        assert is_new
        held.service.sockets.close(held.call(ANN), "web", shut_duplicates=False)
        assert entry.closed
        assert held.service.boot.remake() == LAST_RETRY_S
    finally:
        held.service.close()


def test_a_connection_cannot_be_promised(hosts, held):
    for make in (create, ensure):
        with pytest.raises(InvalidRequestError) as caught:
            make(held, "web", declared(connect="127.0.0.1:1"))
        assert caught.value.member == "connect"
    assert not hosts.shelf.saved


def test_closing_ends_the_promise(hosts, held):
    create(held, "web", listening())
    held.service.sockets.close(held.call(ANN), "web", shut_duplicates=False)
    assert not hosts.shelf.saved
    assert len(reboot(hosts, held).table) == 0


def test_releasing_ends_the_promise(hosts, held):
    entries = [create(held, name, listening()) for name in ("a", "b")]
    plain, _ = ensure(held, "c", listening(persist=None))
    held.service.passing.release(held.call(), [*entries, plain])
    assert not hosts.shelf.saved
    assert len(held.table) == 0


@pytest.mark.parametrize("how", ["close", "release", "delete", "unpromise"])
def test_a_promise_that_cannot_be_taken_back_is_kept_with_its_socket(hosts, held, how):
    entry = create(held, "web", listening())
    hosts.shelf.failing.add("remove")
    call = held.call(ANN)
    attempt = {
        "close": lambda: held.service.sockets.close(call, "web", shut_duplicates=True),
        "release": lambda: held.service.passing.release(held.call(), [entry]),
        "delete": lambda: held.service.names.delete(call, "web"),
        "unpromise": lambda: ensure(held, "web", listening(persist=False)),
    }[how]
    with pytest.raises(NotSavedError):
        attempt()
    assert (entry.closed, entry.persist) == (False, "boot")
    assert named(held, "web").persist == "boot"
    hosts.shelf.failing.clear()
    attempt()
    assert not hosts.shelf.saved


def test_the_end_of_the_daemon_keeps_the_promises(hosts, held):
    create(held, "web", listening())
    held.service.close()
    assert set(hosts.shelf.saved) == {"web"}
    held.service.boot.remake()
    assert len(held.table) == 0
