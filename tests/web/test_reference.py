"""The pages for people: everything the API has is on them, and nothing comes from elsewhere."""

from __future__ import annotations

import errno
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from socketd import errors as tree
from socketd.core.hints import HINTS, OUT_OF
from socketd.web import (
    answers,
    reference,
    reference_causes,
    reference_errors,
    reference_examples,
    reference_operations,
    reference_schemas,
)
from socketd.web.app import WebSettings, create_app
from socketd.web.spec import document

if TYPE_CHECKING:
    from flask import Flask

    from tests.daemon_process import DaemonProcess

ROOT = Path(__file__).parents[2]
FETCHING = {"script", "img", "link", "iframe", "object", "embed", "video", "audio", "source", "form", "base"}
# The codes of a request that is wrong in itself, whatever the sockets are.
NOT_BUILT = {
    "bad_request",
    "not_found",
    "method_not_allowed",
    "invalid_request",
    "malformed_body",
    "unsupported_media_type",
}


class Page(HTMLParser):
    """What a test asks of a page: its elements, anchors, links and the commands in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.anchors: list[str] = []
        self.links: set[str] = set()
        self.attributes: set[str] = set()
        self.commands: list[str] = []
        self._in_command = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_command = tag == "pre" or (self._in_command and tag == "code")
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.anchors.append(value or "")
            elif name == "href":
                self.links.add(value or "")

    def handle_data(self, data: str) -> None:
        if self._in_command:
            self.commands.append(data)
            self._in_command = False


@pytest.fixture(scope="module")
def app() -> Flask:
    """An application without a daemon: the pages are made of schemas, docstrings and tables."""
    settings = WebSettings(0, 0, 0, 0, 0, 0, None, "0")
    return create_app(None, waiter_for=lambda _: None, settings=settings)  # type: ignore[arg-type, return-value]


def page(app: Flask, path: str) -> Page:
    response = app.test_client().get(path)
    assert response.status_code == 200
    return Page(response.get_data(as_text=True))


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
def test_a_page_is_html_that_may_load_nothing(app: Flask, path: str) -> None:
    response = app.test_client().get(path)
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == reference.POLICY
    found = Page(response.get_data(as_text=True))
    assert not found.tags & FETCHING
    assert "src" not in found.attributes
    assert not [name for name in found.attributes if name.startswith("on")]


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
def test_every_link_of_a_page_leads_somewhere_in_this_daemon(app: Flask, path: str) -> None:
    found = page(app, path)
    assert len(set(found.anchors)) == len(found.anchors)
    for link in found.links:
        target = urlsplit(link)
        assert not target.netloc
        assert app.test_client().get(target.path or path).status_code == 200
        if target.fragment:
            assert target.fragment in found.anchors


def test_a_page_is_made_once(app: Flask) -> None:
    page(app, "/docs")
    marked = app.extensions["socketd.pages"]["operations"] + "<!-- kept -->"
    app.extensions["socketd.pages"]["operations"] = marked
    assert app.test_client().get("/docs").get_data(as_text=True) == marked
    del app.extensions["socketd.pages"]["operations"]


def test_every_operation_of_the_document_is_on_the_page_with_all_its_parameters(app: Flask) -> None:
    described = document(app.extensions["socketd.api"])
    reference = reference_operations.read(described)
    shown = {(made.method, made.path): made for group in reference.groups for made in group.operations}
    for path, methods in described["paths"].items():
        for method in set(methods) & set(reference_operations.METHODS):
            made = shown.pop((method.upper(), path))
            given = [*methods.get("parameters", []), *methods[method].get("parameters", [])]
            expected = [each["name"] for each in given if "$ref" not in each]
            assert [parameter.member.name for parameter in made.parameters] == expected
            assert len(made.bodies) == len(methods[method].get("requestBody", {}).get("content", {}))
    assert not shown


def test_what_every_operation_has_is_said_once(app: Flask) -> None:
    text = app.test_client().get("/docs").get_data(as_text=True)
    components = document(app.extensions["socketd.api"])["components"]
    for name in {*components["parameters"], *components["headers"]} - {"Idempotency-Key"}:  # uploads have one
        assert text.count(f"<code>{name}</code>") == 1, name


def test_the_headers_of_an_answer_are_shown() -> None:
    response = {
        "description": "OK",
        "headers": {"Socket-Eof": {"description": "It ended.", "schema": {"type": "boolean"}}},
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    described = {
        "info": {"title": "x", "version": "1", "description": ""},
        "tags": [{"name": "t", "description": "T"}],
        "components": {"schemas": {}},
        "paths": {"/x": {"get": {"tags": ["t"], "responses": {"200": response}}}},
    }
    (group,) = reference_operations.read(described).groups
    (header,) = group.operations[0].answers[0].headers
    assert (header.name, header.text) == ("Socket-Eof", "It ended.")


def test_every_shape_that_is_linked_to_is_on_the_page_with_all_its_members(app: Flask) -> None:
    described = document(app.extensions["socketd.api"])
    for shape in reference_operations.read(described).shapes:
        properties = described["components"]["schemas"][shape.name].get("properties", {})
        assert [member.name for member in shape.members] == list(properties)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": ["string", "null"]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Socket"}}, "list of Socket"),
        ({"anyOf": [{"$ref": "#/components/schemas/Socket"}, {"type": "null"}]}, "Socket or null"),
        ({"type": "string", "format": "binary"}, "bytes"),
        ({"type": "string", "contentEncoding": "base64"}, "string, base64"),
        ({}, "anything"),
    ],
)
def test_a_type_is_written_in_words(schema: dict[str, Any], kind: str) -> None:
    member = reference_schemas.member("x", schema, is_required=False)
    assert "".join(part.text for part in member.kind) == kind


@pytest.mark.parametrize(
    ("name", "schema", "facts"),
    [
        (
            "limit",
            {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 5},
            ("1 to 10,000", "default 5"),
        ),
        ("uptime_s", {"type": "number"}, ("in seconds",)),
        ("rtt_us", {"type": "integer", "minimum": 0}, ("in microseconds", "at least 0")),
        ("pair", {"type": "array", "minItems": 2, "maxItems": 2}, ("exactly 2 entries",)),
        ("text", {"type": "string", "maxLength": 1024}, ("at most 1,024 characters",)),
    ],
)
def test_bounds_units_and_defaults_are_written_in_words(
    name: str, schema: dict[str, Any], facts: tuple[str, ...]
) -> None:
    assert reference_schemas.member(name, schema, is_required=False).facts == facts


def test_every_operation_has_an_example_and_every_example_an_operation(app: Flask) -> None:
    reference = reference_operations.read(document(app.extensions["socketd.api"]))
    operations = {(made.method, made.path) for group in reference.groups for made in group.operations}
    assert set(reference_examples.EXAMPLES) == operations


def test_a_target_is_the_path_of_its_operation_filled_in() -> None:
    for (_, path), example in reference_examples.EXAMPLES.items():
        pattern = re.sub(r"\{\w+\}", "[^/{}]+", path)
        assert re.fullmatch(pattern, urlsplit(example.target).path)


def test_every_curl_line_is_a_request_that_the_daemon_understands(daemon: DaemonProcess) -> None:
    page_text = daemon.request("GET", "/docs").body.decode()
    commands = Page(page_text).commands
    assert len(commands) == len(reference_examples.EXAMPLES)
    for command in commands:
        assert daemon.request("PUT", "/v1/names/web", {"bind": "127.0.0.1:0", "listen": True}).status in (
            200,
            201,
        )
        _, *words = shlex.split(command.replace('--unix-socket "$S"', "").replace("$'", "'"))
        words = [_impatient(word) for word in words]
        answer = daemon.curl(*words, "-w", "\n%{content_type}").stdout
        body, _, content_type = answer.rpartition("\n")
        if content_type == "application/problem+json":
            assert json.loads(body)["code"] not in NOT_BUILT, f"{command}: {body}"


def _impatient(word: str) -> str:
    """Make the command's waits end at once, and its port one that is free."""
    if not word.startswith("{"):
        return word
    body = json.loads(word)
    return json.dumps({**body, "timeout": 0} if "timeout" in body else body).replace(
        "127.0.0.1:3490", "127.0.0.1:0"
    )


def test_every_errno_of_this_host_has_an_anchor(app: Flask) -> None:
    anchors = set(page(app, "/docs/errors").anchors)
    aliases = {"ENOTSUP"}  # EOPNOTSUPP's number, and socketd says EOPNOTSUPP
    assert set(errno.errorcode.values()) - aliases <= anchors


def test_every_errno_that_a_hint_or_an_error_is_about_has_its_cause() -> None:
    hinted = {number for _, number in HINTS} | set(OUT_OF)
    listed = {entry.number for entry in reference_errors.entries()}
    assert hinted <= listed
    assert {error.symbol for error in reference_errors.refusals()} <= set(reference_causes.CAUSES)


def test_every_hint_is_on_the_page() -> None:
    shown = {text for entry in reference_errors.entries() for _, text in entry.cures}
    assert set(HINTS.values()) | set(OUT_OF.values()) <= shown


def test_every_error_class_that_the_daemon_raises_by_itself_is_listed() -> None:
    def leaves(kind: type[tree.SocketdError]) -> set[type[tree.SocketdError]]:
        return {kind}.union(*(leaves(below) for below in kind.__subclasses__()))

    # These carry an errno that is somebody else's: the kernel's, the resolver's, or the call's.
    general = {tree.SocketdError, tree.KernelRefusedError, tree.ResolveError, tree.BadStateError}
    assert answers.KeyReusedError in leaves(tree.SocketdError)
    assert leaves(tree.SocketdError) - general == {type(error) for error in reference_errors.refusals()}


def test_the_document_of_errors_has_not_drifted_from_the_tables() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == reference_errors.markdown()


def test_openapi_yaml_is_served(app: Flask) -> None:
    response = app.test_client().get("/openapi.yaml")
    assert response.content_type == "application/yaml"
    assert yaml.safe_load(response.get_data())["info"]["title"] == "socketd"
