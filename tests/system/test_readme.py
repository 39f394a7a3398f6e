"""The documents are run as they stand: their commands work, and their answers are the daemon's."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import socketd_client
from socketd.runtime.banner import FIRST_PORT, free_port
from socketd.runtime.settings import KEYS, Key
from tests.daemon_process import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon_process import DaemonProcess

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"
STREAMS, DROP_IN = ROOT / "docs" / "streams.md", ROOT / "docs" / "drop-in.md"
SDK, OPERATIONS = ROOT / "docs" / "sdk.md", ROOT / "docs" / "operations.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS, SHOWN = "sh", ("json", "text")
SEPARATOR = "--8<-- {} --8<--"


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and what README says that they print; empty where it says nothing."""

    commands: str
    shown: str


def blocks(document: Path, language: str) -> list[str]:
    return [text for named, text in BLOCK.findall(document.read_text()) if named == language]


def steps(document: Path) -> list[Step]:
    """Pair each block of commands with the block of output that follows it."""
    found: list[Step] = []
    for language, text in BLOCK.findall(document.read_text()):
        if language == COMMANDS:
            found.append(Step(text, ""))
        elif language in SHOWN:
            found[-1] = Step(found[-1].commands, text)
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """Turn output into what it matches: numbers vary, and ``…`` stands for anything, alone for any lines."""
    parts = re.split(r"(\n…\n|…)", plain(shown))
    wild = {"\n…\n": r"\n(?:.*?\n)?", "…": ".*?"}
    literal = "".join(wild.get(part) or re.sub(r"\d+", r"\\d+", re.escape(part)) for part in parts)
    return re.compile(literal, re.DOTALL)


def plain(output: str) -> str:
    """Leave out what depends on which other descriptors there are: the tree's last branch and its columns."""
    lines = [re.sub(" +", " ", line.replace("└", "├")).rstrip() for line in output.strip().splitlines()]
    return "\n".join(lines)


@pytest.fixture
def port() -> Iterator[int]:
    """Give the port for a run of README: 3490, or the next free one where somebody has that.

    The lock keeps tests that run at the same time, in other processes, from choosing the same one.
    """
    with Path(tempfile.gettempdir(), f"socketd-readme-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield free_port()


def environment(**more: str) -> dict[str, str]:
    """What a terminal has in which the daemon's ``export`` lines were pasted."""
    client_folder = str(Path(socketd_client.__file__).parents[1])
    return child_environment({"PYTHONPATH": client_folder, **more})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a folder with the commands that ``make run`` installs, and where no command leaves a file."""
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, module in (("socketctl", "socketd_client.cli"), ("gunicorn", "gunicorn")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (commands / name).chmod(0o755)
    return tmp_path


def run(command: list[str], text: str, environ: dict[str, str], folder: Path | None = None) -> str:
    result = subprocess.run(
        command, input=text, env=environ, cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert not result.stderr
    return result.stdout


@pytest.mark.needs("bash", "curl")
@pytest.mark.parametrize("document", [README, TUTORIAL, STREAMS], ids=["readme", "tutorial", "streams"])
def test_a_session_with_curl_works_as_pasted(
    document: Path, daemon: DaemonProcess, port: int, checkout: Path
) -> None:
    """One shell runs all of it, as a person's does, so that descriptors and variables live on."""
    session = steps(document)
    assert len(session) >= 7
    script = "".join(f"{step.commands}echo; echo '{SEPARATOR.format(n)}'\n" for n, step in enumerate(session))
    script = script.replace(str(FIRST_PORT), str(port))
    environ = environment(SOCKETD_URL=daemon.url, TMPDIR=str(checkout), HOME=str(checkout))
    printed = run(["bash", "-u"], script, environ, checkout)
    for number, step in enumerate(session):
        output, _, printed = printed.partition(SEPARATOR.format(number))
        assert pattern(step.shown).fullmatch(plain(output)), (
            f"{step.commands}\nprinted:\n{output}\nnot:\n{step.shown}"
        )
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


def test_the_program_in_python_works_as_pasted(daemon: DaemonProcess, port: int) -> None:
    program, *_ = blocks(README, "python")
    program = program.replace(str(FIRST_PORT), str(port))
    printed = run([sys.executable, "-W", "error", "-"], program, environment(SOCKETD_URL=daemon.url))
    for expected in (
        f"inet 0.0.0.0:{port}",
        "held demo inet stream bound",
        "ino:",
        "b'hello\\n'",
        "b'hello yourself\\n'",
    ):
        assert expected in printed
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


def test_the_program_that_takes_and_gives_works_as_pasted(daemon: DaemonProcess, port: int) -> None:
    _, program, _ = blocks(README, "python")
    program = program.replace(str(FIRST_PORT), str(port))
    printed = run([sys.executable, "-W", "error", "-"], program, environment(SOCKETD_URL=daemon.url))
    assert printed == "b'hello yourself\\n'\n"
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


def test_the_program_that_knows_nothing_of_it_works_as_pasted(daemon: DaemonProcess, port: int) -> None:
    *_, program = blocks(README, "python")
    program = program.replace(str(FIRST_PORT), str(port))
    printed = run([sys.executable, "-W", "error", "-"], program, environment(SOCKETD_URL=daemon.url))
    assert re.fullmatch(r"\['listening', 'connected'.*\]\nb'hello\\n'\n", printed)
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


@pytest.mark.parametrize("document", [SDK, DROP_IN], ids=["sdk", "drop-in"])
def test_the_examples_of_the_client_work_as_pasted(document: Path, daemon: DaemonProcess) -> None:
    """They are one program: what one block makes, the next ones use."""
    program = "\n".join(blocks(document, "python"))
    run([sys.executable, "-W", "error", "-"], program, environment(SOCKETD_URL=daemon.url))
    assert daemon.request("GET", "/v1/sockets").json()["sockets"] == []


@pytest.mark.needs("bash", "curl")
def test_the_command_for_tcp_works_as_pasted(fresh_daemon: Callable[..., DaemonProcess]) -> None:
    daemon = fresh_daemon("--tcp", "127.0.0.1:0", environ={"SOCKETD_TOKEN": "a-token"})
    daemon.await_log("http://127.0.0.1:")
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", daemon.log))
    (command,) = blocks(README, "bash")
    assert "http://127.0.0.1:8080" in command
    printed = run(
        ["bash", "-u"], command.replace("http://127.0.0.1:8080", url), environment(SOCKETD_TOKEN="a-token")
    )
    assert '"via":"tcp"' in printed


@pytest.mark.parametrize("command", re.findall(r"^    make (\w+)", README.read_text(), re.MULTILINE))
def test_a_make_command_is_a_target(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{command}:.*## ", makefile, re.MULTILINE)


def test_every_file_that_the_documents_link_to_exists() -> None:
    for document in (README, ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_table_of_configuration_is_that_of_the_code() -> None:
    """Every key, in the code's order, with its default and the sentence that says what it is."""
    shown = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", OPERATIONS.read_text(), re.MULTILINE)
    expected = [
        (
            key.name,
            "" if key.default is None else f"`{key.kind.write(key.default)}`",
            f"{key.help} {says(key)}",
        )
        for key in KEYS
    ]
    assert shown == expected


def says(key: Key) -> str:
    return f"{key.kind.says[0].upper()}{key.kind.says[1:]}."
