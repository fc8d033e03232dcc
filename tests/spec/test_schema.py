"""The JSON Schema: sound itself, kind to whatever the loader takes, and strict where it can be."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from gromo_graph import Spec, check_spec, dump_spec
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.schema import json_schema
from gromo_graph.spec.text.locations import UNKNOWN
from gromo_graph.spec.text.parse_yaml import parse_document
from tests.spec.strategies import specs

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
# What is wrong between nodes, with names, sizes or expressions, only the loader can see.
BEYOND = re.compile(
    "block_(circle|reads_outside|several|sizes|too_many)|edge_|growth_(accuracy|tie_of)|include_block|name_|node_bias_off|"
    "node_features_float|root_output_unknown|root_outputs_twice|shape_|text_|train_(address|code|fold|metrics|of_other_tasks|of_several_outputs_2|schedule|threshold_of_numbers)|"
    "use_(name|param|too|unknown|value)|vars_"
)


def content(path: Path) -> object:
    return parse_document(path.read_text(), str(path)).data


def test_it_is_a_schema_of_draft_07() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def fences() -> list[str]:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    pages.remove(ROOT / "docs" / "own_kinds.md")  # its kind is one that has to be registered
    blocks = [
        block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    return [block for block in blocks if "nodes:" in block and "output" in block]


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_gallery_passes(path: Path) -> None:
    VALIDATOR.validate(content(path))


def test_the_documents_of_the_pages_pass_and_are_sound() -> None:
    assert len(fences()) >= 10
    for text in fences():
        if "\nnodes:" not in f"\n{text}":
            continue  # a file of blocks alone
        assert check_spec(text) == ()
        VALIDATOR.validate(parse_document(text, "<page>").data)


@given(specs())
def test_what_the_loader_takes_passes(spec: Spec) -> None:
    VALIDATOR.validate(parse_document(dump_spec(spec), "<dumped>").data)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_documents_are_refused_where_a_schema_can_know(path: Path) -> None:
    data = content(path)
    if data is None or data is UNKNOWN or BEYOND.match(path.stem):
        return
    assert not VALIDATOR.is_valid(data), path.stem


def test_an_error_names_the_key_and_the_kind() -> None:
    text = (ROOT / "specs" / "digits_mlp.yaml").read_text().replace("activation: relu", "activation: rleu", 1)
    (error,) = VALIDATOR.iter_errors(parse_document(text, "<text>").data)
    assert list(error.path) == ["nodes", "hidden1", "activation"]


def test_every_key_is_described_and_every_example_is_sound() -> None:
    for name, definition in SCHEMA["definitions"].items():
        for key, schema in definition.get("properties", {}).items():
            assert name == "defaults" or schema.get("description"), (name, key)
    for kind in KINDS:
        (example,) = SCHEMA["definitions"][kind]["examples"]
        document = {"nodes": {"stem": example}, "output": "stem"}
        VALIDATOR.validate(document)
        assert example["kind"] == kind
