"""Which addresses a pattern covers, and which texts are no pattern."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketd.access.pattern_text import parse
from socketd.access.patterns import Place, fits
from socketd.core import address
from socketd.core.address import Address
from tests.policies import where

BOUND = [
    ("127.0.0.0/8:1024-65535", "127.0.0.1:8080", True),
    ("127.0.0.0/8:1024-65535", "127.9.9.9:1024", True),
    ("127.0.0.0/8:1024-65535", "127.0.0.1:0", True),  # the kernel takes an ephemeral one
    ("127.0.0.0/8:1024-65535", "127.0.0.1:1023", False),
    ("127.0.0.0/8:1024-65535", "0.0.0.0:8080", False),
    ("127.0.0.0/8:1024-65535", "128.0.0.1:8080", False),
    ("127.0.0.0/8:1024-65535", "[::1]:8080", False),
    ("127.0.0.0/8:1024-65535", "[::ffff:127.0.0.1]:8080", True),
    ("127.0.0.0/8:1024-40000", "127.0.0.1:0", False),  # an ephemeral one may be 60999
    ("127.0.0.1:80", "127.0.0.1:0", False),
    ("127.0.0.1:*", "127.0.0.1:0", True),
    ("127.0.0.1:0", "127.0.0.1:0", True),
    ("127.0.0.1:0", "127.0.0.1:80", False),
    ("127.0.0.1:80", "127.0.0.1:80", True),
    ("127.0.0.1:80", "127.0.0.1:81", False),
    ("127.0.0.1:80", "127.0.0.2:80", False),
    ("0.0.0.0:80", "0.0.0.0:80", True),
    ("0.0.0.0:80", "127.0.0.1:80", False),
    ("0.0.0.0/0:80", "0.0.0.0:80", True),
    ("0.0.0.0/0:80", "10.0.0.1:80", True),
    ("0.0.0.0/0:80", "[::]:80", False),
    ("[::]:80", "[::]:80", True),
    ("[::/0]:80", "[::]:80", True),
    ("[::/0]:80", "[::ffff:1.2.3.4]:80", False),  # that is an IPv4 address
    ("[fe80::/10]:*", "[fe80::1%1]:9", True),
    ("*:8080", "1.2.3.4:8080", True),
    ("*:8080", "[2001:db8::1]:8080", True),
    ("*:8080", "1.2.3.4:8081", False),
    ("*:8080", "/run/x", False),
    ("inet:*", "1.2.3.4:1", True),
    ("inet:*", "[::1]:1", False),
    ("inet6:*", "[::1]:1", True),
    ("inet6:*", "[::ffff:1.2.3.4]:1", False),
    ("unix:/run/x/", "/run/x/web", True),
    ("unix:/run/x/", "/run/x/deep/web", True),
    ("unix:/run/x/", "/run/x", False),
    ("unix:/run/x/", "/run/x/", False),
    ("unix:/run/x/", "/run/x/.", False),
    ("unix:/run/x/", "/run/xy", False),
    ("unix:/run/x/", "/run/x/../y", False),
    ("unix:/run/x/", "/run/x/a/../../y", False),
    ("unix:/run/x/", "//run/x/web", False),
    ("unix:/run/x/", "@/run/x/web", False),
    ("unix:/run/x", "/run/x", True),
    ("unix:/run/x", "/run/x/", False),
    ("unix:/run/x", "/run/x/web", False),
    ("unix:/", "/etc/x", True),
    ("unix:/", "/etc/../x", False),
    ("unix:/run/{user}/", "/run/ann/web", True),
    ("unix:/run/{user}/", "/run/bob/web", False),
    ("unix:/run/{user}/", "/run/{user}/web", False),
    ("unix:@web*", "@web", True),
    ("unix:@web*", "@web.1", True),
    ("unix:@web*", "@we", False),
    ("unix:@web*", "/web", False),
    ("unix:@{user}.*", "@ann.x", True),
    ("unix:@{user}.*", "@bob.x", False),
    ("unix:@{user}.*", "@annx", False),
    ("unix:*", "@anything", True),
    ("unix:*", "/any/thing", True),
    ("unix:*", "127.0.0.1:1", False),
    ("vsock:*:1024-", "vsock:2:1024", True),
    ("vsock:*:1024-", "vsock:2:1023", False),
    ("vsock:2:*", "vsock:2:1", True),
    ("vsock:2:*", "vsock:3:1", False),
    ("vsock:2:*", "vsock:any:1", False),
    ("vsock:*", "vsock:any:any", True),
    ("netlink:*", "netlink:0:0", True),
    ("netlink:*", "vsock:2:1", False),
    ("packet:*", "packet:lo:0", True),
    ("packet:*", "netlink:0:0", False),
    *(
        ("*", text, True)
        for text in ("1.2.3.4:1", "[::]:1", "/x", "@x", "vsock:2:1", "netlink:0:0", "packet:lo:0")
    ),
]
CONNECTED = [
    ("0.0.0.0/0:443", "1.1.1.1:443", True),
    ("0.0.0.0/0:443", "10.0.0.1:443", True),
    ("0.0.0.0/0:443", "169.254.169.254:443", False),
    ("0.0.0.0/0:443", "127.0.0.1:443", False),
    ("0.0.0.0/0:443", "0.0.0.0:443", False),
    ("0.0.0.0/0:443", "224.0.0.1:443", False),
    ("0.0.0.0/0:443", "255.255.255.255:443", False),
    ("0.0.0.0/0:443", "[::ffff:169.254.169.254]:443", False),
    ("0.0.0.0/0:443", "[::ffff:1.1.1.1]:443", True),
    ("0.0.0.0/0:443", "[2001:db8::1]:443", False),
    ("126.0.0.0/7:443", "127.0.0.1:443", False),  # half of it is loopback, but not all
    ("126.0.0.0/7:443", "126.0.0.1:443", True),
    ("*:443", "[fe80::1%1]:443", False),
    ("*:443", "[fd00:ec2::254]:443", False),
    ("*:443", "[::1]:443", False),
    ("*:443", "[::]:443", False),
    ("*:443", "[2001:db8::1]:443", True),
    ("inet:*", "127.0.0.1:1", False),
    ("[::/0]:443", "[::1]:443", False),
    ("[::/0]:443", "[2001:db8::1]:443", True),
    ("127.0.0.0/8:443", "127.0.0.1:443", True),
    ("127.0.0.0/8:443", "0.0.0.0:443", True),
    ("127.0.0.1:443", "0.0.0.0:443", True),
    ("0.0.0.0:443", "0.0.0.0:443", False),  # it would be loopback, which is not named
    ("127.0.0.2:443", "0.0.0.0:443", False),
    ("[::1]:443", "[::]:443", True),
    ("169.254.169.254:80", "169.254.169.254:80", True),
    ("169.254.0.0/16:80", "169.254.169.254:80", True),
    ("[fe80::/10]:*", "[fe80::1%1]:9", True),
    ("127.0.0.0/8:1024-65535", "127.0.0.1:0", False),
    ("*", "169.254.169.254:80", True),
    ("unix:@*", "@x", True),
    ("unix:/run/x/", "/run/x/web", True),
    ("unix:/run/x/", "/run/y/web", False),
]


@pytest.mark.parametrize(("pattern", "text", "is_covered"), BOUND)
def test_bound_addresses(pattern, text, is_covered):
    assert parse(pattern).covers(Place(where(text), is_remote=False, user="ann")) is is_covered


@pytest.mark.parametrize(("pattern", "text", "is_covered"), CONNECTED)
def test_connected_addresses(pattern, text, is_covered):
    assert parse(pattern).covers(Place(where(text), is_remote=True, user="ann")) is is_covered


@pytest.mark.parametrize("pattern", ["unix:/run/{user}/", "unix:@{user}.*"])
@pytest.mark.parametrize("user", [None, "", ".", "..", "a/b", "a\0b"])
def test_who_has_no_usable_name_has_no_place_of_that_name(pattern, user):
    places = ("/run//web", "/run/web", "/run/../web", "/run/a/b/web", "/web", "@.x", "@..x", "@None.x")
    found = [text for text in places if parse(pattern).covers(Place(where(text), is_remote=False, user=user))]
    assert found == (["@..x"] if pattern.startswith("unix:@") and user == "." else [])


@pytest.mark.parametrize("user", ["*", "?", "[a-z]", "a*"])
def test_signs_in_a_users_name_are_no_glob(user):
    pattern = parse("unix:@{user}.x")
    assert pattern.covers(Place(address.unix_abstract(f"{user}.x"), is_remote=False, user=user))
    assert not pattern.covers(Place(address.unix_abstract("bob.x"), is_remote=False, user=user))
    assert not fits("bob.x", "{user}.*", user)


def test_an_address_of_the_kernels_choice_needs_all_abstract_names():
    chosen = address.unix_unnamed()
    assert parse("unix:@*").covers(Place(chosen, is_remote=False))
    for pattern, is_remote in (("unix:@*", True), ("unix:@a*", False), ("unix:/", False)):
        assert not parse(pattern).covers(Place(chosen, is_remote=is_remote))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "80",
            ":80",
            "web",
            "web:80",
            "localhost:80",
            "example.org:443",
            "127.0.0.1",
            "127.0.0.1:",
        ),
        *(
            "127.0.0.1:-1",
            "127.0.0.1:65536",
            "127.0.0.1:8-7",
            "127.0.0.1:1-2-3",
            "127.0.0.1:a",
            "127.0.0.1:\uff11",
        ),
        *(
            "127.0.0.1:80,81",
            "127.0.0.1:-",
            "127.0.0.1:99999999999",
            "127.0.0.1/8:80",
            "1.2.3:80",
            "127.1:80",
        ),
        *(
            "0x7f000001:80",
            "10.0.0.0/33:1",
            "10.0.0.0/-1:1",
            "127.0.0.1: 80",
            " 127.0.0.1:80",
            "127.0.0.1:80\n",
        ),
        *("::1:80", "[::1]", "[::1]:", "[::1:80", "::1]:80", "[127.0.0.1]:80", "[::ffff:1.2.3.4]:80"),
        *("[fe80::1%lo]:80", "[::1/64]:80", "[]:80", "[*]:80", "**:80", "*.*:80", "*:", "**"),
        *(
            "unix:",
            "unix:x",
            "unix:run/x/",
            "unix://x/",
            "unix:/x//",
            "unix:/x/../y/",
            "unix:/./x",
            "unix:/x/..",
        ),
        *("unix:/{home}/", "unix:/{user", "unix:/user}/", "unix:@{uid}", "unix:/a\nb/", "unix:/a\0b/"),
        *(
            "vsock:",
            "vsock:2",
            "vsock:2:",
            "vsock:a:1",
            "vsock:-1:1",
            "vsock:4294967296:1",
            "vsock:2:4294967296",
        ),
        *("netlink:", "netlink:0:0", "nonsense:*", "tcp:*", "UNIX:*", "packet:lo", "INET:*"),
    ],
)
def test_what_is_no_pattern_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60) | st.text("0123456789.:[]/*-@{user}%unixvsock", max_size=40))
def test_any_text_is_a_pattern_or_a_value_error(text):
    try:
        pattern = parse(text)
    except ValueError:
        return
    pattern.covers(Place(where("127.0.0.1:80"), is_remote=True, user="ann"))


def test_an_unknown_family_is_reached_by_everything_only():
    strange = Address(int(socket.AF_ALG), ("hash", "sha256"))
    assert parse("*").covers(Place(strange, is_remote=False))
    assert parse("alg:*").covers(Place(strange, is_remote=False))
    assert not any(
        parse(text).covers(Place(strange, is_remote=False))
        for text in ("*:*", "unix:*", "netlink:*", "vsock:*")
    )
