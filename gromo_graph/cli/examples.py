"""The examples at the end of each verb's help."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "new": ("new > my.yaml", "new cnn > my.yaml", "new table --data rows.csv --target price > my.yaml"),
    "import": ("import my_models:resnet --input 1,3,32,32 -o resnet.yaml",),
    "validate": ("validate my.yaml", "validate my.yaml --watch"),
    "schema": ("schema > gromo-graph.schema.json",),
    "doctor": ("doctor", "doctor --json"),
    "grow": (
        "grow my.yaml --data rows.csv --out runs/one",
        "grow my.yaml --set growth.stop.parameters=5000 --set train.epochs=30",
        "grow my.yaml --repeat 5 --out runs/five",
    ),
    "resume": ("resume runs/one",),
    "evaluate": ("evaluate runs/one", "evaluate runs/one --data new.csv --json"),
    "predict": ("predict runs/one --data new.csv -o predictions.csv",),
    "pick": ("pick runs/one --within 0.5% --out runs/small",),
    "export": ("export runs/one -o network.py", "export runs/one -o network.onnx --with-preprocessing"),
    "show": ("show my.yaml --groups", "show runs/one@3"),
    "render": ("render my.yaml -o my.svg", "render runs/one --steps -o pictures --dark"),
    "plan": (
        "plan my.yaml",
        "plan runs/one/spec.yaml --weights runs/one --set 'growth.actions=[widen,new_edge]'",
    ),
    "history": ("history runs/one", "history runs/one --verify"),
    "runs": ("runs runs", "runs . --sort loss"),
    "curve": ("curve runs/one", "curve runs/one runs/two -o sizes.svg"),
    "compare": ("compare runs/one runs/two", "compare runs/one runs/two -o both.html"),
    "inspect": ("inspect runs/one --open", "inspect runs/one --serve"),
    "diff": ("diff runs/one@0 runs/one", "diff old.yaml new.yaml -o changes.svg"),
    "replay": ("replay runs/one --to 3 --out runs/then",),
    "edit": ("edit my.yaml set hidden features=8 grow.max=32", "edit my.yaml take runs/one"),
    "branch": ("branch runs/one --at 3 --set growth.select=slope --out runs/other",),
}
"""Calls by verb, without the name of the program."""


def examples_of(verb: str) -> str:
    """The end of a verb's help, in a form that is not wrapped.

    >>> print(examples_of("resume"))
    \b
    Example:
      gromo-graph resume runs/one
    """
    calls = EXAMPLES[verb]
    lines = [f"  gromo-graph {call}" for call in calls]
    return "\n".join(["\b", "Example:" if len(calls) == 1 else "Examples:", *lines])
