"""``socketd policy``: the answer, the rule that gives it, and the exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from socketd.__main__ import main
from socketd.access.policy_file import built_in_text
from socketd.runtime import config

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """version = 1

[[rule]]
name = "web"
uid = 4321
bind = ["127.0.0.0/8:80", "0.0.0.0:80"]
options = ["TCP_*"]
families = "inet"
types = "stream"
names = "web*"

[[rule]]
name = "ci"
token = "ci"
connect = "127.0.0.1:*"
see = "uid:33"
adopt_pid = true

[[rule]]
name = "group"
gid = 5432
take = true

[[rule]]
name = "me"
daemon_user = true
persist = true
"""


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    path.chmod(0o644)
    settings = tmp_path / "socketd.toml"
    settings.write_text(f'listen = "{tmp_path}/api.sock"\npolicy = "{path}"\n')

    def answer(*words: str) -> tuple[int, str, str]:
        status = main(["policy", "check", "--config", str(settings), *words])
        told = capsys.readouterr()
        return status, told.out.replace(str(path), "p.toml"), told.err

    return answer


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--uid 4321 bind 127.0.0.1:80", 3),
        ("--uid 4321 bind 0.0.0.0:80", 3),
        ("--uid 4321 option nodelay", 3),
        ("--uid 4321 create inet stream", 3),
        ("--uid 4321 create inet stream tcp", 3),
        ("--uid 4321 name web.0", 3),
        ("--token ci connect 127.0.0.1:8080", 12),
        ("--token ci see uid:33", 12),
        ("--token ci adopt-pid", 12),
        ("--uid 99 --group 5432 take", 19),
    ],
)
def test_what_is_granted_is_told_with_its_rule_and_line(ask, words, line):
    status, out, _ = ask(*words.split())
    assert (status, out.splitlines()[1].partition(":")[0]) == (0, "allowed")
    assert f", p.toml:{line}\n" in out


@pytest.mark.parametrize(
    "words",
    [
        *("--uid 4321 bind 127.0.0.1:81", "--uid 4321 bind [::1]:80", "--uid 4321 bind 1.1.1.1:80"),
        *("--uid 4321 connect 127.0.0.1:80", "--uid 4321 option SO_MARK", "--uid 4321 option SO_KEEPALIVE"),
        *(
            "--uid 4321 create inet6 stream",
            "--uid 4321 create inet stream sctp",
            "--uid 4321 create inet raw icmp",
        ),
        *(
            "--uid 4321 name api",
            "--uid 4321 take",
            "--uid 4321 give",
            "--uid 4321 persist",
            "--uid 4321 metrics",
        ),
        *("--uid 4321 see uid:33", "--uid 4321 bind /run/x", "--uid 4321 bind @x", "--uid 99 take"),
        *("--token cd connect 127.0.0.1:8080", "--certificate ci connect 127.0.0.1:8080", "--token ci take"),
        *("--user root bind 127.0.0.1:80", "--token ci connect [64:ff9b::7f00:1]:80"),
    ],
)
def test_what_is_not_granted_is_refused_with_exit_1(ask, words):
    status, out, _ = ask(*words.split())
    assert (status, out.splitlines()[1].partition(":")[0]) == (1, "refused")
    assert "lets you" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--uid 4321 bnd 127.0.0.1:80", "'bnd 127.0.0.1:80' is no question; did you mean bind?"),
        ("--uid 4321 api", "'api' is no question"),
        ("--uid 4321 take it", "'take it' is no question; did you mean take?"),
        ("--uid 4321 bind", "bind takes 1 words, not 0"),
        ("--uid 4321 create inet", "create takes 2 to 3 words, not 1"),
        ("--uid 4321 bind 127.0.0.1", "'127.0.0.1' is not an address"),
        ("--uid 4321 bind x.invalid:80", "x.invalid, 80: "),
        ("--uid 4321 create intet stream", "'intet' is not a name Linux has; did you mean inet or inet6?"),
        ("--uid 4321 option SO_MARKS", "'so_marks' is the name of no socket options; did you mean SO_MARK"),
        ("--uid 4321 see everybody", "an owner is uid:NUMBER, token:NAME or certificate:NAME"),
        ("--uid 4321 see user:no-such-user", "there is no user 'no-such-user' here"),
        ("--user no-such-user take", "there is no user 'no-such-user' here"),
        ("--uid 4294967295 take", "4294967295 is no uid"),
        ("--uid -1 take", "-1 is no uid"),
        ("--uid 1 --group no-such-group take", "there is no group 'no-such-group' here"),
        ("--uid 1 --daemon-user no-such-user take", "there is no user 'no-such-user' here"),
        ("--uid 1 --policy /nonexistent take", "policy /nonexistent: No such file or directory"),
    ],
)
def test_what_is_no_question_ends_with_exit_2(ask, words, message):
    status, out, err = ask(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("socketd: ")
    assert message in err


@pytest.mark.parametrize("words", ["take", "--uid 1", "--uid x take", "--uid 1 --token ci take"])
def test_somebody_and_something_have_to_be_named(ask, words):
    with pytest.raises(SystemExit) as caught:
        ask(*words.split())
    assert caught.value.code == 2


def test_the_daemons_own_sockets_are_kept_from_grants_for_everything(ask, tmp_path):
    path = tmp_path / "wide.toml"
    path.write_text('version = 1\n[[rule]]\nname = "w"\nanyone = true\nconnect = "*"\n')
    path.chmod(0o644)
    status, out, _ = ask("--policy", str(path), "--uid", "1", "connect", f"{tmp_path}/api.sock")
    assert (status, "the daemon's own" in out) == (1, True)
    assert ask("--policy", str(path), "--uid", "1", "connect", f"{tmp_path}/other.sock")[0] == 0


def test_each_address_of_a_name_is_told_and_one_is_enough(ask):
    status, out, _ = ask("--uid", "4321", "bind", ":80")
    assert status == 0
    assert "allowed: bind 0.0.0.0:80" in out
    assert "refused: bind [::]:80" in out  # it would be both, and only one is granted


def test_the_daemons_user_is_known_by_name_or_is_oneself(ask):
    words = ("--uid", str(os.geteuid()), "--daemon-user", "root", "persist")
    assert ask(*words)[0] == (0 if os.geteuid() == 0 else 1)


def test_show_prints_what_is_in_force(tmp_path, capsys):
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + 'user = "no-such-user"\n')
    path.chmod(0o644)
    assert main(["policy", "show", "--policy", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == f"# {path}\n{path.read_text()}"
    assert told.err.startswith(f"socketd: {path}:24: rule 'me': there is no user 'no-such-user' here")


def test_show_prints_the_built_in_policy_where_there_is_no_other(capsys):
    if os.path.lexists("/etc/socketd/policy.toml") or config.DEFAULT_FILE.exists():
        pytest.skip("this host has a policy of its own")
    assert main(["policy", "show"]) == 0
    assert capsys.readouterr().out == f"# built-in policy\n{built_in_text()}"
