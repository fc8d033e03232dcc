"""`lstm`, `gru`: a layer that computes the gates from the input, and the recurrence behind it.

The gates of one unit stand side by side: a weight is (units, inputs, gates), so that its first two dimensions grow as
those of any layer, and the outputs of the layer before the recurrence are (n, units · gates, length). How such layers
grow is in docs/maths.md, "Recurrent layers".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional

from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel, like
from gromo_graph.layers.conv import FLAT, SlidingAdapter
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

_NEW = 2
"""The place of the gate whose value enters the state, in torch's order of both kinds; the others are factors."""


class GatesOfInput(nn.Module):
    """W x + b of all gates at each position; it also holds the weights of the recurrence behind it.

    Args:
        read: features of the input. units: of the state. bias: whether both have biases.
        reverse: whether the last position comes first.

    Attributes:
        weight, bias: of the input, (units, read, gates) and (units, gates).
        weight_hh, bias_hh: of the state before, (units, units, gates) and (units, gates).
    """

    gates: ClassVar[int]
    by_rows: ClassVar[Mapping[str, tuple[int, ...]]] = {"weight_hh": (0, 1), "bias": (0,), "bias_hh": (0,)}
    """The dimensions of parameters that stand for the features of the node, where they are not just the first."""

    def __init__(self, read: int, units: int, *, bias: bool, reverse: bool = False) -> None:
        super().__init__()
        self.reverse = reverse
        self.weight = Parameter(torch.empty(units, read, self.gates))
        self.weight_hh = Parameter(torch.empty(units, units, self.gates))
        self.bias = Parameter(torch.empty(units, self.gates)) if bias else None
        self.bias_hh = Parameter(torch.empty(units, self.gates)) if bias else None

    @property
    def values_read(self) -> int:
        """The number that sets the size of the first weights: that of the units, as in torch."""
        return self.weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """(n, read, length) -> (n, units · gates, length), a view with the features last."""
        bias = None if self.bias is None else self.bias.flatten()
        return functional.linear(x.transpose(1, 2), _matrix(self.weight), bias).transpose(1, 2)

    def states(self, gates: Tensor) -> Tensor:
        """(n, units · gates, length) -> (n, units, length), the hidden state at each position.

        torch's own loop over the positions computes it: it reads the gates through weights that are the identity.
        """
        units = self.weight_hh.shape[0]
        inputs = self.in_time(gates).unflatten(1, (units, self.gates)).permute(3, 0, 2, 1).flatten(2)
        identity = torch.eye(inputs.shape[2], dtype=inputs.dtype, device=inputs.device)
        weights = [identity, _by_gate(self.weight_hh)]
        if self.bias_hh is not None:
            bias = _by_gate(self.bias_hh)
            weights += [torch.zeros_like(bias), bias]
        start = inputs.new_zeros(1, inputs.shape[1], units)
        return self.in_time(self.loop(inputs, start, weights).permute(1, 2, 0))

    def in_time(self, values: Tensor) -> Tensor:
        """Values (n, ..., length) in the order in which they are read, and back."""
        return values.flip(-1) if self.reverse else values

    def loop(self, inputs: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        """torch's loop over the positions.

        Args:
            inputs: (length, n, gates · units). start: the state before the first position, (1, n, units).
            weights: of inputs and states, then both biases if there are any.

        Returns:
            The states, (length, n, units).
        """
        raise NotImplementedError

    def alone(self, entering: Tensor) -> Tensor:
        """The states, in time, of units whose other gates get 0, and that read no state, (n, units, length).

        Args:
            entering: what their gate `_NEW` gets, shaped like the result.
        """
        raise NotImplementedError

    def linear_alone(self, entering: Tensor) -> Tensor:
        """The same at first order in `entering`."""
        raise NotImplementedError


class GatesOfLSTM(GatesOfInput):
    """The gates i, f, g, o: c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c)."""

    gates = 4

    def loop(self, inputs: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        states, _, _ = torch.lstm(
            inputs, (start, start), weights, len(weights) > 2, 1, 0.0, True, False, False
        )
        return states

    def alone(self, entering: Tensor) -> Tensor:
        return 0.5 * _halving(0.5 * entering.tanh()).tanh()

    def linear_alone(self, entering: Tensor) -> Tensor:
        return 0.25 * _halving(entering)


class GatesOfGRU(GatesOfInput):
    """The gates r, z, n: h = σ(z) h + (1 − σ(z)) tanh(n), where n reads the state before times σ(r)."""

    gates = 3

    def loop(self, inputs: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        states, _ = torch.gru(inputs, start, weights, len(weights) > 2, 1, 0.0, True, False, False)
        return states

    def alone(self, entering: Tensor) -> Tensor:
        return _halving(0.5 * entering.tanh())

    def linear_alone(self, entering: Tensor) -> Tensor:
        return 0.5 * _halving(entering)


def _halving(values: Tensor) -> Tensor:
    """Σ over s ≤ t of 2^(s − t) values_s at each position t of (..., length): what a gate σ(0) = ½ keeps."""
    age = torch.arange(values.shape[-1], device=values.device)
    age = age[:, None] - age
    return values @ torch.where(age < 0, 0.0, 0.5 ** age.clamp_min(0)).to(values).T


def _by_gate(tensor: Tensor) -> Tensor:
    """(units, ..., gates) -> (gates · units, ...), the order of torch."""
    return tensor.movedim(-1, 0).flatten(0, 1)


def _by_unit(tensor: Tensor, gates: int) -> Tensor:
    """The inverse of `_by_gate`."""
    found: Tensor = tensor.unflatten(0, (gates, -1)).movedim(0, -1)
    return found


def _matrix(weight: Tensor) -> Tensor:
    """(units, read, gates) -> (units · gates, read)."""
    return weight.transpose(1, 2).flatten(0, 1)


class Recurrence(nn.Module):
    """The states (n, units, length) from the gates (n, units · gates, length).

    Args:
        layer: that computes the gates and holds the weights; it is registered where it is called.
    """

    def __init__(self, layer: GatesOfInput) -> None:
        super().__init__()
        self._layer = (layer,)

    @property
    def layer(self) -> GatesOfInput:
        """The layer before it."""
        return self._layer[0]

    def forward(self, gates: Tensor) -> Tensor:
        """Of all units."""
        return self.layer.states(gates)


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
    return by_unit[:, :, _NEW]


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
        return super().matrix(_matrix(weight), None if bias is None else bias.flatten())

    def weight_and_bias(self, layer: GatesOfInput, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        by_unit = matrix.unflatten(0, (-1, layer.gates)).transpose(1, 2)
        return (by_unit[:, :-1], by_unit[:, -1]) if self.has_bias(layer) else (by_unit, None)

    def fan_in_weight(self, layer: GatesOfInput, alpha: Tensor) -> tuple[Tensor, Tensor | None]:
        gates = alpha.new_zeros(alpha.shape[0], layer.gates, alpha.shape[1])
        gates[:, _NEW] = alpha
        return self.weight_and_bias(layer, gates.flatten(0, 1))

    def alpha(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super().matrix(weight[..., _NEW], None if bias is None else bias[..., _NEW])

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
        weights[name] = None if given is None else given.converted(lambda tensor: _by_unit(tensor, gates))
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
            setattr(module, f"{of_torch}_l0", like(own, _by_gate(own)))
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
