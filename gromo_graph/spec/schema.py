"""The JSON Schema of the language, made from the models: completion, hover and first checks in an editor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gromo_graph.spec.data_sections import ImageData, TableData, TextData
from gromo_graph.spec.expand.block_models import Block, Use
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.kinds.base import SWITCHES
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.train_settings import Train

Schema = dict[str, Any]

EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{", "description": "An expression: ${2 * width}."}
"""Texts that are allowed in the place of a number, a switch or a word."""

_PLAIN = ("integer", "number", "boolean")
_TEXT: Schema = {"type": "string"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_NAMES: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_SOURCES: Schema = {"anyOf": [_TEXT, _NAMES]}
_SAMPLES: Mapping[str, Any] = {
    "features": 8,
    "kernel": 3,
    "groups": 2,
    "vocabulary": 100,
    "padding": [1, 1],
    "shifts": 2,
    "stop": 4,
    "from": "stem",
    "shape": [64],
    "sizes": [8, 4, 4],
    "index": [0, 2, 5],
}


def json_schema() -> Schema:
    """Draft 07, discriminated by `kind`. What it refuses, the loader refuses; the loader sees more.

    >>> schema = json_schema()
    >>> schema["$schema"], "features" in schema["definitions"]["linear"]["properties"]
    ('http://json-schema.org/draft-07/schema#', True)
    """
    work = _Definitions()
    for kind, model in KINDS.items():
        work.node(kind, model)
    growth, train = work.section(Growth), work.section(Train)
    data = {"anyOf": [work.section(form) for form in (TableData, ImageData, TextData)]}
    use = work.use()
    nodes: Schema = {"type": "object", "minProperties": 1, "additionalProperties": _ref("node")}
    definitions = {
        **work.definitions,
        "use": use,
        "node": _discriminated({kind: _ref(kind) for kind in KINDS}, _ref("use")),
        "complete": _discriminated(work.required, {"required": ["from"]}),
        "block": _block(nodes),
        "defaults": _defaults(work.definitions),
    }
    complete = {"additionalProperties": _ref("complete")}
    in_blocks = {"additionalProperties": {"properties": {"nodes": complete}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "gromo_graph",
        "description": "A neural network that grows: nodes by name, how it grows, how it is trained.",
        "type": "object",
        "properties": {
            "version": _told({"const": 1}, "Of the language."),
            "name": _told({"type": "string", "minLength": 1}, "Of the network; by default that of the file."),
            "include": _told(
                {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}, "Files whose blocks are read."
            ),
            "vars": _told({"type": "object", "additionalProperties": _SCALAR}, "Names for `${...}`."),
            "defaults": _told(_ref("defaults"), "What nodes of a kind have where they say nothing."),
            "blocks": _told(
                {"type": "object", "additionalProperties": _ref("block")}, "Sub-graphs with parameters."
            ),
            "nodes": _told(nodes, "The network: a node for each name."),
            "output": _told(_TEXT, "The node whose value the network returns."),
            "outputs": _told(_NAMES, "Several of them: the network returns a dict by name."),
            "data": _told(data, "A table, or images, to train on."),
            "growth": _told(growth, "How the network grows."),
            "train": _told(train, "The built-in training."),
        },
        "required": ["nodes"],
        "oneOf": [{"required": ["output"]}, {"required": ["outputs"]}],
        "additionalProperties": False,
        # Where there are defaults, a node may leave out what it needs.
        "if": {"not": {"required": ["defaults"]}},
        "then": {"properties": {"nodes": complete, "blocks": in_blocks}},
        "definitions": definitions,
    }


class _Definitions:
    """Definitions of the models so far.

    Attributes:
        required: by kind, the keys that a node must have if no default gives them.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self.required: dict[str, Schema] = {}

    def node(self, kind: str, model: type[BaseModel]) -> None:
        """Define a kind."""
        found = self.section(model)
        properties = found["properties"]
        properties["kind"] = {"const": kind, "description": found["description"]}
        if "from" in properties:
            properties["from"] = {**_SOURCES, "description": properties["from"]["description"]}
        needed = [key for key in found.pop("required", []) if key != "kind"]
        found["required"] = ["kind"]
        self.required[kind] = {"required": needed}
        found["examples"] = [{"kind": kind, **{key: _SAMPLES[key] for key in needed}}]
        self.definitions[kind] = found

    def use(self) -> Schema:
        """An entry of `nodes` that stands for a block."""
        found = self.section(Use)
        found["properties"]["from"] = {**_SOURCES, "description": found["properties"]["from"]["description"]}
        found["properties"]["with"]["additionalProperties"] = _SCALAR
        found["required"] = ["use"]
        return found

    def section(self, model: type[BaseModel]) -> Schema:
        """The schema of a model; those of sections inside it become definitions."""
        found = model.model_json_schema(by_alias=True)
        for name, inner in found.pop("$defs", {}).items():
            self.definitions[name] = self.plain(inner)
        found["description"] = inspect.getdoc(model)
        hidden = [name for name, field in model.model_fields.items() if field.exclude is True]
        for name in hidden:
            found["properties"].pop(model.model_fields[name].alias or name)
        plain: Schema = self.plain(found)
        return plain

    def plain(self, schema: Any, key: str = "") -> Any:
        """The schema in the words of the language: expressions allowed, `grow` with all its forms, no titles."""
        if isinstance(schema, list):
            return [self.plain(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            reference = {"$ref": schema["$ref"].replace("#/$defs/", "#/definitions/")}
            return {"allOf": [reference], "description": schema.get("description", "")}
        if key == "grow":
            return _grow(schema)
        found: Schema = {
            name: {key: self.plain(value, key) for key, value in inner.items()}
            if name == "properties"
            else inner
            if name in ("default", "enum", "required", "const")
            else self.plain(inner)
            for name, inner in schema.items()
            if name != "title"
        }
        if found.get("type") == "object" and "description" in found:
            found["description"] = found["description"].split("\n\nAttributes:")[0]
        return _or_expression(found)


def _or_expression(schema: Schema) -> Schema:
    """A number, a switch or one of some words, or an expression that stands for it."""
    if schema.get("type") not in _PLAIN and "enum" not in schema:
        return schema
    about = ("description", "default")
    value = {key: given for key, given in schema.items() if key not in about}
    return {"anyOf": [value, EXPRESSION], **{key: schema[key] for key in about if key in schema}}


def _grow(schema: Schema) -> Schema:
    forms: list[Schema] = [
        {"type": "boolean"},
        {"enum": list(SWITCHES)},
        {"$ref": "#/definitions/Grow"},
        EXPRESSION,
    ]
    return {"anyOf": forms, "description": schema["description"], "examples": [False, {"max": 128}]}


def _discriminated(by_kind: Mapping[str, Schema], use: Schema) -> Schema:
    """One schema for each kind, so that an editor tells what is wrong with a node of that kind alone."""
    kinds = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": schema,
        }
        for kind, schema in by_kind.items()
    ]
    return {
        "type": "object",
        "anyOf": [{"required": ["kind"]}, {"required": ["use"]}],
        "properties": {"kind": {"enum": list(by_kind), "description": "What the node is."}},
        "allOf": [*kinds, {"if": {"required": ["use"]}, "then": use}],
    }


def _block(nodes: Schema) -> Schema:
    fields = {name: field.description or "" for name, field in Block.model_fields.items()}
    params = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    properties = {"params": params, "inputs": _NAMES, "nodes": nodes, "output": _TEXT, "outputs": _NAMES}
    return {
        "type": "object",
        "description": "A sub-graph that reads its inputs and its own nodes.",
        "properties": {name: _told(schema, fields[name]) for name, schema in properties.items()},
        "required": ["inputs", "nodes"],
        "oneOf": [{"required": ["output"]}, {"required": ["outputs"]}],
        "additionalProperties": False,
    }


def _defaults(definitions: Mapping[str, Schema]) -> Schema:
    sections = {}
    for kind in KINDS:
        properties = {k: v for k, v in definitions[kind]["properties"].items() if k not in ("kind", "from")}
        sections[kind] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": "object", "properties": sections, "additionalProperties": False}


def _told(schema: Schema, description: str) -> Schema:
    return (
        {**schema, "description": description}
        if "$ref" not in schema
        else {
            "allOf": [schema],
            "description": description,
        }
    )


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


__all__: Sequence[str] = ["EXPRESSION", "json_schema"]
