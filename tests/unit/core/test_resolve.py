"""What is asked for becomes addresses to try in order, and the resolver's own words when there are none."""

from __future__ import annotations

import errno
import socket
from typing import Any, NoReturn

import pytest

from socketd.core import address_text
from socketd.core.address import UNSPEC, Address, Service
from socketd.core.resolve import Question, addrinfo, candidates, matching
from socketd.errors import InvalidRequestError, ResolveError
from tests.held import FixedResolver

TWO = FixedResolver({"two": ["::1", "127.0.0.1"], "double": ["127.0.0.1", "127.0.0.1"]})
INET, INET6, STREAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM


def unasked(*_: object) -> NoReturn:
    raise AssertionError("no resolver is needed for this")


def failing(error: Exception) -> Any:
    def resolver(*_: object) -> NoReturn:
        raise error

    return resolver


@pytest.mark.parametrize(
    ("question", "symbol"),
    [
        (Question("no.such.host.invalid", "80", flags=socket.AI_NUMERICHOST), "EAI_NONAME"),
        (Question("127.0.0.1", "nosuchservice"), "EAI_SERVICE"),
        (Question("127.0.0.1", "http", flags=socket.AI_NUMERICSERV), "EAI_NONAME"),
        (Question("127.0.0.1", "80", flags=1 << 30), "EAI_BADFLAGS"),
        (Question("127.0.0.1", "80", family=99), "EAI_FAMILY"),
        (Question("127.0.0.1", "80", type=99), "EAI_SOCKTYPE"),
        (Question("x" * 64 + ".example", "80"), "EAI_NONAME"),
        (Question("a..b", "80"), "EAI_NONAME"),
        (Question("a\0b", "80"), "EAI_NONAME"),
        (Question("\ud800", "80"), "EAI_NONAME"),
        (Question("127.0.0.1", "\ud800"), "EAI_NONAME"),
        (Question("127.0.0.1", "80", family=2**40), "EAI_NONAME"),
    ],
)
def test_a_refusal_has_the_resolvers_symbol(question: Question, symbol: str):
    with pytest.raises(ResolveError) as caught:
        addrinfo(socket.getaddrinfo, question)
    assert caught.value.symbol == symbol
    assert caught.value.number == getattr(socket, symbol)
    assert caught.value.syscall == "getaddrinfo"


def test_a_name_server_that_does_not_answer_is_worth_another_try():
    with pytest.raises(ResolveError) as caught:
        addrinfo(failing(socket.gaierror(socket.EAI_AGAIN, "again")), Question("name", "80"))
    assert (caught.value.symbol, caught.value.title) == ("EAI_AGAIN", "name, 80: again")
    assert "try again" in (caught.value.hint or "")


def test_an_error_number_nobody_knows_is_told_as_it_is():
    with pytest.raises(ResolveError) as caught:
        addrinfo(failing(socket.gaierror(-99, "odd")), Question("name", None))
    assert (caught.value.symbol, caught.value.number) == ("EAI_-99", -99)


def test_a_resolver_that_fails_itself_is_eai_system():
    with pytest.raises(ResolveError) as caught:
        addrinfo(failing(OSError(errno.EMFILE, "Too many open files")), Question("name", "80"))
    assert caught.value.symbol == "EAI_SYSTEM"
    assert "Too many open files" in str(caught.value)


def test_an_address_of_another_family_is_refused():
    with pytest.raises(InvalidRequestError) as caught:
        matching(Address(INET, ("127.0.0.1", 80)), INET6)
    assert caught.value.symbol == "EAFNOSUPPORT"
    assert "::ffff:" in (caught.value.hint or "")


@pytest.mark.parametrize("endpoint", [Service("localhost", "80"), Address(INET, ("127.0.0.1", 80))])
def test_an_inet_address_does_not_fit_a_unix_socket(endpoint: Address | Service):
    with pytest.raises(InvalidRequestError) as caught:
        candidates(endpoint, socket.AF_UNIX, STREAM, unasked)
    assert caught.value.symbol == "EAFNOSUPPORT"


def test_a_name_without_an_address_of_the_family_is_what_the_resolver_says():
    with pytest.raises(ResolveError):
        candidates(Service("127.0.0.1", "80"), INET6, STREAM, socket.getaddrinfo)


def test_a_literal_asks_no_resolver():
    (found,) = candidates(address_text.parse("[::1]:80"), None, STREAM, unasked)
    assert found == Address(INET6, ("::1", 80, 0, 0))


def test_no_address_at_all_is_none_to_bind_or_send_to():
    with pytest.raises(InvalidRequestError) as caught:
        candidates(UNSPEC, INET, socket.SOCK_DGRAM, unasked)
    assert caught.value.symbol == "EAFNOSUPPORT"


def test_every_result_is_a_candidate_in_the_resolvers_order():
    found = candidates(Service("two", "80"), None, STREAM, TWO)
    assert found == (Address(INET6, ("::1", 80, 0, 0)), Address(INET, ("127.0.0.1", 80)))


def test_candidates_are_of_the_sockets_family():
    assert candidates(Service("two", "80"), INET, STREAM, FixedResolver({"two": ["127.0.0.1"]})) == (
        Address(INET, ("127.0.0.1", 80)),
    )


def test_no_address_is_tried_twice():
    assert len(candidates(Service("double", "80"), INET, STREAM, TWO)) == 1


def test_a_host_left_out_is_every_address_when_binding_and_loopback_when_connecting():
    service = Service(None, "80")
    (passive,) = candidates(service, INET, STREAM, socket.getaddrinfo, socket.AI_PASSIVE)
    (active,) = candidates(service, INET, STREAM, socket.getaddrinfo)
    assert passive.sockaddr == ("0.0.0.0", 80)
    assert active.sockaddr == ("127.0.0.1", 80)


def test_a_raw_socket_is_given_addresses_though_getaddrinfo_has_no_services_for_it():
    assert candidates(Service("127.0.0.1", "0"), INET, socket.SOCK_RAW, socket.getaddrinfo)


def test_a_canonical_name_is_told():
    found = addrinfo(socket.getaddrinfo, Question("127.0.0.1", "80", flags=socket.AI_CANONNAME))
    assert found[0].canonical_name == "127.0.0.1"
