"""``socketctl exec`` without click: it reads what click would read, and imports little."""

from __future__ import annotations

import subprocess
import sys

import pytest

from socketd_client.cli import plain
from socketd_client.cli.commands.exec import exec_command
from tests.socketctl_process import environment

PLAIN = [
    "--listen web=127.0.0.1:80 -- true",
    "-l web=:80 -l admin=@admin true --listen web=1",
    "--listen=web=[::1]:80 --udp=dns=:53 --dgram log=/run/log --seqpacket s=@s -- sh -c true",
    "--take web --take 70 --take=71 --blocking -- true --blocking",
    "-l web=:80 -e A=1 --env B= --env=C=x=y true -- -l",
    "--take -- -- --",
    "--take web -- -",
    "--take web -",
    "--take web -- ''",
    "--take -l true",
    "true",
]
NOT_PLAIN = [
    "",
    "--",
    "--help",
    "-h",
    "--take web --help -- true",
    "--take web",
    "--take web --",
    "--take",
    "--listen",
    "--listen web -- true",
    "--listen 1=:80 -- true",
    "--listen web= -- true",
    "-lweb=:80 true",
    "-l=web=:80 true",
    "--backlog 5 -l web=:80 true",
    "--blocking=1 true",
    "--lis web=:80 true",
    "--nothing true",
]
HEAVY = {"click", "dataclasses", "inspect", "pathlib", "requests", "shutil", "urllib.parse", "http.client"}
SCRIPT = """\
import sys
sys.addaudithook(lambda event, _: event == "os.exec" and print(*sorted(sys.modules), file=sys.stderr))
from socketd_client.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_line_means_what_it_means_to_click(line):
    context = exec_command.make_context("exec", line.split())
    read = {name: tuple(value) if isinstance(value, list) else value for name, value in read_of(line).items()}
    assert read == context.params


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_click(line):
    with pytest.raises(ValueError, match=r".+"):
        read_of(line)


def test_every_option_that_can_come_again_is_plain():
    spelled = {text: one.name for one in exec_command.params if one.multiple for text in one.opts}
    assert spelled == plain.MEMBERS


def test_a_program_is_started_without_the_imports_that_take_long(daemon):
    arguments = ("exec", "--listen", "web=127.0.0.1:0", "--", "true")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment(daemon.url),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stderr.split())
    assert "socketd_client.cli.direct" in loaded
    assert not loaded & HEAVY


def read_of(line):
    return plain.read(line.split())
