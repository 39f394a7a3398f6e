from __future__ import annotations

import os
from pathlib import Path

import pytest

from socketd_client import Client
from socketd_client.endpoint import Endpoint
from socketd_client.unix_url import default_url, unix_url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "socketd",
        "/run/socketd/api.sock",
        "ftp://host/",
        "http://",
        "unix://run/socketd/api.sock",
        "unix:relative",
        "unix:",
        "unix:///a%00b",
        "http://host/?token=secret",
        "http://user:secret@host/",
        "http://host/#top",
        "http://[::1/",
    ],
)
def test_bad_url_is_a_value_error(url: str):
    with pytest.raises(ValueError, match=r".+"):
        Client(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("unix:///run/socketd/api.sock", "/run/socketd/api.sock"),
        ("unix:/run/api.sock", "/run/api.sock"),
        ("unix:///with space", "/with space"),
        ("unix:///with%20space", "/with space"),
        ("unix:///100%25", "/100%"),
        ("unix:///ask?why#now", "/ask?why#now"),
        ("unix:///größe", "/größe"),
        ("unix:///gr%C3%B6%C3%9Fe", "/größe"),
        ("unix:///%ff", os.fsdecode(b"/\xff")),
    ],
)
def test_path_of_a_unix_url(url: str, path: str):
    assert Endpoint.parse(url).socket_path == path


@pytest.mark.parametrize("path", ["/a b", "/100%", "/%41", "/?#", "/größe"])
def test_unix_url_is_read_back(path: str):
    assert Endpoint.parse(unix_url(path)).socket_path == path


@pytest.mark.parametrize(
    ("url", "base", "is_loopback"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("http://localhost:1/", "http://localhost:1", True),
        ("http://[::1]:80", "http://[::1]:80", True),
        ("https://example.org/sub/", "https://example.org/sub", False),
    ],
)
def test_base_of_an_http_url(url: str, base: str, is_loopback: bool):  # noqa: FBT001 - a test's parameter
    endpoint = Endpoint.parse(url)
    assert (endpoint.base, endpoint.socket_path, endpoint.is_loopback) == (base, None, is_loopback)


def test_default_is_the_systems_socket_when_the_user_has_none(tmp_path: Path):
    own = Path(f"/tmp/socketd-{os.geteuid()}/api.sock")
    expected = unix_url(str(own)) if own.exists() else "unix:///run/socketd/api.sock"
    assert default_url({"XDG_RUNTIME_DIR": str(tmp_path)}) == expected


def test_default_is_the_users_socket_when_it_is_there(tmp_path: Path):
    directory = tmp_path / "socketd"
    directory.mkdir(mode=0o700)
    (directory / "api.sock").touch()
    assert default_url({"XDG_RUNTIME_DIR": str(tmp_path)}) == f"unix://{directory}/api.sock"


def test_default_in_a_directory_that_others_may_write_is_not_trusted(tmp_path: Path):
    directory = tmp_path / "socketd"
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "api.sock").touch()
    assert str(directory) not in default_url({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_default_behind_a_symbolic_link_is_not_trusted(tmp_path: Path):
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (real / "api.sock").touch()
    (tmp_path / "socketd").symlink_to(real)
    assert str(tmp_path) not in default_url({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_from_env_reads_the_url():
    with Client.from_env({"SOCKETD_URL": "unix:///nowhere/api.sock"}) as client:
        assert client.url == "unix:///nowhere/api.sock"
        assert repr(client) == "Client('unix:///nowhere/api.sock')"


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_client_without_time_is_a_value_error(timeout_s: float):
    with pytest.raises(ValueError, match="timeout_s"):
        Client("unix:///nowhere/api.sock", timeout_s=timeout_s)


def test_from_env_takes_an_empty_url_for_none(tmp_path: Path):
    environ = {"SOCKETD_URL": "", "XDG_RUNTIME_DIR": str(tmp_path)}
    with Client.from_env(environ) as client:
        assert client.url == default_url(environ)
