"""Programs get through under the names that they use for the daemon, and the setting ``hosts`` adds some."""

from __future__ import annotations

import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests
import urllib3

from tests.daemon_process import running_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon_process import DaemonProcess

TCP = ("--tcp", "127.0.0.1:0", "--token", "sesame", "--banner")
TOKEN = {"Authorization": "Bearer sesame"}
OK, MALFORMED, FOREIGN = "200", "400", "421"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with running_daemon(tmp_path_factory.mktemp("daemon"), *TCP) as daemon:
        yield daemon


def port(daemon: DaemonProcess) -> str:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", daemon.log)
    assert found, daemon.log
    return found[1]


def curl(*arguments: str) -> str:
    """Run curl; return the status of the answer."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer sesame"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["http://localhost/v1/"], OK),
        (["http://x/v1/"], OK),
        (["http://docker/v1/"], OK),
        (["http://api.moby.localhost/v1/"], OK),
        (["http://127.0.0.1:8080/v1/"], OK),
        (["http://[::1]/v1/"], OK),
        (["--http1.0", "http://localhost/v1/"], OK),
        (["--http1.0", "-H", "Host:", "http://localhost/v1/"], OK),
        (["-H", "Host;", "http://localhost/v1/"], OK),
        (["-H", "Host: %2Frun%2Fsocketd%2Fapi.sock", "http://localhost/v1/"], OK),
        (["-H", "Host:", "http://localhost/v1/"], MALFORMED),
        (["http://example.org/v1/"], FOREIGN),
        (["-H", "Host: example.org", "http://localhost/v1/"], FOREIGN),
        (["--request-target", "http://example.org/v1/", "http://localhost/"], MALFORMED),
    ],
)
def test_curl_over_the_unix_socket(both, arguments, status):
    assert curl("--unix-socket", both.socket_path, *arguments) == status


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["http://127.0.0.1:{port}/v1/"], OK),
        (["http://localhost:{port}/v1/"], OK),
        (["--resolve", "example.org:{port}:127.0.0.1", "http://example.org:{port}/v1/"], FOREIGN),
        (["--connect-to", "x:80:127.0.0.1:{port}", "http://x/v1/"], FOREIGN),
        (["--proxy", "http://127.0.0.1:{port}", "http://example.org/v1/"], FOREIGN),
        (["--proxy", "http://127.0.0.1:{port}", "--proxytunnel", "http://localhost/v1/"], None),
    ],
)
def test_curl_over_tcp(both, arguments, status):
    words = [word.format(port=port(both)) for word in arguments]
    if status is None:
        with pytest.raises(subprocess.CalledProcessError):  # the daemon is no proxy
            curl(*words)
    else:
        assert curl("--noproxy", "" if "--proxy" in words else "*", *words) == status


def test_requests_and_urllib3_over_tcp(both):
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{port(both)}/v1/"
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(url, headers=TOKEN, timeout=60).status_code == 200
            assert session.get(url, headers={**TOKEN, "Host": "evil.example"}, timeout=60).status_code == 421
        with urllib3.PoolManager() as pool:
            assert pool.request("GET", url, headers=TOKEN).status == 200


@pytest.mark.needs("curl")
def test_names_of_the_setting_are_taken_and_a_reload_changes_them(fresh_daemon, tmp_path):
    file = tmp_path / "socketd.toml"
    file.write_text('hosts = "Sockets.Example, other.example"\n')
    daemon = fresh_daemon(*TCP, "--config", str(file))

    def status(host: str) -> str:
        return curl("-H", f"Host: {host}", f"http://127.0.0.1:{port(daemon)}/v1/")

    assert [status(host) for host in ("sockets.example", "OTHER.example.:1", "example")] == [OK, OK, FOREIGN]
    file.write_text('hosts = ["other.example"]\n')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_notification("RELOADING=1")
    daemon.await_notification("READY=1")
    assert "reloaded: hosts changed" in daemon.log
    assert [status(host) for host in ("sockets.example", "other.example")] == [FOREIGN, OK]
