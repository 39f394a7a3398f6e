"""Clients that were written for ``socket.socket``, unmodified, on sockets that the daemon holds."""

from __future__ import annotations

import ftplib
import http.client
import io
import os
import smtplib
import socket
import urllib.request
import warnings
from email.message import EmailMessage
from email.parser import BytesParser
from typing import TYPE_CHECKING

import pytest
import requests

from socketd_client import Client, installed
from tests.ports import free_port
from tests.soak import IS_SOAK
from tests.system import servers
from tests.system.lossy import LossyRelay
from tests.system.unmodified import BOUND_S, MEGABYTES, holding

if TYPE_CHECKING:
    from tests.daemon_process import DaemonProcess

__all__ = ["holding"]  # a fixture


@pytest.mark.needs("nginx")
class TestWeb:
    def test_http_client_keeps_a_connection_to_nginx(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
            for number in range(3):
                connection.request("GET", "/said", headers={"X-Said": str(number)})
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, f"GET  {number}".encode())
            assert holding.count() == 1
            connection.close()

    def test_http_client_reads_megabytes(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            (tmp_path / "root" / "file").write_bytes(MEGABYTES)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
            connection.request("GET", "/file")
            assert connection.getresponse().read() == MEGABYTES
            connection.close()

    def test_requests_gets_and_posts(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding(), requests.Session() as session:
            (tmp_path / "root" / "file").write_bytes(MEGABYTES)
            url = f"http://127.0.0.1:{port}"
            assert session.get(f"{url}/file", timeout=BOUND_S).content == MEGABYTES
            said = session.post(f"{url}/said", data=MEGABYTES, timeout=BOUND_S)
            assert said.text == f"POST {len(MEGABYTES)} "
            assert holding.count() == 1
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://127.0.0.1:{free_port()}", timeout=BOUND_S)

    def test_urllib_reads_a_page(self, holding, tmp_path):
        with servers.nginx(tmp_path) as port, holding():
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/said", timeout=BOUND_S).read() == b"GET  "


def test_smtplib_delivers_mail(holding, tmp_path):
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "ann@example.org", "bob@example.org", "held"
    letter.set_content("a line\n.\nand one dot\n" * 500)
    with servers.smtpd(tmp_path) as port, holding():
        with smtplib.SMTP("127.0.0.1", port, timeout=BOUND_S) as smtp:
            smtp.ehlo()
            assert smtp.send_message(letter) == {}
            assert holding.count() == 1
        (delivered,) = (tmp_path / "mail" / "new").iterdir()
        came = BytesParser().parsebytes(delivered.read_bytes())
        assert came["Subject"] == "held"
        assert came.get_payload().replace("\r\n", "\n") == letter.get_content()


@pytest.mark.needs("vsftpd")
@pytest.mark.parametrize("is_passive", [True, False], ids=["passive", "active"])
def test_ftplib_transfers_both_ways(holding, tmp_path, is_passive):
    with servers.ftpd(tmp_path) as port, holding(), ftplib.FTP(timeout=BOUND_S) as ftp:
        ftp.connect("127.0.0.1", port)
        ftp.login()
        ftp.cwd("in")
        ftp.set_pasv(is_passive)
        ftp.storbinary("STOR there", io.BytesIO(MEGABYTES))
        back = io.BytesIO()
        ftp.retrbinary("RETR there", back.write)
        assert back.getvalue() == MEGABYTES
        lines: list[str] = []
        ftp.retrlines("LIST", lines.append)
        assert [line.split()[-1] for line in lines] == ["there"]
        assert (tmp_path / "files" / "in" / "there").read_bytes() == MEGABYTES


@pytest.mark.needs("socat", "telnetd")
@pytest.mark.skipif(os.getuid() != 0, reason="telnetd opens a terminal for a login")
def test_telnetlib_talks_to_telnetd(holding, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        telnetlib = pytest.importorskip("telnetlib", reason="it left the standard library with Python 3.13")
    with (
        servers.telnetd(tmp_path) as port,
        holding(),
        telnetlib.Telnet("127.0.0.1", port, BOUND_S) as session,
    ):
        assert session.read_until(b"who? ", BOUND_S).endswith(b"who? ")
        session.write(b"held\r\n")
        assert session.read_until(b"hello held", BOUND_S).endswith(b"hello held")
        session.write(b"end\r\n")
        session.read_all()


@pytest.mark.needs("in.tftpd")
@pytest.mark.skipif(os.getuid() != 0, reason="in.tftpd starts as root and drops its rights itself")
@pytest.mark.parametrize("seed", range(1, 6) if IS_SOAK else [1])
def test_tftp_both_ways_over_a_network_that_loses(holding, tmp_path_factory, seed):
    import tftpy  # noqa: PLC0415 - it is imported where sockets are held already

    folder = tmp_path_factory.mktemp("tftp")
    content = MEGABYTES[: 16 * 512 + 17]
    (folder / "there").write_bytes(content)
    (folder / "there").chmod(0o644)
    with (
        servers.tftpd(folder) as port,
        LossyRelay(("127.0.0.1", port), loss=0.1, seed=seed) as network,
        holding(),
    ):
        tftp = tftpy.TftpClient(*network.address)
        tftp.download("there", str(folder / "back"), timeout=1, retries=20)
        assert (folder / "back").read_bytes() == content
        tftp.upload("up", str(folder / "back"), timeout=1, retries=20)
        assert (folder / "up").read_bytes() == content
        assert network.lost > 0


def test_what_was_installed_is_gone_afterwards(daemon: DaemonProcess) -> None:
    before = {name: getattr(socket, name) for name in ("socket", "create_connection", "getaddrinfo")}
    with Client(daemon.url) as client, installed(client):
        assert socket.socket is not before["socket"]
    assert {name: getattr(socket, name) for name in before} == before
