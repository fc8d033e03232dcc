"""The changes of a parameter that grew or lost entries, for those who hold on to it (optimizers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter


@dataclass(frozen=True)
class Replaced:
    """A parameter and the one that took its place: `size` entries were inserted along `dim` before place `at`."""

    old: Parameter
    new: Parameter
    dim: int
    at: int
    size: int

    def of(self, value: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        """A tensor shaped like the old parameter, with `fill` in the new entries.

        >>> Replaced(Parameter(torch.zeros(2)), Parameter(torch.zeros(3)), 0, 1, 1).of(torch.tensor([5.0, 6.0]), 1.0)
        tensor([5., 1., 6.])
        """
        shape = list(value.shape)
        shape[self.dim] = self.size
        return inserted(value, torch.as_tensor(fill).to(value).expand(shape), dim=self.dim, at=self.at)

    def places_along(self, dim: int) -> list[int]:
        """The old place of each entry of the new parameter along a dimension; −1 for a new one.

        >>> Replaced(Parameter(torch.zeros(2)), Parameter(torch.zeros(3)), 0, 1, 1).places_along(0)
        [0, -1, 1]
        """
        places = list(range(self.old.shape[dim]))
        if dim == self.dim:
            places[self.at : self.at] = [-1] * self.size
        return places


@dataclass(frozen=True)
class Kept:
    """A parameter and the one that took its place: some entries are left, others may be new.

    Attributes:
        places: by dimension, where each entry of the new parameter stood in the old one; −1 if it is new.
    """

    old: Parameter
    new: Parameter
    places: Mapping[int, Tensor]

    def of(self, value: Tensor, fill: Tensor | float = 0.0) -> Tensor:
        """The entries that are left of a tensor shaped like the old parameter, `fill` in the new entries.

        >>> change = Kept(Parameter(torch.zeros(3)), Parameter(torch.zeros(3)), {0: torch.tensor([2, -1, 0])})
        >>> change.of(torch.tensor([5.0, 6.0, 7.0]), 1.0)
        tensor([7., 1., 5.])
        """
        for dim, wanted in self.places.items():
            places = wanted.to(value.device)
            new = places < 0
            value = value.index_select(dim, places.clamp_min(0))
            if bool(new.any()):
                shape = [-1 if axis == dim else 1 for axis in range(value.dim())]
                value = torch.where(new.reshape(shape), torch.as_tensor(fill).to(value), value)
        return value

    def places_along(self, dim: int) -> list[int]:
        """The same as `places`, of any dimension."""
        return self.places[dim].tolist() if dim in self.places else list(range(self.old.shape[dim]))


ParameterChange = Replaced | Kept
"""The change by which another parameter took the place of one."""


def grown(owner: torch.nn.Module, name: str, values: Tensor, *, dim: int, at: int) -> Replaced:
    """Insert values into a parameter of a module; the old entries keep their bits, and whether they are trained."""
    old = owner.get_parameter(name)
    new = Parameter(inserted(old, values, dim=dim, at=at), requires_grad=old.requires_grad)
    setattr(owner, name, new)
    return Replaced(old, new, dim, at, values.shape[dim])


def inserted(old: Tensor, values: Tensor, *, dim: int, at: int) -> Tensor:
    """A copy of `old` with `values` before place `at` along a dimension.

    >>> inserted(torch.tensor([1, 2, 3]), torch.tensor([9]), dim=0, at=1)
    tensor([1, 9, 2, 3])
    """
    before, after = old.detach().split([at, old.shape[dim] - at], dim=dim)
    return torch.cat((before, values.detach().to(old), after), dim=dim)
