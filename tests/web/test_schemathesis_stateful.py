"""Chains of operations of openapi.yaml, each made with what the ones before answered; all is closed again."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from socketd.service import Limits
from socketd.web.spec import document_text
from tests.soak import IS_SOAK
from tests.web.in_process import Web, serving, without_dns

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(max_timeout_s=0.01, default_timeout_s=0, max_count=10, max_recv_bytes=65536, descriptors=4096)
MOST_RUNS = 5
FAULT = 500  # 502 to 504 tell what the kernel said of the peer


class Served:
    """The WSGI application of the document; the test says what is behind it."""

    web: Web

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Give the request the caller's connection, as gunicorn does."""
        environ["gunicorn.socket"] = self.web.connection
        return self.web.app.wsgi_app(environ, start_response)


def never_at_fault(_context: Any, response: Any, _case: Any) -> None:
    """Check that the fault is not the daemon's own."""
    assert response.status_code != FAULT, response.text


CHECKS = [
    never_at_fault,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def linked() -> dict[str, Any]:
    """Return the document, saying besides where number and ETag of a new socket go.

    Headers that all operations have are left out: by them an answer depends on what came before its chain.
    """
    document = yaml.safe_load(document_text())
    for item in document["paths"].values():
        for operation in (item[method] for method in item if method != "parameters"):
            operation["parameters"] = [each for each in operation["parameters"] if "$ref" not in each]
    links = {
        f"{method} {path}": {
            "operationRef": f"#/paths/{path.replace('/', '~1')}/{method}",
            "parameters": {"ref": "$response.body#/fd", "header.If-Match": "$response.header.ETag"},
        }
        for path, operations in document["paths"].items()
        for method in operations
        if "{ref}" in path and method != "parameters"
    }
    for path, method in (("/v1/sockets", "post"), ("/v1/names/{name}", "put")):
        document["paths"][path][method]["responses"]["201"].setdefault("links", {}).update(links)
    return document


served = Served()
schema = schemathesis.openapi.from_dict(linked())
schema.app = served


def _read_all(client: socket.socket) -> None:
    """Be a client that reads: what it takes comes before the answers, and one that does not is hung up on."""
    while client.recv(65536):
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(limits=LIMITS, resolver=without_dns) as web:
        reading = threading.Thread(target=_read_all, args=(web.far_end,))
        reading.start()
        served.web = web
        yield web
        web.connection.shutdown(socket.SHUT_RDWR)
        reading.join()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path object per descriptor


def test_chains_are_answered_as_documented_and_leave_nothing_open(web: Web):
    before = open_descriptors()
    reached: set[tuple[str, int]] = set()

    def chains() -> type[Any]:
        class Chains(schema.as_state_machine()):  # type: ignore[misc]
            def validate_response(self, response: Any, case: Any, *_args: Any, **_more: Any) -> None:
                reached.add((f"{case.method} {case.path}", response.status_code))
                case.validate_response(response, checks=CHECKS)

            def teardown(self) -> None:
                web.service.table.close_all()
                super().teardown()

        return Chains

    def has_met_a_socket() -> bool:
        return any("{ref}" in operation and status < 300 for operation, status in reached)

    # A chain that only ever meets sockets that are not there tests nothing; they are made by chance.
    for _ in range(MOST_RUNS):
        run_state_machine_as_test(
            chains(),
            settings=settings(
                max_examples=500 if IS_SOAK else 40,
                stateful_step_count=30 if IS_SOAK else 10,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if has_met_a_socket():
            break
    assert open_descriptors() == before
    assert has_met_a_socket(), reached
