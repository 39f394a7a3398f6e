"""The application in the test's own process, with a real connection; every answer is held to its schema."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from socketd import service
from socketd.access.tokens import Token, Tokens, digest_of
from socketd.core.keeping import ALONE
from socketd.core.owner import Owner
from socketd.web.app import WebSettings, create_app
from socketd.web.schemas import caller, events, forwards, host, names, operations, sockets, streams, transfer
from socketd.web.schemas.problem import ProblemSchema
from socketd.web.specification import read
from tests.held import EVERYBODY_MAY, new_pump
from tests.waiters import PollWaiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from marshmallow import Schema
    from werkzeug.test import TestResponse

    from socketd.core.seams import Keeper, Resolver, SpecificationStore
    from socketd.service.guard import InForce

JSON: Final = "application/json"
BODY_BYTES: Final = 65536
RECV_BYTES: Final = 1_000_000
PROBLEM: Final = ProblemSchema()
SOCKET: Final = sockets.SocketSchema()
SOCKET_VIEWS: Final = ("bind_socket", "listen_socket", "connect_socket", "shutdown_socket")
ANSWERS: Final[dict[str, Schema]] = {
    "sockets.create_socket": SOCKET,
    "sockets.get_socket": SOCKET,
    "names.ensure_socket": SOCKET,
    "names.list_names": names.NamesSchema(),
    "names.show_name": names.NamedSchema(),
    **{f"operations.{view}": SOCKET for view in SOCKET_VIEWS},
    "sockets.list_sockets": sockets.PageSchema(),
    "sockets.accept_connections": sockets.SocketsSchema(),
    "sockets.create_pair": sockets.SocketsSchema(),
    "operations.socket_info": operations.InfoSchema(),
    "options.list_options": operations.OptionsSchema(),
    "options.get_option": operations.OptionSchema(),
    "options.set_option": operations.OptionSchema(),
    "sending.send": transfer.SentSchema(),
    "receiving.receive": transfer.ReceivedSchema(),
    "streams.write_stream": streams.StreamedSchema(),
    "passing.take_socket": SOCKET,
    "passing.take_sockets": sockets.SocketsSchema(),
    "passing.give_sockets": SOCKET,
    "forwards.create_forward": forwards.ForwardSchema(),
    "forwards.list_forwards": forwards.ForwardsSchema(),
    "forwards.show_forward": forwards.ForwardSchema(),
    "forwards.stop_forward": forwards.ForwardSchema(),
    "polling.poll_sockets": transfer.PolledSchema(),
    "process.show_process": host.ProcessSchema(),
    "process.list_descriptors": host.DescriptorsSchema(),
    "process.show_descriptor": host.FdInfoSchema(),
    "resolver.get_addrinfo": host.AddrinfoSchema(),
    "arithmetic.convert_byteorder": host.ByteOrderSchema(),
    "arithmetic.describe_network": host.NetworkSchema(),
    "root.service_document": host.ServiceSchema(),
    "caller.show_caller": caller.StandingSchema(),
    "root.health": host.HealthSchema(),
    "events.follow_events": events.EventSchema(),
}
"""What a JSON answer of each view has to be, strictly: an unknown member fails, so does a missing one."""


def known(token: str | None) -> Tokens:
    """Make the tokens of a daemon that was told one, or none."""
    return Tokens([] if token is None else [Token(Owner(os.getuid()), digest_of(token))])


class Web:
    """The application, and how a test asks it.

    Args:
        token: What TCP callers would send.
        limits: Replace those of ``service.Limits``.
        resolver: Replaces the system's.
        store: Where specifications are saved.
        keeper: Who holds second copies.
        more: ``max_…`` of ``WebSettings``.
    """

    def __init__(
        self,
        token: str | None = None,
        limits: service.Limits | None = None,
        resolver: Resolver = socket.getaddrinfo,
        store: SpecificationStore = service.NO_ARCHIVE.store,
        keeper: Keeper = ALONE,
        policies: InForce = EVERYBODY_MAY,
        **more: Any,
    ) -> None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limits = limits or service.Limits(
            max_timeout_s=60, max_recv_bytes=RECV_BYTES, descriptors=min(descriptors, 65536)
        )
        archive = service.Archive(store, read)
        self.service = service.build(
            self.limits,
            resolver=resolver,
            clock=time,
            keeper=keeper,
            archive=archive,
            policies=policies,
            pump=new_pump(),
        )
        self.connection, self.far_end = socket.socketpair()
        self.waiter = PollWaiter(self.connection.fileno())
        settings = {
            "max_body_bytes": BODY_BYTES,
            "max_recv_bytes": RECV_BYTES,
            "max_waits": 100,
            "max_count": 100,
        }
        settings |= more
        self.app: Flask = create_app(
            self.service,
            waiter_for=lambda _environ: self.waiter,
            settings=WebSettings(
                **settings, max_timeout_s=60, default_timeout_s=30, tokens=known(token), version="0"
            ),
        )

    def close(self) -> None:
        """Close every socket, held ones and our own."""
        self.service.close()
        self.connection.close()
        self.far_end.close()

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """Make one request; a body that is not bytes goes as JSON. The answer has been checked."""
        sent: dict[str, Any] = {"headers": headers or {}, **more}
        if body is not None:
            sent["data"] = body if isinstance(body, bytes) else json.dumps(body)
            sent.setdefault("content_type", "application/octet-stream" if isinstance(body, bytes) else JSON)
        environ = {"gunicorn.socket": self.connection, "wsgi.input_terminated": True}
        answer = self.app.test_client().open(path, method=method, environ_overrides=environ, **sent)
        self._check(method, answer)
        return answer

    def create(self, **wanted: Any) -> dict[str, Any]:
        """Create a socket and return its representation."""
        answer = self.ask("POST", "/v1/sockets", wanted)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json
        return made

    def pair(self, kind: str = "stream") -> tuple[int, int]:
        """Make a Unix pair and return the numbers."""
        answer = self.ask("POST", "/v1/socketpairs", {"type": kind})
        assert answer.status_code == 201, answer.text
        left, right = answer.json["sockets"]
        return left["fd"], right["fd"]

    def done(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Ask for what must succeed and return the JSON."""
        answer = self.ask(method, path, body, headers)
        assert answer.status_code < 300, answer.text
        return answer.json

    def refused(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Ask for what must be refused; return status and errno."""
        answer = self.ask(method, path, body, headers)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json["errno"]

    def wrong_members(self, method: str, path: str, body: Any = None) -> set[str]:
        """Ask for what the schema refuses; return the members it names."""
        answer = self.ask(method, path, body)
        assert answer.status_code == 422, answer.text
        return set(answer.json["members"])

    def _check(self, method: str, answer: TestResponse) -> None:
        assert answer.status_code != 500, answer.text
        assert answer.headers["X-Request-Id"]
        if answer.status_code >= 400:
            check_problem(answer)
        elif answer.mimetype == JSON:
            url = self.app.url_map.bind("localhost")
            endpoint, _ = url.match(answer.request.path, method)
            check_answer(endpoint, answer.json)


def check_answer(endpoint: str, body: Any) -> None:
    """Hold a JSON answer to the schema that the document names for its view."""
    many = isinstance(body, dict) and set(body) == {"sockets"}
    schema = sockets.SocketsSchema() if many else ANSWERS[endpoint]
    schema.load(body)


def check_problem(answer: TestResponse) -> None:
    """Hold an error to the one body: every member there, status and id as in the head."""
    assert answer.mimetype == "application/problem+json", answer.text
    body = answer.json
    PROBLEM.load(body)
    assert body["status"] == answer.status_code
    assert body["instance"] == answer.headers["X-Request-Id"]
    assert body["type"].endswith(f"#{body['errno']}")
    assert body["title"]
    assert body["detail"]
    if answer.status_code in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0


def without_dns(host: str | None, *rest: Any) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
    """Look up what needs no name server: ``localhost`` and numbers."""
    *others, flags = rest
    if host not in (None, "localhost"):
        flags |= socket.AI_NUMERICHOST
    return socket.getaddrinfo(host, *others, flags)


@contextmanager
def serving(**more: Any) -> Iterator[Web]:
    """Make an application for the body."""
    web = Web(**more)
    try:
        yield web
    finally:
        web.close()


@pytest.fixture(scope="module")
def _module_web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def web(_module_web: Web) -> Iterator[Web]:
    """The module's application, which holds nothing when a test begins."""
    try:
        yield _module_web
    finally:
        _module_web.service.table.close_all()
