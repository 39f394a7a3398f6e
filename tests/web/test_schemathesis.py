"""Every operation of openapi.yaml, with what its schemas allow and what not: answered as documented."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from socketd.service import Limits
from socketd.web.spec import document_text
from tests.soak import IS_SOAK
from tests.web.few_others import have_few_others
from tests.web.in_process import Web, serving, without_dns

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EXAMPLES = 1000 if IS_SOAK else 30
LIMITS = Limits(max_timeout_s=0.01, default_timeout_s=0, max_count=10, max_recv_bytes=65536, descriptors=4096)


def never_500(_context: Any, response: Any, _case: Any) -> None:
    """Check that the fault is never the daemon's own; 502 to 504 tell what the kernel said of the peer."""
    assert response.status_code != 500, response.text


CHECKS = (
    never_500,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


class Served:
    """The WSGI application of the document; the module's fixture says what is behind it."""

    web: Web

    def begin(self, web: Web) -> None:
        """Have three sockets there, so that some requests meet one."""
        self.web = web
        web.pair()
        web.create(name="web", bind="127.0.0.1:0", listen=True)
        self._there = set(web.service.table.entries())

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Give the request the caller's connection, as gunicorn does; let only a few sockets be held."""
        environ["gunicorn.socket"] = self.web.connection
        self.tidy()
        return self.web.app.wsgi_app(environ, start_response)

    def tidy(self) -> None:
        """Close what requests have made; they may also have closed what was there before."""
        for entry in self.web.service.table.entries():
            if entry not in self._there:
                self.web.service.table.close(entry)


served = Served()
schema = schemathesis.openapi.from_dict(yaml.safe_load(document_text()))
have_few_others(schema)
schema.app = served  # operations note it when they are made, so before any fixture runs


def _read_all(client: socket.socket) -> None:
    """Be a client that reads: what it takes comes before the answers, and one that does not is hung up on."""
    while client.recv(65536):
        pass


@pytest.fixture(scope="module", autouse=True)
def _application() -> Iterator[None]:
    """Serve the document."""
    with serving(limits=LIMITS, resolver=without_dns) as web:
        reading = threading.Thread(target=_read_all, args=(web.far_end,))
        reading.start()
        served.begin(web)
        yield
        web.connection.shutdown(socket.SHUT_RDWR)
        reading.join()


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    served.tidy()


# What goes on until its reader leaves: tests/web/test_events.py and test_streams.py are about it.
@schema.exclude(path="/v1/events").exclude(path="/v1/sockets/{ref}/stream", method="GET").parametrize()
@settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_answer_is_as_documented(case):
    case.call_and_validate(checks=CHECKS)
