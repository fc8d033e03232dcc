"""The lists of parameters that an optimizer keeps, changed in place: schedulers and LBFGS hold on to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.nn import Parameter


@dataclass(frozen=True)
class Order:
    """The parameters of a network in the order of its `named_parameters()`, with their names.

    A new optimizer for the same network has them in this order, and so takes the state of one that followed it here:
    `state_dict()` of an optimizer knows parameters by their places alone.
    """

    names: Mapping[Parameter, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", {p: place for place, p in enumerate(self.names)})

    def sorted(self, parameters: Iterable[Parameter]) -> list[Parameter]:
        """Sort the parameters of the network in its order; those of others keep their places among them."""
        places: Mapping[Parameter, int] = vars(self)["_places"]
        found = list(parameters)
        own = iter(sorted((p for p in found if p in places), key=places.__getitem__))
        return [next(own) if p in places else p for p in found]


def regroup(
    group: dict[str, Any],
    order: Order,
    *,
    heirs: Mapping[Parameter, Parameter],
    gone: Collection[Parameter],
    joining: Sequence[Parameter],
    prefix: str | None,
) -> None:
    """Let a group hold what a changed network has in the place of its parameters, in the network's order.

    Args:
        group: of an optimizer; its lists change in place.
        heirs: the parameter that took the place of each one that has been replaced. gone: those that nothing replaces.
        joining: new parameters of the group.
        prefix: of the network's names in `param_names`; None keeps the names that somebody made up.
    """
    before: list[Parameter] = list(group["params"])
    parameters = [heirs.get(p, p) for p in before if p not in gone]
    last = max((place for place, p in enumerate(parameters) if p in order.names), default=len(parameters) - 1)
    parameters[last + 1 : last + 1] = joining
    parameters = order.sorted(parameters)
    if "param_names" in group:
        given = {heirs.get(p, p): name for p, name in zip(before, group["param_names"], strict=True)}
        group["param_names"][:] = [_name(p, given, order, prefix) for p in parameters]
    group["params"][:] = parameters


def _name(parameter: Parameter, given: Mapping[Parameter, str], order: Order, prefix: str | None) -> str:
    own = order.names.get(parameter)
    if own is None or (prefix is None and parameter in given):
        return given[parameter]
    return f"{prefix or ''}{own}"


def prefix_of_names(groups: Iterable[Mapping[str, Any]], names: Mapping[Parameter, str]) -> str | None:
    """The prefix of the network's names in `param_names`: the path of the network in a larger module.

    Returns:
        None if they are no names of the network's parameters.
    """
    for group in groups:
        for parameter, given in zip(group["params"], group.get("param_names", ()), strict=False):
            own = names.get(parameter)
            if own is not None and given.endswith(own):
                return str(given.removesuffix(own))
    return None
