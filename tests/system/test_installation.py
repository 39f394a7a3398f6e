"""``make install`` on a real system: it serves from where it was put; ``make uninstall`` leaves nothing."""

from __future__ import annotations

import shutil

import pytest

from tests.system.package import API, ROOT, SERVICES, only_from

pytestmark = [pytest.mark.needs("make"), pytest.mark.timeout(900)]

CHECKOUT = "/srv/checkout"
WHEELS = "/srv/wheels"
PARTS = (
    "Makefile",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "client",
    "daemon",
    "docs",
    "packaging",
    "requirements",
)
# What making a user changes, and what stays in an installation that was used.
KNOWN = {"/etc/.pwd.lock", *(f"/etc/{name}-" for name in ("group", "gshadow", "passwd", "shadow"))}


@pytest.fixture(scope="module")
def checkout(container, wheels, tmp_path_factory):
    """Put the project's files into the machine, as a clone would have them."""
    clone = tmp_path_factory.mktemp("clone")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in (*PARTS, "systemd"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, clone / part, ignore=unwanted)
        else:
            shutil.copy(ROOT / part, clone / part)
    container.put(clone, CHECKOUT)
    container.put(wheels, WHEELS)
    return container


def make(container, target, **places):
    words = [f"{name}={value}" for name, value in places.items()]
    command = ["make", "--no-print-directory", f"--directory={CHECKOUT}", target, *words]
    return container.exec(command, environ=only_from(WHEELS), timeout=600).stdout


def files(container):
    """Return what is in the places where software is installed, but for what Python caches of its own."""
    folders = ("/etc", "/usr", "/opt", "/run/systemd/system", "/srv", "/var/lib")
    pattern = ("-name", "__pycache__", "-prune", "-o", "-print")
    return set(container.exec(["find", *folders, "-xdev", *pattern]).stdout.splitlines())


def test_install_serves_and_uninstall_leaves_nothing(checkout):
    before = files(checkout)
    said = make(checkout, "install")
    opening, _, command = said.partition(": ")
    assert opening == "Installed. To start it, now and at each boot"
    assert {checkout.show(unit, "ActiveState") for unit in SERVICES} == {"inactive"}  # it starts nothing
    checkout.exec(command.split())
    assert {checkout.show(unit, "ActiveState") for unit in SERVICES} == {"active"}
    assert checkout.show("socketd.service", "ExecStart").count("/usr/local/bin/socketd") == 2
    checkout.exec(["curl", "--fail", "--silent", "--unix-socket", API, "http://localhost/healthz"])
    checkout.exec(["socketctl", "create", "--listen", "127.0.0.1:80"])
    assert checkout.path("/usr/local/share/man/man1/socketctl.1").exists()
    assert checkout.exec(["systemd-analyze", "verify", *SERVICES]).stderr == ""

    assert make(checkout, "uninstall") == "Left as it is: /var/lib/socketd\n"
    assert {checkout.show(unit, "ActiveState") for unit in SERVICES} == {"inactive"}
    assert {checkout.show(unit, "LoadState") for unit in SERVICES} == {"not-found"}
    checkout.exec(["rm", "--recursive", "/var/lib/socketd"])
    assert files(checkout) - before - KNOWN == set()
    assert make(checkout, "uninstall") == ""  # harmless


def test_install_keeps_a_configuration_and_uninstall_one_that_was_changed(checkout):
    changed = checkout.path("/etc/socketd/socketd.toml")
    changed.parent.mkdir()
    changed.write_text("max_waits = 7\n")
    make(checkout, "install")
    assert changed.read_text() == "max_waits = 7\n"
    make(checkout, "install")  # over the one that is there
    assert checkout.exec(["socketd", "config"]).stdout.count("= 7 ")
    assert "/etc/socketd\n" in make(checkout, "uninstall")
    assert changed.read_text() == "max_waits = 7\n"
    checkout.exec(["rm", "--recursive", "/etc/socketd"])


def test_everything_goes_below_destdir(checkout):
    before = files(checkout)
    make(checkout, "install", DESTDIR="/tmp/stage", PREFIX="/opt/socketd", SYSCONFDIR="/opt/socketd/etc")
    assert files(checkout) - before - KNOWN == set()
    assert checkout.exec(["ls", "/tmp/stage"]).stdout == "opt\n"
    assert checkout.exec(["ls", "/tmp/stage/opt"]).stdout == "socketd\n"
    command = checkout.path("/tmp/stage/opt/socketd/lib/socketd/bin/socketd").read_text()
    assert command.startswith("#!/opt/socketd/lib/socketd/bin/python -I\n")
    make(checkout, "uninstall", DESTDIR="/tmp/stage", PREFIX="/opt/socketd", SYSCONFDIR="/opt/socketd/etc")
    left = checkout.exec(["find", "/tmp/stage", "-not", "-type", "d"]).stdout
    assert left == ""


@pytest.mark.parametrize(
    ("places", "complaint"),
    [
        ({"PREFIX": "opt"}, "PREFIX has to be an absolute path: opt"),
        ({"SYSTEM_PYTHON": "/bin/false"}, "socketd needs Python 3.11 or newer, and /bin/false is none"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(checkout, places, complaint):
    with pytest.raises(AssertionError, match=complaint):
        make(checkout, "install", DESTDIR="/tmp/refused", **places)
    assert not checkout.path("/tmp/refused").exists()
