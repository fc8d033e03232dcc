"""New neurons of a width group as plain tensors: fan-in α and fan-out ω of each of its layers, and the values λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class FanIn:
    """The weights of a producer for new neurons: weight (k, in, ...), bias (k,) or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class FanOut:
    """The weights of a consumer for new neurons.

    Attributes:
        weight: of the layer that reads them, (out, inputs, ...), place after place.
        repeats: for each place the inputs that one neuron becomes there.
    """

    weight: Tensor
    repeats: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of neurons, k."""
        return self.weight.shape[1] // max(1, sum(self.repeats))

    def by_place(self) -> list[Tensor]:
        """(out, k, repeat, ...) for each place: views of the weight."""
        parts = self.weight.split([self.size * repeat for repeat in self.repeats], dim=1)
        return [
            part.unflatten(1, (self.size, repeat)) for part, repeat in zip(parts, self.repeats, strict=True)
        ]

    def of(self, parts: Sequence[Tensor]) -> FanOut:
        """The inverse of `by_place`."""
        return replace(self, weight=torch.cat([part.flatten(1, 2) for part in parts], dim=1))


@dataclass(frozen=True)
class GroupNeurons:
    """New neurons, in the order of the group's producers and consumers.

    Attributes:
        fan_in, fan_out: α and ω.
        values: (k,), λ; None if nothing was solved.
        solver, decomposition: which way they were found.
        spreads: root mean square of the channels at s = 1, by member of the group (producers, then merges) and index
            of the operation in its function, if an operation needs it.
    """

    fan_in: tuple[FanIn, ...]
    fan_out: tuple[FanOut, ...]
    values: Tensor | None
    solver: str = "none"
    decomposition: str = "full"
    spreads: Mapping[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.fan_in[0].weight.shape[0]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.fan_out[0].weight.device

    def selected(self, order: Tensor, sign: Tensor | None = None) -> GroupNeurons:
        """Some neurons in another order, each times a sign on both sides."""

        def rows(values: Tensor) -> Tensor:
            chosen = values[order]
            return chosen if sign is None else chosen * sign.reshape(-1, *[1] * (chosen.dim() - 1))

        def columns(part: Tensor) -> Tensor:
            chosen = part[:, order]
            return chosen if sign is None else chosen * sign.reshape(1, -1, *[1] * (chosen.dim() - 2))

        return replace(
            self,
            fan_in=tuple(
                FanIn(rows(fan.weight), None if fan.bias is None else rows(fan.bias)) for fan in self.fan_in
            ),
            fan_out=tuple(fan.of([columns(part) for part in fan.by_place()]) for fan in self.fan_out),
            values=None if self.values is None else self.values[order],
            spreads={key: spread[order] for key, spread in self.spreads.items()},
        )

    def scaled_apart(self, fan_in: Sequence[float], fan_out: Sequence[float]) -> GroupNeurons:
        """α of each producer and ω of each consumer times a factor of its own.

        Channels that operations must know the size of have one factor, that of all producers.
        """
        alphas = [self.scaled(factor, 1.0).fan_in[place] for place, factor in enumerate(fan_in)]
        omegas = [self.scaled(1.0, factor).fan_out[place] for place, factor in enumerate(fan_out)]
        spreads = {key: spread * abs(fan_in[0]) for key, spread in self.spreads.items()}
        return replace(self, fan_in=tuple(alphas), fan_out=tuple(omegas), spreads=spreads)

    def scaled(self, fan_in: Tensor | float, fan_out: Tensor | float) -> GroupNeurons:
        """α and ω times a factor, or a factor for each neuron, (k,)."""

        def rows(values: Tensor, factor: Tensor | float) -> Tensor:
            if isinstance(factor, Tensor) and factor.dim():
                factor = factor.reshape(-1, *[1] * (values.dim() - 1))
            return values * factor

        def columns(part: Tensor) -> Tensor:
            return rows(part.transpose(0, 1), fan_out).transpose(0, 1)

        return replace(
            self,
            fan_in=tuple(
                FanIn(rows(fan.weight, fan_in), None if fan.bias is None else rows(fan.bias, fan_in))
                for fan in self.fan_in
            ),
            fan_out=tuple(fan.of([columns(part) for part in fan.by_place()]) for fan in self.fan_out),
            spreads={key: spread * fan_in for key, spread in self.spreads.items()},
        )


def taking_turns(parts: Sequence[GroupNeurons]) -> GroupNeurons:
    """Neurons that were found for each place of a unit alone: the i-th of all are neighbours; as many as all have."""
    count, first = min(part.size for part in parts), parts[0]

    def rows(values: Sequence[Tensor]) -> Tensor:
        return torch.stack([value[:count] for value in values], dim=1).flatten(0, 1)

    def if_all(values: Sequence[Tensor | None]) -> Tensor | None:
        known = [value for value in values if value is not None]
        return rows(known) if len(known) == len(values) else None

    def columns(places: Sequence[Tensor]) -> Tensor:
        return rows([each.transpose(0, 1) for each in places]).transpose(0, 1)

    return replace(
        first,
        fan_in=tuple(
            FanIn(rows([side.weight for side in sides]), if_all([side.bias for side in sides]))
            for sides in zip(*(part.fan_in for part in parts), strict=True)
        ),
        fan_out=tuple(
            outs[0].of([columns(places) for places in zip(*(out.by_place() for out in outs), strict=True)])
            for outs in zip(*(part.fan_out for part in parts), strict=True)
        ),
        values=if_all([part.values for part in parts]),
        spreads={key: rows([part.spreads[key] for part in parts]) for key in first.spreads},
    )
