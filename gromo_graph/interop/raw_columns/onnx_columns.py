"""The ONNX model of a prepared network with its ends in the words of the data: columns in, class names out.

Categories and class names are looked up by the operator LabelEncoder of `ai.onnx.ml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gromo_graph.interop.onnx_files import check_installed, onnx_model
from gromo_graph.interop.raw_columns.prepared_network import PreparedNetwork, any_batch
from gromo_graph.run.data.raw import Array
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn, EncodedColumn
from gromo_graph.run.data.tables.rows import GAPS

_ML = "ai.onnx.ml"
_SAMPLES = 3
_INSIDE = "network/"
_UNSEEN = "a category that is not there"


def prepared_model(network: PreparedNetwork) -> Any:
    """The ONNX model: an input for each column, (samples,), or the inputs of a run without a table (`inputs_of`).

    Its outputs are `prediction`, a class or values in their unit, and for classes `probabilities` in their order.

    Raises:
        RunError: a package is missing, or torch cannot export the network.
    """
    check_installed()
    import onnx

    examples = network.examples(_SAMPLES)
    inner = [f"input/{place}" for place in range(len(examples))]
    model = onnx_model(
        network,
        examples,
        dynamic_shapes=(any_batch(examples),),
        input_names=inner,
        output_names=network.output_names,
    )
    names = network.input_names
    inside = _INSIDE
    while any(name.startswith(inside) for name in names):
        inside += "/"
    model = onnx.compose.add_prefix(model, inside)
    graph = model.graph
    columns: Sequence[EncodedColumn | None] = network.columns or (None,) * len(names)
    ends = zip(columns, names, graph.input, strict=True)
    first = [_entrance(column, name, value) for column, name, value in ends]
    last = [_exit(network, value, value.name.removeprefix(inside)) for value in graph.output]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    if all(each.domain != _ML for each in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_ML, 4))
    return model


def inputs_of(network: PreparedNetwork, values: Sequence[Array]) -> dict[str, Array]:
    """The inputs of the ONNX model from those of the network: categories as texts, everything else as it is."""
    if not network.columns:
        return dict(zip(network.input_names, values, strict=True))
    return {
        column.name: _texts(column, array) if isinstance(column, CategoryColumn) else array
        for column, array in zip(network.columns, values, strict=True)
    }


def _entrance(column: EncodedColumn | None, name: str, value: Any) -> Any:
    """A node that reads an input by the name of its column; it looks up categories."""
    from onnx import TensorProto, helper

    inner = value.name
    value.name = name
    if not isinstance(column, CategoryColumn):
        return helper.make_node("Identity", [name], [inner])
    value.type.tensor_type.elem_type = TensorProto.STRING
    places = {text: column.gap for gap in GAPS for text in (gap, gap.upper(), gap.capitalize())}
    places |= {text: place for place, text in enumerate(column.categories)}
    return helper.make_node(
        "LabelEncoder",
        [name],
        [inner],
        domain=_ML,
        keys_strings=list(places),
        values_int64s=list(places.values()),
        default_int64=column.unseen,
    )


def _exit(network: PreparedNetwork, value: Any, name: str) -> Any:
    """A node that gives an output of this name; it looks up the names of classes."""
    from onnx import TensorProto, helper

    inner = value.name
    value.name = name
    classes = network.preparation.classes
    if name != "prediction" or not classes:
        return helper.make_node("Identity", [inner], [name])
    value.type.tensor_type.elem_type = TensorProto.STRING
    return helper.make_node(
        "LabelEncoder",
        [inner],
        [name],
        domain=_ML,
        keys_int64s=list(range(len(classes))),
        values_strings=[str(label) for label in classes],
        default_string="",
    )


def _texts(column: CategoryColumn, places: Array) -> Array:
    texts = dict(enumerate(column.categories))
    if column.gap not in texts:
        texts[column.gap] = ""
    if column.unseen != column.gap:
        texts[column.unseen] = _UNSEEN
    return np.array([texts[place] for place in places.tolist()], dtype=object)
