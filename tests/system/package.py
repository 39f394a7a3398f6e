"""The Debian package for tests: built once a session, and installed into a machine of its own."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.systemd_container import PYTHON, Container

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
API = "/run/socketd/api.sock"
SERVICES = ("socketd.socket", "socketd-keeper.service", "socketd.service")
BUILD_S = 600.0  # takes 40 s; pip downloads what it has not got yet
# Larger and built in half the time; dpkg's own default is xz.
QUICKLY = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
INSTALL = ("dpkg", "--force-unsafe-io", "--no-triggers", "--install")  # man-db's trigger takes seconds


def run(*command: str | Path, timeout_s: float = BUILD_S, **environ: str) -> str:
    """Run a command of the host, and return what it wrote; fail with that when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def once(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Have ``make`` fill a folder, in the first process of pytest-xdist that asks; the others wait for it."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent  # each worker has a folder of its own in that one
    whole = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            partial = folder / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(whole)
    return whole


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Download everything that an installation needs: a machine has no network."""

    def download(folder: Path) -> None:
        environment = folder / "environment"
        run(PYTHON, "-m", "venv", environment)
        lists = (f"--requirement={ROOT}/requirements/{name}.txt" for name in ("daemon", "build"))
        run(
            environment / "bin/python",
            "-m",
            "pip",
            "download",
            "--only-binary=:all:",
            f"--dest={folder}",
            *lists,
        )
        shutil.rmtree(environment)

    return once(tmp_path_factory.getbasetemp(), "wheels", download)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """Build the package."""
    if shutil.which("dpkg-deb") is None:
        if os.environ.get("SOCKETD_REQUIRE_TOOLS"):
            pytest.fail("dpkg-deb is not installed", pytrace=False)
        pytest.skip("dpkg-deb is not installed")

    def build(folder: Path) -> None:
        run(ROOT / "packaging/deb.sh", folder, PYTHON=PYTHON, **only_from(wheels), **QUICKLY)

    [built] = once(tmp_path_factory.getbasetemp(), "package", build).glob("*.deb")
    return built


def only_from(wheels: str | Path) -> dict[str, str]:
    """Return the variables that have pip take wheels from a folder, and from nowhere else."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def newer(package: Path, folder: Path, version: str = "99.0-1") -> Path:
    """Return the same package under a higher version."""
    unpacked = folder / "unpacked"
    run("dpkg-deb", "--raw-extract", package, unpacked)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    result = folder / f"socketd_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "--build", unpacked, result, **QUICKLY)
    shutil.rmtree(unpacked)
    return result


def install(container: Container, package: Path) -> str:
    """Install or upgrade inside; return what dpkg and the package's scripts said."""
    container.put(package, "/tmp/socketd.deb")
    return container.exec([*INSTALL, "/tmp/socketd.deb"]).stdout


@pytest.fixture(scope="module")
def installed(container: Container, package: Path) -> Container:
    """Boot a machine for the module's tests where the package is installed and runs."""
    install(container, package)
    return container
