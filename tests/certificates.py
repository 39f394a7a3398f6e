"""Certificates made on the spot by the ``openssl`` program: authorities, servers, clients, and bad ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
CONFIGURATION = """\
[ca]
default_ca = one
[one]
dir = {folder}
database = {folder}/index
serial = {folder}/serial
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 1
policy = anything
unique_subject = no
[anything]
commonName = optional
organizationName = optional
[server]
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
extendedKeyUsage = serverAuth
[client]
extendedKeyUsage = clientAuth
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, by the paths of their files."""

    certificate: str
    key: str


class Authority:
    """One that signs.

    Args:
        folder: Where its files go; made here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._config = folder / "openssl.cnf"
        self._config.write_text(CONFIGURATION.format(folder=folder))
        (folder / "index").touch()
        for counter in ("serial", "crlnumber"):
            (folder / counter).write_text("01\n")
        self.certificate = str(folder / "ca.pem")
        key = str(folder / "ca.key")
        openssl("req", "-x509", *KEY, "-keyout", key, "-out", self.certificate, "-subj", f"/CN={folder.name}")

    def issue(self, name: str, use: str, *, subject: str | None = None, is_expired: bool = False) -> Pair:
        """Sign a certificate for ``use`` (server, client)."""
        pair = Pair(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        request = str(self._folder / f"{name}.csr")
        subject = f"/CN={name}" if subject is None else subject
        openssl("req", *KEY, "-keyout", pair.key, "-out", request, "-subj", subject)
        times = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
        if not is_expired:
            times = ("-days", "1")
        self._ca("-in", request, "-out", pair.certificate, "-extensions", use, *times)
        return pair

    def revoke(self, pair: Pair) -> str:
        """Take a certificate back; return the path of a file with the authority and its revocations."""
        self._ca("-revoke", pair.certificate)
        revocations = self._folder / "crl.pem"
        self._ca("-gencrl", "-out", str(revocations))
        both = self._folder / "ca-and-crl.pem"
        both.write_text((self._folder / "ca.pem").read_text() + revocations.read_text())
        return str(both)

    def _ca(self, *arguments: str) -> None:
        openssl("ca", "-batch", "-notext", "-config", str(self._config), *arguments)


def openssl(*arguments: str) -> None:
    """Run it; what it says is in the failure."""
    done = subprocess.run(
        ["openssl", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
