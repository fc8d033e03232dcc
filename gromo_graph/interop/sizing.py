"""Specs that fit given data: a small default, and any other one with the sizes of its two ends set."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.graph.edits import Edits, SetFeatures, SetSection
from gromo_graph.run.data.load_data import check_trainable
from gromo_graph.spec import Spec, load_spec, parse_spec
from gromo_graph.spec.fragments import node_of
from gromo_graph.spec.kinds import Input, Layer, Node

_DOCUMENT = "the default spec"


def default_spec(features: int, outputs: int, hidden: Sequence[int]) -> Spec:
    """A plain network of linear layers with ReLU between.

    Args:
        features: numbers of a sample. outputs: of the network. hidden: the widths that it begins with, one a layer.

    >>> list(default_spec(4, 3, (2, 2)).nodes)
    ['x', 'hidden1', 'hidden2', 'y']
    """
    nodes: dict[str, Node] = {"x": node_of("x", {"kind": "input", "shape": [features]}, document=_DOCUMENT)}
    for place, width in enumerate(hidden, start=1):
        layer = {"kind": "linear", "from": next(reversed(nodes)), "features": width, "activation": "relu"}
        nodes[f"hidden{place}"] = node_of(f"hidden{place}", layer, document=_DOCUMENT)
    last = {"kind": "linear", "from": next(reversed(nodes)), "features": outputs}
    nodes["y"] = node_of("y", last, document=_DOCUMENT)
    spec = Spec("mlp", nodes, ("y",))
    return SetSection("train", {"optimizer": {"weight_decay": 0.2}}).spec_of(spec)


_WIDEST = 8


def default_widths(features: int, outputs: int, budget: int | None) -> tuple[int, ...]:
    """The widths that the default network begins with: two layers of 8, or narrower ones for a small budget.

    Args:
        features: numbers of a sample. outputs: of the network.
        budget: parameters at the most, half of which is left to growth; of a smaller one only as much as has to be.

    >>> default_widths(4, 3, None), default_widths(4, 3, 100), default_widths(4, 3, 12)
    ((8, 8), (3, 3), (1,))
    """
    starts = [(width, width) for width in range(_WIDEST, 0, -1)]
    if budget is None:
        return starts[0]
    sizes = {start: build_graph(default_spec(features, outputs, start)).parameter_count for start in starts}
    fitting = [start for start in starts if sizes[start] <= budget // 2]
    if fitting:
        return fitting[0]
    return (1, 1) if sizes[1, 1] <= budget else (1,)


def spec_of(spec: Spec | str | os.PathLike[str]) -> Spec:
    """A spec, also from its YAML text, or from the path of a file: a text of one line is a path.

    Raises:
        SpecError: it is wrong.
    """
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, str) and "\n" in spec:
        return parse_spec(spec)
    return load_spec(spec)


def sized(spec: Spec, features: int, outputs: int) -> Spec:
    """The same network for samples of so many numbers, with so many outputs.

    The one size of an input `[features]` is set, an input of another form must have as many numbers. The width of the
    output is set if a layer gives it.

    Raises:
        RunError: it has several inputs or outputs, or cannot have these sizes.

    >>> sized(default_spec(4, 3, (2,)), 7, 5).nodes["x"].shape
    (7,)
    """
    check_trainable(spec)
    for ends, called in ((spec.inputs, "inputs"), (spec.outputs, "outputs")):
        if len(ends) != 1:
            raise RunError(
                f"`{spec.name}` has {len(ends)} {called}, and an estimator has one: expected another spec"
            )
    (source,), (output,) = spec.inputs, spec.outputs
    first = spec.nodes[source]
    assert isinstance(first, Input)
    if len(first.shape) == 1:
        spec = replace(spec, nodes={**spec.nodes, source: first.model_copy(update={"shape": (features,)})})
    elif math.prod(first.shape) != features:
        raise RunError(
            f"X has {amount(features, 'feature')}, but the input `{source}` of `{spec.name}` has the shape "
            f"{list(first.shape)}, "
            f"{math.prod(first.shape)} numbers: expected as many columns, or another `shape`"
        )
    layer = output
    while not isinstance(spec.nodes[layer], Layer | Input):
        layer = spec.nodes[layer].sources[0]
    if isinstance(spec.nodes[layer], Layer):
        spec = SetFeatures(layer, outputs).spec_of(spec)
    found = build_graph(spec).shapes[output][0]
    if found != outputs:
        raise RunError(
            f"the output `{output}` of `{spec.name}` would have {amount(found, 'feature')} where {outputs} are needed: "
            "expected a linear layer as the output"
        )
    return spec


def with_settings(spec: Spec, train: Mapping[str, Any], *, max_parameters: int | None) -> Spec:
    """Other settings of the training; None leaves what the spec says.

    Raises:
        SpecError: a value is none of its setting.
    """
    edits = [SetSection("train", {key: value for key, value in train.items() if value is not None})]
    if max_parameters is not None:
        edits.append(SetSection("growth", {"stop": {"parameters": max_parameters}}))
    return Edits(edits).spec_of(spec)
