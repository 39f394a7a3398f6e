"""What holds for every command of ``socketctl``: help, completion, the man page, what it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import socketd_client
from socketd_client.cli import manual
from socketd_client.cli.app import socketctl as group
from socketd_client.cli.catalogue import COMMANDS
from tests.socketctl_process import environment, socketctl

NOWHERE = "unix:///nowhere/api.sock"
PAGE = Path(__file__).parents[2] / "docs" / "man" / "socketctl.1"
CONTEXT = click.Context(group, info_name="socketctl")


def loaded(*arguments):
    """Name the modules that a command has imported at its end."""
    script = (
        "import sys\nfrom socketd_client.cli.app import run\nstatus = run(sys.argv[1:])\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(NOWHERE),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("exec", "--help"), ("run", "--help")])
def test_help_and_version_import_neither_rich_nor_requests(arguments):
    assert loaded(*arguments).isdisjoint({"rich", "requests", "urllib3", "http.client", "ssl"})


def test_help_imports_no_command():
    assert not {name for name in loaded("--help") if name.startswith("socketd_client.cli.commands")}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_teaches_by_example(name):
    done = socketctl(NOWHERE, name, "--help")
    assert done.returncode == 0
    assert f"  socketctl {name}" in done.stdout.partition("Examples:")[2] or name in ("completion", "give")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_a_command_is_laid_out_once(name):
    command = group.get_command(CONTEXT, name)
    names = [option for param in command.params for option in param.opts]
    assert len(names) == len(set(names))


def test_man_page_is_what_the_commands_say():
    assert PAGE.read_text() == manual.manual()


@pytest.mark.needs("man")
def test_man_page_is_sound_roff():
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(PAGE)],
        env={**environment(NOWHERE), "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-ww"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert all(f"   {name} " in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_2_and_names_the_nearest():
    done = socketctl(NOWHERE, "lss")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "socketctl: no command 'lss'; is 'ls' meant?\n  hint: socketctl --help\n"


def test_without_a_command_it_prints_help_and_is_2():
    done = socketctl(NOWHERE)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: socketctl") or done.stdout.startswith("Usage: socketctl")


def test_without_a_daemon_every_way_in_is_1_and_says_so():
    done = socketctl(NOWHERE, "ls")
    assert done.returncode == 1
    assert (
        done.stderr
        == f"socketctl: no socketd at {NOWHERE}: No such file or directory; is it running there?\n"
    )


def test_a_url_that_is_none_is_told():
    done = socketctl("gopher://x", "ls")
    assert (done.returncode, "is no URL of socketd" in done.stderr) == (1, True)


def test_without_click_it_says_what_to_install():
    script = "import sys; sys.modules['click'] = None; from socketd_client.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(NOWHERE), check=False
    )
    assert done.returncode == 1
    assert done.stderr == "socketctl: click is not installed: pip install 'socketd[cli]'\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell):
    if shell == "bash":
        pytest.importorskip("click")
    done = socketctl(NOWHERE, "completion", shell)
    assert done.returncode == 0
    assert "_SOCKETCTL_COMPLETE" in done.stdout


def test_completion_offers_commands_and_socket_names(daemon):
    daemon.request("POST", "/v1/sockets", {"name": "webby"})
    offered = _completed(daemon, "socketctl show we", "2")
    assert offered == ["plain,webby"]
    assert "plain,ensure" in [line.split("\t")[0] for line in _completed(daemon, "socketctl en", "1")]


def test_completion_is_silent_without_a_daemon():
    done = socketctl(
        NOWHERE,
        extra={"_SOCKETCTL_COMPLETE": "bash_complete", "COMP_WORDS": "socketctl show we", "COMP_CWORD": "2"},
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def _completed(daemon, words, number):
    extra = {"_SOCKETCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
    return socketctl(daemon.url, extra=extra).stdout.split("\n")[:-1]


def test_every_public_name_of_the_package_can_be_imported():
    missing = [name for name in socketd_client.__all__ if not hasattr(socketd_client, name)]
    assert missing == []
    assert set(socketd_client.__all__) <= set(dir(socketd_client))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = socketd_client.nonsense


def test_importing_the_package_imports_no_http():
    script = "import sys, socketd_client; socketd_client.listen_fds(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(NOWHERE), check=True
    )
    assert {"requests", "http.client"}.isdisjoint(done.stdout.split())
