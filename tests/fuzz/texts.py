"""Targets that read text: addresses, owners, headers, the policy and the token file."""

from __future__ import annotations

import base64
import socket

import orjson
from marshmallow import ValidationError

from socketd.access import pattern_text, policy_file, tokens
from socketd.access.patterns import Place
from socketd.access.policy import Policy
from socketd.access.questions import RIGHTS, Act, Bind, Connect, Create, See, SetOption, UseName
from socketd.core import address_text
from socketd.core.address import Address
from socketd.core.owner import Owner
from socketd.errors import InvalidRequestError, UnauthenticatedError
from socketd.web.caller import expected_cookies
from socketd.web.identity import identify
from socketd.web.schemas.address import AddressField
from tests import policies
from tests.fuzz.target import Target, as_text, check_message

PLACES = tuple(
    policies.where(text)
    for text in (
        "127.0.0.1:80",
        "0.0.0.0:0",
        "169.254.169.254:80",
        "[::1]:8080",
        "[::ffff:127.0.0.1]:80",
        "[2002:7f00:1::]:443",
        "/run/x/y.sock",
        "@web.1",
        "vsock:2:1024",
        "netlink:0:0",
        "packet:lo:3",
    )
)
CALLERS = (policies.user(0), policies.user(policies.ANN, 2000), policies.user(65534), policies.token("ci"))
QUESTIONS = (
    *(Bind(place, is_dual=True) for place in PLACES),
    *(Connect(place) for place in PLACES),
    Create(int(socket.AF_INET), int(socket.SOCK_STREAM)),
    Create(int(socket.AF_NETLINK), int(socket.SOCK_RAW), 16),
    SetOption("SO_MARK"),
    UseName("web"),
    See(Owner(33)),
    *(Act(right) for right in RIGHTS),
)
BINDING, REACHING = AddressField(is_bound=True), AddressField()
OVER_TCP = socket.socket(socket.AF_INET)  # open as long as the process: only its family is asked for
KNOWN = tokens.Tokens([tokens.Token(Owner(token="ci"), tokens.digest_of("sd_known"))])


def read_address(data: bytes) -> None:
    """Read it, and read again what is written of it."""
    text = as_text(data)
    try:
        read = address_text.parse(text)
    except InvalidRequestError as error:
        check_message(error)
        return
    if not isinstance(read, Address):
        return
    written = address_text.text(read)
    if text.isprintable():  # what holds surrogates is written with question marks
        assert address_text.parse(written) == read, written


def read_address_member(data: bytes) -> None:
    """Read it as JSON, as ``bind`` and as ``connect`` have it."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    for field in (BINDING, REACHING):
        try:
            field.deserialize(value)
        except ValidationError:
            continue


def read_pattern(data: bytes) -> None:
    """Read it, and ask it for addresses."""
    try:
        pattern = pattern_text.parse(as_text(data))
    except ValueError as error:
        check_message(error)
        return
    for place in PLACES:
        for is_remote in (False, True):
            assert pattern.covers(Place(place, is_remote, "ann")) in {False, True}


def read_policy(data: bytes) -> None:
    """Read it, and ask it; what nobody wrote a rule for is refused."""
    try:
        document = policy_file.parse(as_text(data), "policy.toml", policies.KnownPeople())
    except policy_file.PolicyError as error:
        check_message(error)
        return
    policy = Policy(document, daemon_uid=policies.DAEMON, name_of=policies.name_of)
    for caller in CALLERS:
        for question in QUESTIONS:
            decision = policy.decide(caller, question)
            assert decision.reason
            assert not decision.is_allowed or decision.rule in {rule.name for rule in document.rules}


def read_tokens(data: bytes) -> None:
    """Read a token file; whoever it names has a name."""
    try:
        known = tokens.parse(as_text(data))
    except tokens.TokenFileError as error:
        check_message(error)
        return
    assert known
    assert all(token.owner.token and len(token.digest) == 32 for token in known)


def read_owner(data: bytes) -> None:
    """Read it, and read again what is written of it."""
    try:
        owner = Owner.parse(as_text(data))
    except ValueError as error:
        check_message(error)
        return
    assert Owner.parse(str(owner)) == owner
    assert Owner.read(owner.members()) == owner


def read_if_match(data: bytes) -> None:
    """Read the header: any text is one."""
    found = expected_cookies(data.decode("latin-1"))
    assert found is None or all(0 <= cookie < 10**20 for cookie in found)


def read_authorization(data: bytes) -> None:
    """Read the header of somebody on TCP: one token is known, and nothing else lets anybody in."""
    header = data.decode("latin-1")
    try:
        caller = identify({"gunicorn.socket": OVER_TCP, "HTTP_AUTHORIZATION": header}, KNOWN)
    except UnauthenticatedError:
        return
    assert header.lower().startswith("bearer ")
    assert header[7:] == "sd_known"
    assert caller.owner == Owner(token="ci")


ADDRESSES = (
    b"127.0.0.1:80",
    b"[::1]:443",
    b"[fe80::1%lo]:1",
    b"localhost:http",
    b":80",
    b"/run/x.sock",
    b"@name",
    b"vsock:host:1024",
    b"netlink:0:1",
    b"packet:lo:arp",
)
OBJECTS = (
    b'{"host":"127.0.0.1","port":0,"flags":["AI_PASSIVE"]}',
    b'{"host":"::1","port":80,"flowinfo":1,"scope_id":1}',
    b'{"service":"http","family":"inet"}',
    b'{"path":"/run/x.sock","mode":"0660","group":"www-data"}',
    b'{"abstract_base64":"%s"}' % base64.b64encode(b"x\0y"),
    b'{"unnamed":true}',
    b'{"cid":2,"port":1024}',
    b'{"pid":0,"groups":1,"family":"netlink"}',
    b'{"interface":"lo","protocol":"arp","packet_type":1,"hardware_address":"00:11","hardware_type":1}',
    b'{"family":"unspec"}',
)
PATTERNS = (
    b"*",
    b"127.0.0.0/8:1024-65535",
    b"[2001:db8::/32]:*",
    b"*:80-",
    b"unix:/run/{user}/",
    b"unix:@{user}.*",
    b"vsock:*:1024-",
    b"netlink:*",
)
POLICIES = (
    b'version = 1\n[total]\nsockets = 9\n[[rule]]\nname = "a"\nanyone = true\nbind = ["*:80"]\n',
    (
        b'version = 1\n[[rule]]\nname = "b"\nuid = [1000]\ngroup = "web"\nfamilies = "*"\ntypes = "stream"\n'
        b'protocols = ["icmp"]\noptions = ["SO_*", "6:1"]\nnames = "{user}.*"\nsee = ["uid:33"]\n'
        b'connect = "unix:/run/{user}/"\ntake = true\nquota = { requests_per_s = 0.5, burst = 2 }\n'
    ),
    b"version = " + b"1" * 5000,
    b"version = " + b"[" * 3000,
)
TOKEN = b'[[token]]\nname = "ci"\nsha256 = "%s"\n' % (b"0" * 64)
TOKEN_FILES = (
    TOKEN + b"expires = 2030-01-31\n",
    TOKEN + b"expires = 0001-01-01T00:00:00+23:59\n",
    b"token = " + b"[" * 3000,
    b"token = " + b"1" * 5000,
)
POLICY_WORDS = (
    *("version = 1", "[[rule]]", "[total]", 'name = "', "anyone = true", "daemon_user = true", "user = "),
    *(
        "uid = ",
        "gid = ",
        "group = ",
        "token = ",
        "certificate = ",
        "families = ",
        "types = ",
        "protocols = ",
    ),
    *("bind = ", "connect = ", "options = ", "names = ", "see = ", "take = true", "quota = { sockets = 1 }"),
    *("requests_per_s = ", "{user}", "unix:/", "unix:@", "vsock:", "netlink:*", "127.0.0.0/8:", "[::]:"),
    *('"all"', '"own"', '"*"', "SO_*", "TCP_NODELAY", "inf", "nan", "1979-05-27"),
)
OBJECT_WORDS = (
    *("host", "port", "service", "flags", "flowinfo", "scope_id", "path", "path_base64", "abstract", "cid"),
    *("abstract_base64", "unnamed", "mode", "group", "pid", "groups", "interface", "protocol", "family"),
    *("packet_type", "hardware_type", "hardware_address", "inet6", "unix", "vsock", "packet", "4294967295"),
    *("-1", "1e400", "AI_PASSIVE", "AI_NUMERICHOST", r"\ud800", r"\u0000"),
)

TEXTS = {
    "address": Target(
        read_address, ADDRESSES, ("127.0.0.1", "::ffff:", "%lo", "vsock:", "netlink:", "packet:", "any", "\0")
    ),
    "address-member": Target(read_address_member, OBJECTS, OBJECT_WORDS),
    "pattern": Target(read_pattern, PATTERNS, ("unix:", "unix:@", "vsock:", "{user}", "/32", "65535", "::")),
    "policy": Target(read_policy, POLICIES, POLICY_WORDS),
    "token-file": Target(
        read_tokens, TOKEN_FILES, ("[[token]]", "name = ", "sha256 = ", "expires = ", "2030-01-31T00:00:00Z")
    ),
    "owner": Target(read_owner, (b"uid:0", b"33", b"token:ci", b"certificate:web1"), ("uid:", "token:")),
    "if-match": Target(read_if_match, (b'"123"', b'W/"1", "2"', b"*", b'"18446744073709551615",')),
    "authorization": Target(
        read_authorization, (b"Bearer sd_known", b"bearer x", b"Basic eDp5"), ("sd_known",)
    ),
}
