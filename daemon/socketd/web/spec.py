"""openapi.yaml: made from the schemas and the views' docstrings, in an order that does not change."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import yaml
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from socketd import __version__
from socketd.access.tokens import Tokens
from socketd.web.reference_schemas import reached
from socketd.web.schemas import headers
from socketd.web.schemas.address import ADDRESS_DOCUMENT, AddressField, Base64
from socketd.web.schemas.base import AnswerSchema, FlagList, Word
from socketd.web.schemas.problem import ProblemSchema

if TYPE_CHECKING:
    from flask_smorest import Api
    from marshmallow import Schema
    from marshmallow.fields import Field


_CHANGING: Final = ("put", "post", "delete")
_METHODS: Final = ("get", *_CHANGING)
_FORMS: Final[dict[type[Field[Any]], dict[str, Any]]] = {
    Word: {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    FlagList: {"oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
    Base64: {"type": "string", "contentEncoding": "base64"},
    AddressField: ADDRESS_DOCUMENT,
}
_INFO: Final = {
    "description": "Sockets as a service: create, bind, listen, accept, connect, send and receive over HTTP, "
    "and see the descriptor, the inode and what the kernel knows.",
    "license": {"name": "MIT", "identifier": "MIT"},
}
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SIGNED: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in headers.EVERY_ANSWER}
_COMMON: Final = {
    each["name"]: each for each in (headers.INSTANCE, headers.REQUEST_ID, headers.IDEMPOTENCY_KEY)
}
_REFUSALS: Final = {
    "Problem": {
        "description": "It was refused; the body says by which system call, with which errno, and what "
        "to do.",
        "headers": _SIGNED,
        "content": _PROBLEM,
    },
    "PreconditionFailed": {
        "description": "Nothing was done: the request is for another daemon process (`other_instance`, by "
        "Socketd-Instance), or for another socket than has the number now (`stale`, by If-Match).",
        "headers": _SIGNED,
        "content": _PROBLEM,
    },
}
_TOKEN: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "Over TCP only; on the Unix socket the kernel tells who calls.",
}
_CERTIFICATE: Final = {
    "type": "mutualTLS",
    "description": "Over TCP with TLS; a token that is sent besides counts more.",
}


class _Converter(OpenAPIConverter):
    """apispec's, with answers that may grow: clients ignore members that they do not know."""

    def schema2jsonschema(self, schema: Schema | type[Schema]) -> dict[str, Any]:
        """Write a schema; tests alone hold answers to having no other members."""
        found: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if isinstance(resolve_schema_instance(schema), AnswerSchema):
            del found["additionalProperties"]
        return found


class SchemaPlugin(MarshmallowPlugin):
    """apispec's way from schemas to the document, with our converter."""

    Converter = _Converter


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice twice; a person reads it, and anchors mean nothing to them."""

    def ignore_aliases(self, data: object) -> bool:
        """Never refer back."""
        del data
        return True


def describe_fields(api: Api) -> None:
    """Teach the document our own field types; before any blueprint is registered."""

    def form(_converter: object, field: Field[Any], ret: dict[str, Any], **_: Any) -> dict[str, Any]:
        if type(field) in _FORMS:
            ret.pop("default", None)  # it is the number that was read, not what one writes
        return _FORMS.get(type(field), {})

    api.spec.plugins[1].converter.add_attribute_function(form)


def document(api: Api) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    if "Problem" not in api.spec.components.schemas:
        api.spec.components.schema("Problem", schema=ProblemSchema())
    found: dict[str, Any] = deepcopy(api.spec.to_dict())  # what it gives is its own, and is asked for again
    for path, operations in found["paths"].items():
        for method in _METHODS:
            if method in operations:
                _complete(path, method, operations)
        for parameter in operations.get("parameters", []):
            if parameter["name"] == "ref":
                parameter["description"] = "A descriptor number or a name."
    # flask-smorest brings answers and shapes of its own, for errors and pages that we do not have.
    found["components"]["responses"] = _REFUSALS
    used = reached(found)
    schemas = {name: shape for name, shape in found["components"]["schemas"].items() if name in used}
    return {
        "openapi": found["openapi"],
        "info": {**found["info"], "version": __version__, **_INFO},
        "security": [{}, {"token": []}, {"certificate": []}],
        "tags": found["tags"],
        "paths": found["paths"],
        "components": {
            "schemas": schemas,
            "parameters": _COMMON,
            "headers": headers.EVERY_ANSWER,
            "responses": found["components"]["responses"],
            "securitySchemes": {"token": _TOKEN, "certificate": _CERTIFICATE},
        },
    }


def text_of(api: Api) -> str:
    """Write the document as YAML."""
    text: str = yaml.dump(document(api), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def document_text() -> str:
    """Make the document without a daemon; this is what ``openapi.yaml`` holds.

    Needs no service: the document is made of schemas and docstrings alone.
    """
    from socketd.web.app import WebSettings, create_app  # noqa: PLC0415 (app imports this module)

    settings = WebSettings(0, 0, 0, 0, 0, 0, Tokens(), __version__)
    app = create_app(None, waiter_for=lambda _: None, settings=settings)  # type: ignore[arg-type, return-value]
    return text_of(app.extensions["socketd.api"])


def _complete(path: str, method: str, item: dict[str, Any]) -> None:
    """Add to an operation what all have, and ``If-Match`` where one socket is meant."""
    operation = item[method]
    responses = operation["responses"]
    for not_ours in ("422", "default"):
        responses.pop(not_ours, None)
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **_SIGNED}
    responses["412"] = {"$ref": "#/components/responses/PreconditionFailed"}
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    parameters = operation.setdefault("parameters", [])
    if "{ref}" in path:
        parameters.append(headers.IF_MATCH)
    left_out = {each["name"] for each in (*item.get("parameters", ()), *parameters)}
    if method not in _CHANGING:
        left_out.add(headers.IDEMPOTENCY_KEY["name"])
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in _COMMON if name not in left_out]
