"""`gromo-graph schema`: the JSON Schema of the language, for editors."""

from __future__ import annotations

import json

import typer

from gromo_graph.cli.messages import reported


@reported
def schema() -> None:
    """Print the JSON Schema of specs: an editor that knows it completes and explains while you write.

    gromo-graph schema > gromo-graph.schema.json, and in the first line of a spec: # yaml-language-server:
    $schema=gromo-graph.schema.json
    """
    from gromo_graph.spec.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
