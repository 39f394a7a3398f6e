"""The API's own sockets: who may connect, what is replaced or refused, and that nothing is left behind."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from socketd.runtime import config
from socketd.runtime.endpoints import EndpointError, open_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from socketd.runtime.endpoints import Endpoints


@pytest.fixture
def opened(tmp_path) -> Iterator[Callable[..., Endpoints]]:
    """Open endpoints in the test's folder; they are closed at its end."""
    made = []

    def open_them(**flags: str) -> Endpoints:
        settings = config.load({"listen": str(tmp_path / "api.sock"), **flags}, {}).settings
        endpoints = open_endpoints(settings, [])
        made.append(endpoints)
        return endpoints

    yield open_them
    for endpoints in made:
        endpoints.close()


def connect(path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_socket_listens_with_the_mode_asked_for_and_leaves_nothing(opened, tmp_path):
    endpoints = opened(socket_mode="0640")
    path = tmp_path / "api.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert endpoints.urls == [f"unix://{path}"]
    assert not endpoints.has_tcp
    connect(path)
    endpoints.close()
    assert list(tmp_path.iterdir()) == []


def test_umask_is_as_it_was(opened):
    before = os.umask(0o022)
    os.umask(before)
    opened()
    after = os.umask(before)
    assert after == before


def test_group_that_does_not_exist_is_refused_and_nothing_is_left(opened, tmp_path):
    with pytest.raises(EndpointError, match="no group 'nobody-has-this'"):
        opened(socket_group="nobody-has-this")
    assert list(tmp_path.iterdir()) == []


def test_group_may_be_a_number(opened, tmp_path):
    opened(socket_group=str(os.getgid()))
    assert (tmp_path / "api.sock").stat().st_gid == os.getgid()


def test_stale_socket_is_replaced(opened, tmp_path):
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    with pytest.raises(ConnectionRefusedError):
        connect(path)
    opened()
    connect(path)


def test_second_daemon_is_refused_with_the_pid_of_the_first(opened, tmp_path):
    opened()
    with pytest.raises(EndpointError, match=rf"another daemon serves there \(pid {os.getpid()}\)"):
        opened()
    connect(tmp_path / "api.sock")


def test_socket_of_another_program_is_refused_with_its_pid(opened, tmp_path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "api.sock"))
        other.listen()
        with pytest.raises(EndpointError, match=rf"another program serves there \(pid {os.getpid()}\)"):
            opened()
        connect(tmp_path / "api.sock")


def test_file_that_is_no_socket_is_refused_and_kept(opened, tmp_path):
    (tmp_path / "api.sock").write_text("precious")
    with pytest.raises(EndpointError, match="no socket"):
        opened()
    assert (tmp_path / "api.sock").read_text() == "precious"


def test_link_in_place_of_the_socket_is_refused_and_its_target_kept(opened, tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "api.sock").symlink_to(tmp_path / "target")
    with pytest.raises(EndpointError, match="no socket"):
        opened()
    assert (tmp_path / "target").read_text() == "precious"


def test_link_in_place_of_the_lock_is_refused(opened, tmp_path):
    (tmp_path / "api.sock.lock").symlink_to(tmp_path / "target")
    with pytest.raises(EndpointError, match="symbolic links"):
        opened()


def test_lock_of_a_killed_daemon_is_taken_over(opened, tmp_path):
    (tmp_path / "api.sock.lock").write_text("999999\n")
    opened()
    assert (tmp_path / "api.sock.lock").read_text() == f"{os.getpid()}\n"


def test_folder_that_does_not_exist_is_an_error_that_names_it(opened, tmp_path):
    with pytest.raises(EndpointError, match=r"missing/api\.sock: No such file or directory"):
        opened(listen=str(tmp_path / "missing" / "api.sock"))


def test_default_folder_is_made_for_us_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    endpoints = open_endpoints(config.load({}, os.environ).settings, [])
    try:
        assert stat.S_IMODE((tmp_path / "socketd").stat().st_mode) == 0o700
        connect(tmp_path / "socketd" / "api.sock")
    finally:
        endpoints.close()


def test_default_folder_that_others_can_write_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    (tmp_path / "socketd").mkdir()
    (tmp_path / "socketd").chmod(0o777)
    with pytest.raises(EndpointError, match="only we can write"):
        open_endpoints(config.load({}, os.environ).settings, [])


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_tcp_listens_beside_the_unix_socket(opened, address):
    endpoints = opened(tcp=address)
    assert endpoints.has_tcp
    unix, tcp = endpoints.urls
    assert unix.startswith("unix://")
    assert tcp.startswith("http://" + address.removesuffix("0"))
    assert not tcp.endswith(":0")
    with socket.create_connection(endpoints.listeners[1].getsockname()[:2], 10):
        pass


@pytest.mark.parametrize("is_named", [True, False], ids=["port", "any port"])
def test_tcp_that_was_handed_over_is_not_opened_again(is_named):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = config.load({"tcp": f"127.0.0.1:{port if is_named else 0}"}, {}).settings
        endpoints = open_endpoints(settings, [listener])
        assert endpoints.urls == [f"http://127.0.0.1:{port}"]
        endpoints.close()


def test_tcp_is_opened_beside_another_that_was_handed_over():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoints = open_endpoints(config.load({"tcp": "[::1]:0"}, {}).settings, [listener])
        assert len(endpoints.urls) == 2
        endpoints.close()


def test_tcp_port_in_use_is_refused_and_nothing_is_left(opened, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(EndpointError, match=f"tcp {address}: Address already in use"):
            opened(tcp=address)
    assert list(tmp_path.iterdir()) == []


def test_child_process_removes_nothing(opened, tmp_path):
    endpoints = opened()
    endpoints.owner_pid = os.getpid() + 1
    endpoints.close()
    assert (tmp_path / "api.sock").exists()
