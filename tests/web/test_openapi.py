"""openapi.yaml: what the daemon makes of its schemas, valid, and of one mind with the routes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from socketd.web.spec import document_text
from tests.web.in_process import ANSWERS

if TYPE_CHECKING:
    from tests.web.in_process import Web

COMMITTED = Path(__file__).parents[2] / "openapi.yaml"
UNDOCUMENTED = {"/openapi.yaml", "/docs", "/docs/errors"}
METHODS = {"get", "put", "post", "delete"}


@pytest.fixture(scope="module")
def document() -> dict:
    return yaml.safe_load(document_text())


def routes(web: Web) -> set[tuple[str, str]]:
    """List what the application serves, in the document's spelling."""
    return {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in web.app.url_map.iter_rules()
        for method in rule.methods
        if method.lower() in METHODS
    }


def resolved(document: dict, found: dict) -> dict:
    """Follow a reference, if it is one."""
    if "$ref" not in found:
        return found
    _, kind, name = found["$ref"].removeprefix("#/").split("/")
    return document["components"][kind][name]


def test_committed_document_is_the_one_that_the_schemas_make():
    assert COMMITTED.read_text() == document_text(), "run `make openapi`"


def test_document_is_valid(document):
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_running_daemon_serves_the_document(web: Web, document):
    answer = web.ask("GET", "/openapi.yaml")
    assert (answer.status_code, answer.mimetype) == (200, "application/yaml")
    assert yaml.safe_load(answer.text) == document


def test_document_is_the_same_each_time_it_is_asked_for(web: Web):
    first, second = (web.ask("GET", "/openapi.yaml").text for _ in range(2))
    assert first == second


def test_requests_are_closed_and_answers_may_grow(document):
    shapes = document["components"]["schemas"]
    assert shapes["Create"]["additionalProperties"] is False
    assert "additionalProperties" not in shapes["Socket"]


def test_document_has_no_shape_that_nothing_leads_to(document):
    text = str(document["paths"]) + str(document["components"]["schemas"])
    assert [name for name in document["components"]["schemas"] if f"/schemas/{name}'" not in text] == []


def test_answers_say_which_headers_they_have(document):
    def headers(path: str, method: str, status: str) -> set[str]:
        found = document["paths"][path][method]["responses"][status]["headers"]
        return {name for name, header in found.items() if "$ref" not in header}

    assert headers("/v1/sockets", "post", "201") == {"ETag", "Location"}
    assert headers("/v1/sockets/{ref}", "get", "200") == {"ETag"}
    received = {"Socket-Eof", "Socket-From", "Socket-Flags", "Socket-Length"}
    assert headers("/v1/sockets/{ref}/recv", "post", "200") == received


def test_every_operation_may_name_the_daemon_and_every_answer_does(document):
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            given = (*item.get("parameters", ()), *item[method]["parameters"])
            found = [resolved(document, each) for each in given]
            names = [(each["in"], each["name"]) for each in found]
            assert names.count(("header", "Socketd-Instance")) == 1, path
            is_keyed = method != "get" or path.endswith(("/stream", "/options/{name}"))
            assert names.count(("header", "Idempotency-Key")) == is_keyed, path
            for answer in item[method]["responses"].values():
                assert resolved(document, answer)["headers"].keys() >= {"Socketd-Instance", "X-Request-Id"}
            assert "other_instance" in resolved(document, item[method]["responses"]["412"])["description"]


def test_document_has_every_route_and_no_other(web: Web, document):
    documented = {
        (path, method) for path, item in document["paths"].items() for method in item if method in METHODS
    }
    assert documented == {(path, method) for path, method in routes(web) if path not in UNDOCUMENTED}


def test_every_operation_says_what_it_does_and_how_it_fails(document):
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            operation = item[method]
            assert operation["summary"].endswith("."), path
            refused = resolved(document, operation["responses"]["default"])
            assert "application/problem+json" in refused["content"], path
            assert any(status.startswith(("2", "101")) for status in map(str, operation["responses"])), path


def test_every_view_has_its_answer_held_to_a_schema(web: Web):
    views = {rule.endpoint for rule in web.app.url_map.iter_rules() if rule.rule not in UNDOCUMENTED}
    without_json = {"sockets.close_socket", "names.delete_name", "metrics.show_metrics"}
    without_json |= {"tunnel.open_tunnel", "tunnel.open_websocket", "streams.read_stream"}
    assert views - without_json == set(ANSWERS)


def test_reference_is_readable_offline(web: Web):
    answer = web.ask("GET", "/docs")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
