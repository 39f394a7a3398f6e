"""Whatever is sent as address, name, size, flag or option: an answer, never a 500, nothing left open."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socketd.core.options import OPTIONS
from socketd.service import Limits
from tests.soak import IS_SOAK
from tests.web.in_process import Web, serving, without_dns

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EXAMPLES = 5000 if IS_SOAK else 150
LIMITS = Limits(max_timeout_s=0.005, default_timeout_s=0, max_count=8, max_recv_bytes=65536, descriptors=4096)
FUZZ = settings(
    max_examples=MAX_EXAMPLES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)

INTEGERS = st.one_of(
    st.integers(-2, 70_000),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32]),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
FAMILIES = st.sampled_from(
    [
        "inet",
        "inet6",
        "unix",
        "vsock",
        "netlink",
        "packet",
        "unspec",
        "AF_INET",
        "x25",
        "can",
        "alg",
        "bluetooth",
        "xdp",
    ]
)
TYPES = st.sampled_from(["stream", "dgram", "raw", "seqpacket", "rdm", "dccp", "packet", 1, 2, 3, 5])
PROTOCOLS = st.one_of(
    st.sampled_from([0, "tcp", "udp", "icmp", "mptcp", "sctp", "udplite", "route", 255]), st.integers(0, 300)
)
HOSTS = st.one_of(
    st.sampled_from(
        [
            "127.0.0.1",
            "::1",
            "localhost",
            "0.0.0.0",
            "::",
            "*",
            "",
            "fe80::1%lo",
            "::ffff:127.0.0.1",
            "1",
            "0x7f.1",
        ]
    ),
    TEXT,
)
PORTS = st.one_of(st.integers(0, 65535), INTEGERS, TEXT)
SUN_PATH = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=120)
MEMBERS = {
    "family": st.one_of(FAMILIES, INTEGERS),
    "host": st.one_of(HOSTS, st.none()),
    "port": PORTS,
    "service": st.one_of(st.sampled_from(["0", "http", "3490"]), TEXT),
    "flags": st.one_of(
        st.lists(st.sampled_from(["AI_PASSIVE", "AI_NUMERICHOST", "AI_ALL", "AI_IDN"]), max_size=3), VALUES
    ),
    "flowinfo": INTEGERS,
    "scope_id": INTEGERS,
    "abstract": TEXT,
    "abstract_base64": st.binary(max_size=120).map(lambda raw: base64.b64encode(raw).decode()),
    "path": SUN_PATH.map("/nowhere/{}".format),
    "unnamed": st.booleans(),
    "cid": INTEGERS,
    "pid": INTEGERS,
    "groups": INTEGERS,
    "interface": st.one_of(st.just("lo"), TEXT),
    "protocol": st.one_of(INTEGERS, st.just("all")),
    "hardware_address": st.one_of(st.just("00:00:00:00:00:00"), TEXT),
    "hardware_type": INTEGERS,
}
ADDRESS_OBJECTS = st.one_of(
    st.fixed_dictionaries({}, optional=MEMBERS),
    st.fixed_dictionaries({"host": HOSTS, "port": PORTS}),
    st.sampled_from(list(MEMBERS)).flatmap(lambda name: st.fixed_dictionaries({name: MEMBERS[name]})),
)
ADDRESS_TEXTS = st.one_of(
    TEXT,
    st.tuples(HOSTS, PORTS).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    st.tuples(HOSTS, PORTS).map(lambda pair: f"[{pair[0]}]:{pair[1]}"),
    SUN_PATH.map("/nowhere/{}".format),
    TEXT.map("@{}".format),
    st.tuples(INTEGERS, INTEGERS).map(lambda pair: f"vsock:{pair[0]}:{pair[1]}"),
    st.tuples(INTEGERS, INTEGERS).map(lambda pair: f"netlink:{pair[0]}:{pair[1]}"),
    TEXT.map("packet:lo:{}".format),
)
ADDRESSES = st.one_of(ADDRESS_OBJECTS, ADDRESS_TEXTS)
OPTION_NAMES = st.one_of(
    st.sampled_from([option.name for option in OPTIONS]),
    st.tuples(st.sampled_from([0, 1, 6, 17, 41, 58, 255, 262, 263, 270]), st.integers(0, 90)).map(
        lambda at: f"{at[0]}:{at[1]}"
    ),
    TEXT,
)
OPTION_VALUES = st.one_of(
    st.binary(max_size=160).map(lambda raw: {"base64": base64.b64encode(raw).decode()}),
    VALUES.map(lambda value: {"value": value}),
)
NAMES = st.one_of(st.from_regex(r"\A[A-Za-z][A-Za-z0-9._@-]{0,254}\Z"), TEXT)
FLAGS = st.lists(
    st.one_of(
        st.sampled_from(
            ["MSG_PEEK", "MSG_OOB", "MSG_WAITALL", "MSG_TRUNC", "MSG_ERRQUEUE", "MSG_MORE", "MSG_EOR"]
        ),
        TEXT,
    ),
    max_size=3,
)

SPECIFICATION = {
    "family": FAMILIES,
    "type": TYPES,
    "protocol": PROTOCOLS,
    "bind": ADDRESSES,
    "connect": ADDRESSES,
    "name": NAMES,
    "count": st.integers(-1, 10),
    "options": st.dictionaries(OPTION_NAMES, VALUES, max_size=2),
    "listen": st.one_of(st.booleans(), st.fixed_dictionaries({"backlog": INTEGERS})),
    "timeout": st.floats(-1, 1e300),
}
ENCODINGS = st.sampled_from(["auto", "text", "base64"])
MESSAGES = st.fixed_dictionaries({}, optional={"text": TEXT, "to": ADDRESSES})


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Web]:
    """An application that waits for nothing and asks no name server."""
    with serving(limits=LIMITS, resolver=without_dns) as web:
        yield web


@pytest.fixture(autouse=True)
def _nothing_is_left(fuzzed: Web) -> Iterator[None]:
    def descriptors() -> set[int]:
        told = fuzzed.done("GET", "/v1/process/fds", None, {"Accept": "application/json"})
        return {row["fd"] for row in told["descriptors"]}

    before = descriptors()
    yield
    fuzzed.service.table.close_all()
    assert descriptors() == before


def segment(text: object) -> str:
    """Write anything as one segment of a path."""
    return quote(str(text), safe="") or "%20"


def created(web: Web, wanted: dict[str, Any]) -> list[int]:
    """Create what is asked for; give the numbers of what came of it."""
    answer = web.ask("POST", "/v1/sockets", wanted)
    if answer.status_code != 201:
        return []
    return [one["fd"] for one in answer.json.get("sockets", [answer.json])]


@FUZZ
@given(st.fixed_dictionaries({}, optional=SPECIFICATION))
def test_creation(fuzzed: Web, wanted: dict[str, Any]):
    for fd in created(fuzzed, wanted):
        fuzzed.ask("GET", f"/v1/sockets/{fd}/info")
        fuzzed.ask("GET", f"/v1/sockets/{fd}/options")
        fuzzed.ask("GET", "/v1/process/fds", headers={"Accept": "text/plain"})
        assert fuzzed.ask("DELETE", f"/v1/sockets/{fd}").status_code == 204


@FUZZ
@given(
    family=FAMILIES,
    kind=TYPES,
    calls=st.lists(st.tuples(st.sampled_from(["bind", "connect"]), ADDRESSES), max_size=3),
)
def test_addresses(fuzzed: Web, family: Any, kind: Any, calls: list[tuple[str, Any]]):
    for fd in created(fuzzed, {"family": family, "type": kind}):
        for call, address in calls:
            fuzzed.ask("POST", f"/v1/sockets/{fd}/{call}", {"address": address, "timeout": 0})
            fuzzed.ask("GET", f"/v1/sockets/{fd}")
        fuzzed.ask("DELETE", f"/v1/sockets/{fd}")


@FUZZ
@given(family=FAMILIES, kind=TYPES, name=OPTION_NAMES, value=OPTION_VALUES, length=INTEGERS)
def test_options(fuzzed: Web, family: Any, kind: Any, name: str, value: dict[str, Any], length: int):
    for fd in created(fuzzed, {"family": family, "type": kind}):
        path = f"/v1/sockets/{fd}/options/{segment(name)}"
        fuzzed.ask("PUT", path, value)
        fuzzed.ask("GET", path)
        fuzzed.ask("GET", f"{path}?length={length}")
        fuzzed.ask("DELETE", f"/v1/sockets/{fd}")


@FUZZ
@given(
    kind=st.sampled_from(["stream", "dgram", "seqpacket"]),
    sent=st.one_of(
        st.binary(max_size=300),
        st.fixed_dictionaries({}, optional={"text": TEXT, "base64": TEXT, "to": ADDRESSES, "flags": FLAGS}),
        st.fixed_dictionaries({"messages": st.lists(MESSAGES, max_size=3)}),
    ),
    wanted=st.fixed_dictionaries(
        {}, optional={"size": INTEGERS, "max": INTEGERS, "flags": FLAGS, "encoding": ENCODINGS}
    ),
    accept=st.sampled_from(["application/json", "*/*", "application/octet-stream", "text/html", ""]),
)
def test_transfers(fuzzed: Web, kind: str, sent: Any, wanted: dict[str, Any], accept: str):
    near, far = fuzzed.pair(kind)
    fuzzed.ask("POST", f"/v1/sockets/{near}/send", sent)
    for _ in range(2):
        fuzzed.ask("POST", f"/v1/sockets/{far}/recv", wanted, {"Accept": accept})
    for fd in (near, far):
        fuzzed.ask("DELETE", f"/v1/sockets/{fd}")


@FUZZ
@given(st.lists(st.fixed_dictionaries({"socket": VALUES}, optional={"events": VALUES}), max_size=4), VALUES)
def test_polls(fuzzed: Web, wanted: list[dict[str, Any]], timeout: Any):
    fuzzed.ask("POST", "/v1/poll", {"sockets": wanted, "timeout": timeout})


@FUZZ
@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2))
def test_references_and_queries(fuzzed: Web, one: str, other: str, query: dict[str, str]):
    first, second = segment(one), segment(other)
    for path in ("sockets", "sockets/{}", "networks/{}/{}", "byteorder/{}/{}", "process/fds/{}", "addrinfo"):
        fuzzed.ask("GET", f"/v1/{path.format(first, second)}", query_string=query)
    fuzzed.ask("GET", f"/v1/addrinfo?host={first}&service={second}")
    if fuzzed.ask("PUT", f"/v1/names/{first}", {}).status_code == 201:
        fuzzed.ask("DELETE", f"/v1/sockets/{first}")
