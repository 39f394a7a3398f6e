"""The OpenAPI document as records: what the page of operations shows, with each shape's ``$ref`` resolved.

A parameter, header or answer that is a ``$ref`` is of all operations: the page says it once, in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from socketd.web import reference_examples, reference_schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from socketd.web.reference_schemas import Member, Shape

METHODS: Final = ("post", "put", "get", "delete")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``where`` is path, query or header."""

    where: str
    member: Member


@dataclass(frozen=True, slots=True)
class Content:
    """A body of a request or of an answer, as one media type; the rest is of answers alone."""

    media_type: str
    shape: Shape
    status: str = ""
    text: str = ""
    headers: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        anchor: Its place in the page.
        summary: One line.
        text: What there is to say besides; may be empty.
        is_body_required: Of a request without a body, ``False``.
        answers: What a success looks like; every failure is a Problem.
        curl: A command that makes it.
    """

    method: str
    path: str
    anchor: str
    summary: str
    text: str
    parameters: tuple[Parameter, ...]
    bodies: tuple[Content, ...]
    is_body_required: bool
    answers: tuple[Content, ...]
    curl: str


@dataclass(frozen=True, slots=True)
class Group:
    """Operations of one kind."""

    title: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything on the page; ``shapes`` are those that some operation leads to, by name."""

    title: str
    version: str
    text: str
    groups: tuple[Group, ...]
    shapes: tuple[Shape, ...]


def read(document: Mapping[str, Any]) -> Reference:
    """Turn an OpenAPI document into the page's content."""
    titles = {tag["name"]: tag["description"] for tag in document["tags"]}
    groups: dict[str, list[Operation]] = {}
    for tag, operation in _operations(document):  # two tags may have one title: send and recv have
        groups.setdefault(titles[tag], []).append(operation)
    info = document["info"]
    return Reference(
        info["title"],
        info["version"],
        info["description"],
        tuple(Group(title, tuple(operations)) for title, operations in groups.items()),
        reference_schemas.components(document),
    )


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                found = methods[method]
                common = methods.get("parameters", [])
                yield found["tags"][0], _operation(document, (method.upper(), path), found, common)


def _operation(
    document: Mapping[str, Any],
    route: tuple[str, str],
    found: Mapping[str, Any],
    common: list[dict[str, Any]],
) -> Operation:
    method, path = route
    body = found.get("requestBody", {})
    words = path.removeprefix("/v1").replace("/", " ").replace("{", "").replace("}", "").split()
    return Operation(
        method=method,
        path=path,
        anchor="-".join([method.lower(), *(words or ["service"])]),
        summary=found.get("summary", ""),
        text=found.get("description", ""),
        parameters=tuple(
            _parameter(each) for each in [*common, *found.get("parameters", [])] if _is_own(each)
        ),
        bodies=tuple(_contents(document, body)),
        is_body_required=body.get("required", False),
        answers=tuple(_answers(document, found["responses"])),
        curl=reference_examples.curl(method, path),
    )


def _is_own(found: Mapping[str, Any]) -> bool:
    return "$ref" not in found


def _parameter(found: Mapping[str, Any]) -> Parameter:
    schema = {"description": found.get("description", ""), **found.get("schema", {})}
    is_required = found.get("required", False)
    return Parameter(found["in"], reference_schemas.member(found["name"], schema, is_required=is_required))


def _contents(document: Mapping[str, Any], body: Mapping[str, Any], status: str = "") -> Iterator[Content]:
    """Describe a body as each of its media types; where there are several, each has a text of its own."""
    contents = body.get("content", {})
    for media_type, content in contents.items():
        schema = content.get("schema", {})
        told = body if len(contents) == 1 else schema
        text = told.get("description", "").removesuffix(".")
        shape = reference_schemas.shape(document, schema)
        yield Content(media_type, shape, status, text, tuple(_headers(body)))


def _headers(response: Mapping[str, Any]) -> Iterator[Member]:
    for name, header in response.get("headers", {}).items():
        if not _is_own(header):
            continue
        schema = {"description": header.get("description", ""), **header.get("schema", {})}
        yield reference_schemas.member(name, schema, is_required=False)


def _answers(document: Mapping[str, Any], responses: Mapping[str, Any]) -> Iterator[Content]:
    for status, response in sorted(responses.items()):
        if not _is_own(response):
            continue
        contents = list(_contents(document, response, status))
        yield from contents or [
            Content("", reference_schemas.shape(document, {}), status, response["description"])
        ]
