"""Which policy is in force: read at start, read anew at a reload, and never half of it."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from socketd.access.policy_file import BUILT_IN
from socketd.access.questions import Act
from socketd.kernel.local_address import is_local
from socketd.runtime import config
from socketd.runtime.config import ConfigError
from socketd.runtime.policy_source import PolicySource, document, own, read_text, reserved
from tests.policies import user, where

GOOD = 'version = 1\n[[rule]]\nname = "all"\nanyone = true\ntake = true\n'
OTHER = 'version = 1\n[[rule]]\nname = "none"\nanyone = true\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    path.chmod(0o644)
    return path


@pytest.fixture
def settings(file: Path):
    return config.load({"listen": "/run/x/api.sock", "policy": str(file)}, {}).settings


def may_take(source: PolicySource) -> bool:
    return source.policy.decide(user(4321), Act("take")).is_allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it says no version"),
        ("version = 1\nrul = 1\n", "unknown key 'rul'; did you mean rule?"),
        ("[", "not TOML: "),
        ("version = 1\n[[rule]]\n", ":2: a rule has no name"),
    ],
)
def test_there_is_no_daemon_without_a_policy(file, settings, text, message):
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        PolicySource(settings)
    assert str(caught.value).startswith(f"policy {file}")
    assert message in str(caught.value)


def test_a_policy_that_others_may_write_is_none(file):
    for mode in (0o666, 0o664, 0o646):
        file.chmod(mode)
        with pytest.raises(ConfigError, match="others may write it"):
            document(str(file))


def test_a_policy_that_is_not_there_is_no_built_in_one(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        document(str(tmp_path / "none.toml"))
    (tmp_path / "gone.toml").symlink_to(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="No such file"):
        document(None, str(tmp_path / "gone.toml"))
    with pytest.raises(ConfigError, match="Is a directory"):
        document(None, str(tmp_path))


def test_the_default_file_counts_if_it_is_there(tmp_path, file):
    assert document(None, str(file)).source == str(file)
    for missing in (tmp_path / "none.toml", file / "policy.toml"):
        assert document(None, str(missing)).source == "built-in policy"


def test_a_reload_puts_another_in_force_when_it_is_applied(file, settings):
    source = PolicySource(settings)
    assert may_take(source)
    file.write_text(OTHER)
    apply = source(settings)
    assert may_take(source)
    apply()
    assert not may_take(source)


def test_a_broken_file_leaves_the_old_one_in_force(file, settings):
    source = PolicySource(settings)
    before = source.policy
    for text in ("", "version = 1\n[[rule]]\nname = 5\n"):
        file.write_text(text)
        with pytest.raises(ConfigError):
            source(settings)
        assert source.policy is before
    file.unlink()
    with pytest.raises(ConfigError):
        source(settings)
    assert may_take(source)


def test_what_a_policy_does_not_do_is_told_once(file, settings, caplog):
    caplog.set_level(logging.WARNING)
    file.write_text(GOOD + 'user = ["no-such-user-here"]\n')
    source = PolicySource(settings)
    source(settings)()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"policy: {file}:2: rule 'all': there is no user 'no-such-user-here' here, so it means nobody"
    ]


def test_the_daemons_own_addresses_are_those_of_the_configuration(settings):
    found = own(
        replace(settings, keeper="/run/x/keeper.sock", tcp=config.BY_NAME["tcp"].kind.read("[::1]:8080"))
    )
    assert found == [where(text) for text in ("/run/x/api.sock", "/run/x/keeper.sock", "[::1]:8080")]


def test_a_listener_everywhere_is_on_this_hosts_addresses_only():
    kept = reserved([where("0.0.0.0:8080")])
    assert where("127.0.0.1:8080") in kept
    assert where("192.0.2.1:8080") not in kept  # of documentation, RFC 5737


def test_addresses_of_this_host_are_told_from_others():
    assert is_local("127.0.0.1")
    assert is_local("127.1.2.3")
    assert is_local("0.0.0.0")
    assert not is_local("192.0.2.1")
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
    assert is_local("::1")
    assert not is_local("2001:db8::1")


def test_the_built_in_policy_is_a_file_of_the_package():
    text, source = read_text(None, "/nonexistent")
    assert source == "built-in policy"
    assert (Path(document.__code__.co_filename).parents[1] / "access" / BUILT_IN).read_text() == text
