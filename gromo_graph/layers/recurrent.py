"""`lstm`, `gru`: how the layer of the gates and the recurrence behind it grow (docs/maths.md, "Recurrent layers")."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel, like
from gromo_graph.layers.conv import FLAT, SlidingAdapter
from gromo_graph.layers.gates import (
    ENTERING,
    GatesOfGRU,
    GatesOfInput,
    GatesOfLSTM,
    Recurrence,
    gates_as_rows,
    gates_first,
    gates_last,
)
from gromo_graph.layers.operation import Channels, NewChannels, OperationAdapter
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.arrangement import BATCH, FEATURES, Arranged, along, arranged, permuted, settled
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import Absent, TorchCall, Weight
from gromo_graph.spec.kinds import Dropout, Shape
from gromo_graph.spec.kinds.pad import Pad
from gromo_graph.spec.kinds.recurrent import GRU, LSTM, Recurrent
from gromo_graph.spec.kinds.window import Axis


class RecurrenceAdapter(OperationAdapter[Recurrence]):
    """New units read no state, and old ones do not read them yet: at first order they are a sum over the past."""

    operation_type = Recurrence
    slides = separable = True

    def new_alone(self, operation: Recurrence, new: NewChannels) -> Tensor:
        layer = operation.layer
        return layer.in_time(layer.alone(layer.in_time(_entering(operation, new.values))))

    def tangent(self, operation: Recurrence, channels: Channels) -> Channels:
        return Channels(self.average(operation, _entering(operation, channels.values)))

    def average(self, operation: Recurrence, maps: Tensor) -> Tensor:
        """Of values that enter the state."""
        layer = operation.layer
        return layer.in_time(layer.linear_alone(layer.in_time(maps)))

    def left(self, operation: Recurrence, places: Tensor) -> nn.Module:
        raise GrowthError("the units of a recurrent layer read each other: none can be taken out alone")


def _entering(operation: Recurrence, gates: Tensor) -> Tensor:
    """Of the gates of new units (n, units · gates, length) the one that enters the state."""
    by_unit: Tensor = gates.unflatten(1, (-1, operation.layer.gates))
    return by_unit[:, :, ENTERING]


class RecurrentAdapter(SlidingAdapter[GatesOfInput]):
    """Implements `LayerAdapter`: to what is before it, it is a kernel of 1 with an output for each gate of a unit.

    New units get fan-in in the gate that enters the state; their other gates begin at 0.
    """

    _too_small = "has no positions"

    def __init__(self) -> None:
        super().__init__(GatesOfInput, 1)

    def axes(self, layer: GatesOfInput) -> tuple[Axis, Axis]:
        return (FLAT, FLAT)

    def pre_activations(self, layer: GatesOfInput) -> int:
        return layer.weight.shape[0] * layer.gates

    def fan_in(self, layer: GatesOfInput) -> int:
        return layer.weight.shape[1]

    def parameter_count(self, layer: GatesOfInput) -> int:
        return sum(parameter.numel() for parameter in layer.parameters())

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super().matrix(gates_as_rows(weight), None if bias is None else bias.flatten())

    def weight_and_bias(self, layer: GatesOfInput, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        by_unit = matrix.unflatten(0, (-1, layer.gates)).transpose(1, 2)
        return (by_unit[:, :-1], by_unit[:, -1]) if self.has_bias(layer) else (by_unit, None)

    def fan_in_weight(self, layer: GatesOfInput, alpha: Tensor) -> tuple[Tensor, Tensor | None]:
        gates = alpha.new_zeros(alpha.shape[0], layer.gates, alpha.shape[1])
        gates[:, ENTERING] = alpha
        return self.weight_and_bias(layer, gates.flatten(0, 1))

    def alpha(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super().matrix(weight[..., ENTERING], None if bias is None else bias[..., ENTERING])

    def fan_out_weight(self, layer: GatesOfInput, omega: Tensor, kernel: Kernel) -> Tensor:
        by_unit: Tensor = omega.unflatten(0, (-1, layer.gates))
        return by_unit.permute(0, 3, 2, 1).flatten(1, 2)

    def empty_like(self, layer: GatesOfInput, weight: Tensor, bias: bool) -> GatesOfInput:
        new = copy.copy(layer)  # the weights of its states are shared
        new._parameters = {**layer._parameters, "bias": None}
        return new

    def bias_extension_shape(self, layer: GatesOfInput, size: int) -> tuple[int, ...]:
        return (size, layer.gates)

    def outputs(self, layer: GatesOfInput, x: Tensor) -> Tensor:
        found: Tensor = layer(x)
        return found

    def write_sizes(self, layer: GatesOfInput) -> None:
        """It notes none down."""

    def extend_out(self, layer: GatesOfInput, weight: Tensor, bias: Tensor | None) -> list[Replaced]:
        units, size = layer.weight_hh.shape[0], weight.shape[0]
        replaced = [grown(layer, "weight", weight, dim=0, at=units)]
        replaced += [
            grown(layer, "weight_hh", weight.new_zeros(size, units, layer.gates), dim=0, at=units),
            grown(layer, "weight_hh", weight.new_zeros(units + size, size, layer.gates), dim=1, at=units),
        ]
        if bias is not None:
            replaced.append(grown(layer, "bias", bias, dim=0, at=units))
            replaced.append(grown(layer, "bias_hh", torch.zeros_like(bias), dim=0, at=units))
        return replaced


_KINDS: Mapping[type[Recurrent], type[GatesOfInput]] = {LSTM: GatesOfLSTM, GRU: GatesOfGRU}


def build(node: Recurrent, inputs: Sequence[Shape]) -> GatesOfInput:
    """The torch layer of the node; its weights are drawn by the compiler, from a generator."""
    return _KINDS[type(node)](inputs[0][0], node.features, bias=node.bias, reverse=node.reverse)


def recurrent(call: TorchCall, module: nn.RNNBase, input: Any, hx: Any = None) -> tuple[ModelValue, Any]:
    """torch.nn.LSTM or GRU as a node for each of its layers: the outputs, and the last states as torch gives them.

    Raises:
        Unmapped: it has options that a spec does not know, or is given a first state other than zeros.
    """
    given = () if hx is None else hx if isinstance(hx, tuple | list) else (hx,)
    if not all(isinstance(each, Weight) and _is_zero(each.tensor) for each in given):
        raise Unmapped("it is given a first state: expected none, or zeros")
    if module.proj_size:
        raise Unmapped(f"its proj_size is {module.proj_size}: expected 0")
    if len(call.sizes) != 3:
        raise Unmapped("it reads one sequence: expected a batch of sequences")
    order = (0, 1, 2) if module.batch_first else (1, 0, 2)
    value = call.view(settled(permuted(call.arranged(input), order)))
    ends: list[Arranged] = []
    for layer in range(module.num_layers):
        node = _before_layer(call, module, layer, value)
        found = [
            _read(call, module, layer, node, reverse) for reverse in (False, True)[: 1 + module.bidirectional]
        ]
        ends += [_last_state(call, each) for each in found]
        if len(found) == 2:
            found = [call.blueprint.merge(f"{found[0].node}.both", "concat", found)]
        value = ModelValue(found[0].node, found[0].own, found[0].own[::-1], turned=True)
    # torch has a dimension for the layers in front of the batch.
    states = ends[0].with_dims(((), *ends[0].dims)) if len(ends) == 1 else tuple(map(settled, ends))
    told = states if isinstance(module, nn.GRU) else (states, Absent("the cell state of an LSTM"))
    return permuted(arranged(value, call.batch), order), told


def _is_zero(state: Tensor) -> bool:
    return not isinstance(state, Parameter) and not bool(state.any())


def _before_layer(call: TorchCall, module: nn.RNNBase, layer: int, value: ModelValue) -> str:
    """The node that a layer reads, which reads (positions, features); there may be a dropout before it."""
    node = call.blueprint.sequence(call.blueprint.by_features(value))
    if not layer or not module.dropout:
        return node
    inner = call.inside(f"dropout{layer}", call.blueprint.shapes[node])
    return inner.add(Dropout, sources=(node,), p=float(module.dropout)).node


def _read(call: TorchCall, module: nn.RNNBase, layer: int, source: str, reverse: bool) -> ModelValue:
    """A node for one direction of one layer."""
    kind = LSTM if isinstance(module, nn.LSTM) else GRU
    gates, end = kind.gates, f"_l{layer}{'_reverse' if reverse else ''}"
    weights: dict[str, Weight | None] = {}
    for of_torch, name in _NAMES.items():
        given = call.weight_in(module, of_torch + end) if module.bias or "weight" in name else None
        weights[name] = None if given is None else given.converted(lambda tensor: gates_last(tensor, gates))
    called = ".".join([*([str(layer)] if layer else []), *(["reverse"] if reverse else [])])
    inner = call.inside(called, call.shape) if called else call
    fields = {"features": module.hidden_size, "bias": module.bias, "reverse": reverse}
    return inner.add(kind, weights, sources=(source,), **fields)


def _last_state(call: TorchCall, states: ModelValue) -> Arranged:
    """The state that was reached last, (n, units)."""
    (features, length), node = states.own, states.node
    if length > 1:
        padding = (
            (0, 1 - length) if getattr(call.blueprint.nodes[node], "reverse", False) else (1 - length, 0)
        )
        node = call.blueprint.add(f"{node}.last", Pad, sources=(node,), padding=padding).node
    return Arranged(node, (features, 1), ()).with_dims((along(BATCH, call.batch), along(FEATURES, features)))


_NAMES: Mapping[str, str] = {
    "weight_ih": "weight",
    "bias_ih": "bias",
    "weight_hh": "weight_hh",
    "bias_hh": "bias_hh",
}
"""The parameters of a layer by their names in torch, without the number of the layer."""


def _plain(part: GatesOfInput) -> PlainTorch:
    units, read, _ = part.weight.shape
    kind = nn.LSTM if isinstance(part, GatesOfLSTM) else nn.GRU
    module = kind(read, units, bias=part.bias is not None, batch_first=True, device="meta")
    for of_torch, name in _NAMES.items():
        own = getattr(part, name)
        if own is not None:
            setattr(module, f"{of_torch}_l0", like(own, gates_first(own)))
    module.train(part.training)

    def compute(call: Any, x: Any) -> Any:
        x = x.flip(2) if part.reverse else x
        states = call("", x.transpose(1, 2))[0].transpose(1, 2)
        return states.flip(2) if part.reverse else states

    return PlainTorch({"": module}, compute)


TORCH = TorchHalf(
    build,
    [RecurrentAdapter(), RecurrenceAdapter()],
    behind=Recurrence,
    import_modules={nn.LSTM: recurrent, nn.GRU: recurrent},
    export={GatesOfLSTM: _plain, GatesOfGRU: _plain},
)
