"""Where settings come from, which one wins, and what is said about those that cannot be."""

from __future__ import annotations

import tomllib

import pytest

from socketd.runtime import config, reference
from socketd.runtime.config import ConfigError
from socketd.runtime.kinds import TcpAddress
from socketd.runtime.settings import KEYS


@pytest.fixture
def write(tmp_path):
    """Write a TOML file; return its path."""

    def write_file(text: str) -> str:
        path = tmp_path / "socketd.toml"
        path.write_text(text)
        return str(path)

    return write_file


def test_without_anything_the_defaults_are_in_force():
    loaded = config.load({}, {"XDG_RUNTIME_DIR": "/run/user/7"})
    assert loaded.settings.listen == "/run/user/7/socketd/api.sock"
    assert loaded.settings.socket_mode == 0o660
    assert loaded.settings.default_timeout_s == 30
    assert loaded.settings.max_timeout_s == 600
    assert loaded.settings.tcp is None
    assert set(loaded.origins.values()) == {"default"}


def test_flag_beats_environment_beats_file_beats_default(write):
    file = write('max_waits = 10\nmax_count = 20\nmax_connections = 30\nlog_level = "error"\n')
    environ = {"SOCKETD_MAX_COUNT": "21", "SOCKETD_MAX_CONNECTIONS": "31"}
    loaded = config.load({"max_connections": "32"}, environ, file)
    settings = loaded.settings
    assert (settings.max_waits, settings.max_count, settings.max_connections) == (10, 21, 32)
    assert loaded.origins["max_waits"] == file
    assert loaded.origins["max_count"] == "SOCKETD_MAX_COUNT"
    assert loaded.origins["max_connections"] == "--max-connections"
    assert loaded.origins["max_body_bytes"] == "default"


def test_environment_may_name_the_file_and_a_flag_names_another(write, tmp_path):
    file = write("max_waits = 10\n")
    assert config.load({}, {"SOCKETD_CONFIG": file}).settings.max_waits == 10
    other = tmp_path / "other.toml"
    other.write_text("max_waits = 11\n")
    assert config.load({}, {"SOCKETD_CONFIG": file}, str(other)).settings.max_waits == 11


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/socketd:/run/more", "XDG_RUNTIME_DIR": "/x"}, "/run/socketd/api.sock"),
        ({"XDG_RUNTIME_DIR": "/x"}, "/x/socketd/api.sock"),
    ],
)
def test_default_path_is_systemds_else_the_sessions(environ, expected):
    assert config.default_path(environ) == expected


def test_default_path_is_of_this_user_where_there_is_no_session():
    assert config.default_path({}).startswith("/tmp/socketd-")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_default_is_what_its_own_kind_reads(key):
    if key.default is not None:
        assert key.kind.read(key.kind.write(key.default)) == key.default


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("socket_mode", "0600", 0o600),
        ("socket_mode", "0o600", 0o600),
        ("tcp", "127.0.0.1:80", TcpAddress("127.0.0.1", 80)),
        ("tcp", "localhost:0", TcpAddress("127.0.0.1", 0)),
        ("tcp", "[::1]:65535", TcpAddress("::1", 65535)),
        ("default_timeout_s", "0.25", 0.25),
        ("max_body_bytes", "1_000_000", 1_000_000),
        ("token", "abc-._~+/123==", "abc-._~+/123=="),
        ("tls_client_required", "false", False),
        ("hosts", "", ()),
        ("hosts", " A.Example. ,b_c,192.0.2.1", ("a.example", "b_c", "192.0.2.1")),
        ("hosts", "[FD00::0:1],fd00::2", ("[fd00::1]", "[fd00::2]")),
    ],
)
def test_flag_is_read(name, text, expected):
    assert getattr(config.load({name: text}, {}).settings, name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_waits", "0"),
        ("max_waits", "-1"),
        ("max_waits", "1.5"),
        ("max_waits", "many"),
        ("max_waits", ""),
        ("default_timeout_s", "nan"),
        ("default_timeout_s", "inf"),
        ("default_timeout_s", "-0.1"),
        ("graceful_timeout_s", "0"),
        ("socket_mode", "0888"),
        ("socket_mode", "7777"),
        ("socket_mode", "-1"),
        ("tcp", "0.0.0.0:80"),
        ("tcp", "192.0.2.1:80"),
        ("tcp", "[::]:80"),
        ("tcp", "example.org:80"),
        ("tls_key", "/x"),
        ("tls_client_ca", "/x"),
        ("tls_client_required", "true"),
        ("tls_client_required", "yes"),
        ("tcp", "127.0.0.1"),
        ("tcp", "127.0.0.1:65536"),
        ("tcp", "::1:80"),
        ("token", "two words"),
        ("token", ""),
        ("listen", ""),
        ("listen", "/" + "x" * 107),
        ("log_level", "loud"),
        ("hosts", ","),
        ("hosts", "a.example,"),
        ("hosts", "a.example:80"),
        ("hosts", "http://a.example"),
        ("hosts", "*"),
        ("hosts", "*.example"),
        ("hosts", ".example"),
        ("hosts", "a..example"),
        ("hosts", "[::1]:80"),
        ("hosts", "a b"),
        ("hosts", f"{'a.' * 127}a"),
    ],
)
def test_bad_flag_is_one_line_that_names_it(name, text):
    with pytest.raises(ConfigError) as caught:
        config.load({name: text}, {})
    message = str(caught.value)
    assert message.startswith("--" + name.replace("_", "-") + ": ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("max_wait = 1", "unknown key 'max_wait'; did you mean max_waits"),
        ("frobnicate = 1", "unknown key 'frobnicate'"),
        ('max_waits = "10"', "max_waits: '10' is not a whole number"),
        ("max_waits = true", "max_waits: True is not a whole number"),
        ("max_waits = 1.0", "max_waits: 1.0 is not a whole number"),
        ("default_timeout_s = true", "default_timeout_s: True is not a number of seconds"),
        ("listen = 7", "listen: 7 is not a path"),
        ("log_level = []", "log_level: [] is not one of debug, info"),
        ("hosts = [1]", "hosts: [1] is not names or addresses without a port"),
        ("hosts = true", "hosts: True is not names or addresses without a port"),
        ("[limits]\nmax_waits = 1", "unknown key 'limits'"),
        ("max_waits = ", "not TOML: "),
        ("tls_client_required = 1", "tls_client_required: 1 is not true or false"),
        ('tls_client_required = "true"', "tls_client_required: 'true' is not true or false"),
        ("socket_mode = 99999", "socket_mode: 99999 is not permissions in octal"),
    ],
)
def test_bad_file_is_one_line_that_names_file_and_key(write, line, says):
    file = write(line)
    with pytest.raises(ConfigError) as caught:
        config.load({}, {}, file)
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_octal_number_in_the_file_is_a_mode(write):
    assert config.load({}, {}, write("socket_mode = 0o600")).settings.socket_mode == 0o600


def test_hosts_in_the_file_are_a_list_or_a_text(write):
    for text in ('["A.example", "b"]', '"A.example, b"'):
        assert config.load({}, {}, write(f"hosts = {text}")).settings.hosts == ("a.example", "b")


def test_missing_file_is_an_error_if_it_was_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        config.load({}, {}, str(tmp_path / "none.toml"))


def test_misspelt_variable_is_an_error_that_names_the_right_one():
    with pytest.raises(
        ConfigError, match="unknown variable SOCKETD_MAX_WAIT; did you mean SOCKETD_MAX_WAITS"
    ):
        config.load({}, {"SOCKETD_MAX_WAIT": "1"})


def test_variables_of_the_client_and_of_others_are_left_alone():
    config.load({}, {"SOCKETD_URL": "unix:///x", "SOCKETD_REQUIRE_TOOLS": "1"})


def test_default_timeout_above_the_cap_names_both_origins():
    with pytest.raises(ConfigError, match=r"default_timeout_s \(30, default\).*max_timeout_s \(1, --max"):
        config.load({"max_timeout_s": "1"}, {})


def test_address_beyond_loopback_takes_tls():
    flags = {
        "tcp": "0.0.0.0:80",
        "tls_certificate": "/x",
        "tls_client_ca": "/y",
        "tls_client_required": "true",
    }
    settings = config.load(flags, {}).settings
    assert settings.tcp == TcpAddress("0.0.0.0", 80)
    assert settings.tls_client_required is True


def test_token_and_token_file_together_are_refused_and_the_token_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        config.load({"token_file": "/x"}, {"SOCKETD_TOKEN": "sesame"})
    assert "sesame" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        config.load({}, {"SOCKETD_TOKEN": "open sesame"})
    assert "sesame" not in str(caught.value)


def test_what_is_in_force_is_toml_with_origins_and_without_the_token():
    loaded = config.load({"max_waits": "5"}, {"SOCKETD_TOKEN": "sesame", "SOCKETD_LISTEN": "/run/x"})
    text = reference.in_force(loaded)
    document = tomllib.loads(text)
    assert document["max_waits"] == 5
    assert document["listen"] == "/run/x"
    assert "sesame" not in text
    assert {line.split("# ")[-1] for line in text.splitlines()} == {
        "default",
        "--max-waits",
        "SOCKETD_TOKEN",
        "SOCKETD_LISTEN",
    }


def test_what_is_in_force_can_be_loaded_again(write):
    flags = {
        "tcp": "[::1]:80",
        "hosts": "a,[::2]",
        "socket_mode": "0640",
        "max_timeout_s": "0.5",
        "default_timeout_s": "0.25",
    }
    first = config.load(flags, {})
    assert config.load({}, {}, write(reference.in_force(first))).settings == first.settings


def test_commented_file_is_the_defaults_and_explains_every_key(write):
    text = reference.commented_file()
    assert config.load({}, {}, write(text)).settings == config.load({}, {}).settings
    for key in KEYS:
        assert f"{key.name} =" in text
        assert key.variable in text
        assert key.flag in text
