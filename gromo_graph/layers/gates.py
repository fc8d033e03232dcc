"""The torch modules of `lstm` and `gru`: a layer that computes the gates from the input, and the recurrence behind it.

The gates of one unit stand side by side: a weight is (units, inputs, gates), so that its first two dimensions grow as
those of any layer, and the outputs of the layer before the recurrence are (n, units · gates, length)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional

ENTERING = 2
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
        return functional.linear(x.transpose(1, 2), gates_as_rows(self.weight), bias).transpose(1, 2)

    def states(self, gates: Tensor) -> Tensor:
        """(n, units · gates, length) -> (n, units, length), the hidden state at each position.

        torch's own loop over the positions computes it: it reads the gates through weights that are the identity.
        """
        units = self.weight_hh.shape[0]
        inputs = self.in_time(gates).unflatten(1, (units, self.gates)).permute(3, 0, 2, 1).flatten(2)
        identity = torch.eye(inputs.shape[2], dtype=inputs.dtype, device=inputs.device)
        weights = [identity, gates_first(self.weight_hh)]
        if self.bias_hh is not None:
            bias = gates_first(self.bias_hh)
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
            entering: what their gate `ENTERING` gets, shaped like the result.
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


def gates_first(tensor: Tensor) -> Tensor:
    """(units, ..., gates) -> (gates · units, ...), the order of torch."""
    return tensor.movedim(-1, 0).flatten(0, 1)


def gates_last(tensor: Tensor, gates: int) -> Tensor:
    """The inverse of `gates_first`."""
    found: Tensor = tensor.unflatten(0, (gates, -1)).movedim(0, -1)
    return found


def gates_as_rows(weight: Tensor) -> Tensor:
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
