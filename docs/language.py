"""Write docs/language.md again: the reference of the language, from the models that read it.

python docs/language.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gromo_graph.spec.schema import EXPRESSION, json_schema

PAGE = Path(__file__).with_name("language.md")
SCHEMA = json_schema()
DEFINITIONS = SCHEMA["definitions"]
TRAIN_SECTIONS = {
    "optimizer": "Optimizer",
    "schedule": "Schedule",
    "validation": "Fold",
    "early_stopping": "EarlyStopping",
}
SECTIONS = {
    "neurons": "Neurons",
    "edges": "Edges",
    "when": "When",
    "stop": "Stop",
    "statistics": "Statistics",
}

HEAD = """# Language reference

This reference is generated from the models that read a spec (`python docs/language.py`). `gromo-graph schema >
gromo-graph.schema.json` writes the same information for editors: if the first line of a spec is
`# yaml-language-server: $schema=gromo-graph.schema.json`, the editor completes and explains it while you type.
[Recipes](recipes.md) shows the language in use.

- A spec is a single YAML document of plain data, without tags or merge keys, of at most 5 MB and 100,000
  values.
- Scalars follow the core rules of YAML 1.2: only `true` and `false` are booleans (`on`, `off`, `yes` and `no`
  are text, which only `grow` accepts), and `1:30` is text. Integers are integers: neither `4.0` nor `"4"`.
- A name is any text without `->` and control characters. A key that is not text must be put in quotes: `"12"`.
- `gromo-graph validate` reports every problem at once, with line, column, what was found and what to do.

## Expressions

`vars` define numbers, words and booleans; `"${width}"`, in double quotes, inserts one. Inside `${}` you can use
names, numbers, `+ - * //` and parentheses. Vars may refer to each other; `$${` stands for the text `${`.

## Blocks

A block is a sub-graph with `params`, defined once under `blocks` and used as an entry of `nodes`:

```yaml
vars: {width: 4}
blocks:
  residual:
    params: {width: 16, act: relu}     # with defaults; one without (`width: `) has to be given by each use
    inputs: [x]
    nodes:
      up:   {kind: linear, from: x, features: "${2 * width}", activation: "${act}"}
      down: {kind: linear, from: up, features: "${width}"}
      add:  {kind: merge, from: [x, down]}
    output: add
nodes:
  pixels: {kind: input, shape: [64]}
  stem:   {kind: linear, from: pixels, features: "${width}"}
  body:   {use: residual, from: stem, with: {width: "${width}"}, repeat: 3}
  logits: {kind: linear, from: body, features: 10}
output: logits
```

- The nodes of a use are called `body.1.add`, `body.2.add`, ... (`body.add` without `repeat`); `body` stands for the
  last output. Other nodes can read them by these names.
- A block reads only its inputs and its own nodes. `from` lists one node for each of `inputs`, in this order.
- With `outputs: [a, b]`, a use is read as `body.a` and `body.b`. Repeated blocks need as many outputs as inputs.
- Inside a block, `${}` can refer to params and vars; a param hides a var of the same name. Blocks may use other blocks.
- `include: [blocks.yaml]` brings in the blocks of other files in the spec's folder. Such a file contains only `blocks`.

## A whole document
"""


def kind_of(schema: dict[str, Any]) -> str:
    """The type of a value in a few words."""
    if "SetActivation" in str(schema.get("oneOf")):
        return "[an activation](#activation)"
    listed = schema.get("anyOf") or schema.get("oneOf") or ()
    choices = [each for each in listed if each != EXPRESSION and each.get("type") != "null"]
    if choices:
        return " or ".join(dict.fromkeys(kind_of(each) for each in choices))
    if "allOf" in schema or "$ref" in schema:
        reference = (schema.get("allOf") or [schema])[0]["$ref"].rsplit("/", 1)[1]
        return {"Grow": "limits"}.get(reference, "map")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        items = kind_of(schema["items"])
        return f"list of {items}" if "`" in items else f"list of {items.split(' ')[0]}s"
    names = {
        "string": "text",
        "object": "map",
        "boolean": "`true` or `false`",
        "integer": "integer",
        "number": "number",
    }
    name = names.get(schema.get("type", ""), "number, text or boolean")
    bounds = [
        f"{words} {schema[key]:,}"
        for key, words in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    return f"{name} {', '.join(bounds)}" if bounds else name


def default_of(schema: dict[str, Any], needed: bool) -> str:
    if needed:
        return "**required**"
    value = schema.get("default")
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`" if value else ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table(properties: dict[str, Any], needed: list[str]) -> Iterator[str]:
    """A row for each key."""
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, schema in properties.items():
        meaning = schema.get("description", "").replace("|", "\\|").replace("\n", " ")
        yield f"| `{key}` | {kind_of(schema)} | {default_of(schema, key in needed)} | {meaning} |"
    yield ""


def sections() -> Iterator[str]:
    """The page."""
    yield HEAD
    yield from table(SCHEMA["properties"], ["nodes"])
    yield "Exactly one of `output` and `outputs` is required.\n"
    yield "## Blocks and their uses\n"
    yield "A block:\n"
    yield from table(DEFINITIONS["block"]["properties"], DEFINITIONS["block"]["required"])
    yield "A use of it:\n"
    yield from table(DEFINITIONS["use"]["properties"], ["use", "from"])
    yield "## Kinds of nodes\n"
    for place, kind in enumerate(DEFINITIONS["node"]["properties"]["kind"]["enum"]):
        schema = DEFINITIONS[kind]
        needed = DEFINITIONS["complete"]["allOf"][place]["then"]["required"]
        yield f"### `{kind}`\n"
        yield f"{schema['description']}\n"
        yield from table({k: v for k, v in schema["properties"].items() if k != "kind"}, needed)
    yield "### `grow`\n"
    yield "`false` or `off`: the number of features is fixed. `true` or `on`: it may grow. A map sets limits:\n"
    yield from table(DEFINITIONS["Grow"]["properties"], [])
    yield from activations()
    data = SCHEMA["properties"]["data"]
    yield "## `data`\n"
    yield f"{data['description']} [my_data.md](my_data.md) shows how it is used.\n"
    for form in data["anyOf"]:
        about = form["description"].partition("\n\nRaises:")[0]
        yield f"{about}\n"
        yield from table(form["properties"], form["required"])
    yield "### `data.augment`\n"
    yield f"{DEFINITIONS['Augment']['description']}\n"
    yield from table(DEFINITIONS["Augment"]["properties"], [])
    for title in ("growth", "train"):
        yield f"## `{title}`\n"
        yield from table(SCHEMA["properties"][title]["properties"], [])
        for key, name in (SECTIONS if title == "growth" else TRAIN_SECTIONS).items():
            yield f"### `{title}.{key}`\n"
            yield f"{DEFINITIONS[name]['description']}\n"
            yield from table(DEFINITIONS[name]["properties"], [])


def activations() -> Iterator[str]:
    """The words for `activation`, and those that take a setting."""
    word = DEFINITIONS["linear"]["properties"]["activation"]["oneOf"][0]
    yield "### `activation`\n"
    yield f"A name, with torch's default settings: {kind_of(word)}.\n"
    yield "Or a map from one name to its setting, such as `{leaky_relu: 0.2}` and `{hardtanh: [0, 1]}`:\n"
    yield "| name | setting | meaning |"
    yield "|---|---|---|"
    for key, schema in DEFINITIONS["SetActivation"]["properties"].items():
        yield f"| `{key}` | {kind_of(schema)} | {schema['description']} |"
    yield ""


def page() -> str:
    """The text of docs/language.md."""
    return "\n".join(sections()).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
