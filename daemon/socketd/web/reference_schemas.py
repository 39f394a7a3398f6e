"""JSON schemas as records: members with their types, bounds, units, defaults and choices in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REFERENCE: Final = "#/components/schemas/"
_UNITS: Final = {"_s": "seconds", "_us": "microseconds", "_bytes": "bytes", "_bits": "bits"}
_JSON_NAMES: Final = {"null": "null", "object": "object", "array": "list", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a type's text; ``shape`` names the component it links to."""

    text: str
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object, or one parameter.

    Attributes:
        kind: Its type, to be written one part after the other.
        facts: Bounds, default, pattern, …, as phrases.
        choices: The only values there are; empty where there is no such list.
        examples: As JSON.
    """

    name: str
    kind: tuple[Part, ...]
    is_required: bool
    facts: tuple[str, ...]
    choices: tuple[str, ...]
    examples: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema; ``name`` is empty unless it is a component, ``members`` unless it is an object."""

    name: str
    kind: tuple[Part, ...]
    members: tuple[Member, ...]


def components(document: Mapping[str, Any]) -> tuple[Shape, ...]:
    """Return every component that an operation leads to, sorted by name."""
    return tuple(shape(document, {"$ref": _REFERENCE + name}) for name in sorted(reached(document)))


def reached(document: Mapping[str, Any]) -> set[str]:
    """Return the names of the components that an operation leads to."""
    found: set[str] = set()
    waiting = set(_references([document["paths"], document["components"].get("responses", {})]))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(_references(document["components"]["schemas"][name])) - found
    return found


def shape(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Shape:
    """Resolve a schema and describe it."""
    name = schema.get("$ref", "").removeprefix(_REFERENCE)
    found = document["components"]["schemas"][name] if name else schema
    required = found.get("required", ())
    members = (
        member(key, value, is_required=key in required) for key, value in found.get("properties", {}).items()
    )
    return Shape(name, tuple(_kind(schema)), tuple(members))


def member(name: str, schema: Mapping[str, Any], *, is_required: bool) -> Member:
    """Describe one member; what stands in its alternatives counts too."""
    forms = [schema, *schema.get("oneOf", []), *schema.get("anyOf", [])]
    texts = [form["description"] for form in forms if form.get("description")]
    examples = [form["example"] for form in forms if "example" in form]
    for form in forms:
        examples += form.get("examples", [])
    return Member(
        name=name,
        kind=tuple(_kind(schema)),
        is_required=is_required,
        facts=tuple(_facts(name, schema)),
        choices=tuple(str(choice) for choice in schema.get("enum", ())),
        examples=tuple(dict.fromkeys(_written(example) for example in examples)),
        text=" ".join(texts),
    )


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str) and target.startswith(_REFERENCE):
            yield target.removeprefix(_REFERENCE)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _kind(schema: Mapping[str, Any]) -> Iterator[Part]:
    """Write a type: ``string or null``, ``list of Socket``."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        yield Part(name, name)
        return
    alternatives = schema.get("oneOf") or schema.get("anyOf")
    if alternatives:
        yield from _joined([list(_kind(each)) for each in alternatives])
        return
    names = schema.get("type", "anything")
    yield from _joined(
        [list(_named(name, schema)) for name in ([names] if isinstance(names, str) else names)]
    )


def _joined(alternatives: list[list[Part]]) -> Iterator[Part]:
    for position, parts in enumerate(alternatives):
        if position:
            yield Part(" or ")
        yield from parts


def _named(name: str, schema: Mapping[str, Any]) -> Iterator[Part]:
    if name == "array":
        yield Part("list of ")
        yield from _kind(schema.get("items", {}))
    elif name == "string" and schema.get("format") == "binary":
        yield Part("bytes")
    elif name == "string" and schema.get("contentEncoding"):
        yield Part(f"string, {schema['contentEncoding']}")
    elif name == "string" and schema.get("format"):
        yield Part(f"string, {schema['format']}")
    else:
        yield Part(_JSON_NAMES.get(name, name))


def _facts(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), None)
    if unit is not None:
        yield f"in {unit}"
    yield from _bounds(schema)
    if "pattern" in schema:
        yield f"matches {schema['pattern']}"
    if "default" in schema:
        yield f"default {_written(schema['default'])}"


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"{low:,g} to {high:,}" if isinstance(low, float) else f"{low:,} to {high:,}"
    elif low is not None:
        yield f"at least {low:g}"
    elif high is not None:
        yield f"at most {high:,}"
    for least, most, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries")):
        few, many = schema.get(least), schema.get(most)
        if few is not None and few == many:
            yield f"exactly {few} {unit}"
        elif many is not None:
            yield f"at most {many:,} {unit}"


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
