"""Bias corrections by the own age of each entry: Adam counts steps by parameter, and grown entries are younger.

The state of a parameter says when its entries were born, as numbers of its own step counter: `state["born"]` has a list
for each dimension, empty if nothing is young along it. An entry is there since the later one of its row and its column.
Lists of integers are what `state_dict` and checkpoints keep to the bit in each precision. A hook before and one after
each step of the optimizer scale the moves of young entries (docs/maths.md, "Own steps"), which begin small if the
training has a warm-up. At its end their moments become those of entries that have always been there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers import ParameterChange

BORN = "born"
"""The name of births in the state of a parameter."""

Born = list[list[int]]
"""The steps at which entries were added, for each dimension; empty if all have been there from the beginning."""

_MEANS, _SQUARES = ("exp_avg",), ("exp_avg_sq", "max_exp_avg_sq")
_CLOSE = 1e-3  # a bias correction that is as near to 1 is not told from 1


def has_own_steps(optimizer: torch.optim.Optimizer) -> bool:
    """True if one factor on the move of an entry makes its bias corrections those of its own age.

    It does for Adam and AdamW, with amsgrad too, and for Adamax. NAdam and RAdam add terms of different corrections.
    """
    return isinstance(optimizer, torch.optim.Adam | torch.optim.Adamax)


def moved_births(state: Mapping[str, Any], change: ParameterChange, *, young: bool) -> Born | None:
    """The step at which each entry of a new parameter was born.

    Args:
        state: of the old parameter, with its step counter. change: that put the new one in its place.
        young: whether its new entries count their own steps from now on, or those of the parameter.

    Returns:
        None if no entry is young.
    """
    known: Born = state.get(BORN) or [[] for _ in change.old.shape]
    births = births_after(known, change, int(state.get("step", 0)) if young else 0)
    return births if any(births) else None


def births_after(known: Born, change: ParameterChange, now: int) -> Born:
    """The births in a new parameter, whose new entries are born `now`."""
    births: Born = []
    for dim, before in enumerate(known):
        own = before or [0] * change.old.shape[dim]
        found = [own[place] if place >= 0 else now for place in change.places_along(dim)]
        births.append(found if any(found) else [])
    return births


def check_births(found: Any, parameter: Tensor, *, some: bool = True) -> None:
    """Refuse births from a file, or marks of old entries, that are none of the parameter.

    Args:
        some: whether there must be births.

    Raises:
        ValueError: says what was found.
    """
    lists = found if isinstance(found, list) else []
    fits = len(lists) == parameter.dim() and all(
        isinstance(births, list) and len(births) in (0, size) and all(type(step) is int for step in births)
        for births, size in zip(lists, parameter.shape, strict=True)
    )
    if not fits or (some and not any(lists)):
        raise ValueError(
            f"births of entries: found {found!r}, expected steps for each entry along a dimension"
        )


def attend(optimizer: torch.optim.Optimizer, warm_up: int | None = None) -> None:
    """Let young entries take the steps of their own age; once is enough, and a copy of an optimizer needs it again.

    Args:
        warm_up: steps over which the moves of a new entry rise to their full size; None leaves it as it is, and 0 at
            first.
    """
    if not has_own_steps(optimizer):
        return
    owners = (getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_pre_hooks.values())
    own = next((each for each in owners if isinstance(each, OwnSteps)), None)
    if own is None:
        own = OwnSteps()
        optimizer.register_step_pre_hook(own.before)
        optimizer.register_step_post_hook(own.after)
    if warm_up is not None:
        own.warm_up = warm_up


@dataclass(frozen=True)
class _Box:
    """A part of a parameter.

    Attributes:
        slices: by dimension.
        along: for each dimension with young entries, the place of each entry's birth among all births, in a shape for
            broadcasting.
        later: for each of them but the first, whether an entry's birth along it is later than those along the others
            before it.
    """

    slices: tuple[slice, ...]
    along: tuple[Tensor, ...]
    later: tuple[Tensor, ...]

    def of(self, values: Tensor) -> Tensor:
        """The value of each entry, of one for each birth."""
        found = values.take(self.along[0])
        for along, later in zip(self.along[1:], self.later, strict=True):
            found = torch.where(later, values.take(along), found)
        return found


@dataclass(frozen=True)
class _Young:
    """The births of a parameter, on its device.

    Attributes:
        born: as in the state. births: the different ones, in their order, with the 0 of old entries.
        boxes: that hold all young entries, apart from each other.
    """

    born: Born
    births: tuple[int, ...]
    boxes: tuple[_Box, ...]


@dataclass(frozen=True)
class _Before:
    """A parameter before a step: its boxes, with the decay of weights that is no part of the moments, and its count."""

    values: tuple[Tensor, ...]
    count: Tensor


class OwnSteps:
    """The two hooks around the steps of an optimizer.

    Attributes:
        warm_up: steps over which the moves of a new entry rise to their full size.
    """

    def __init__(self) -> None:
        self.warm_up = 0
        self._young: dict[Parameter, _Young] = {}
        self._before: dict[Parameter, _Before] = {}

    @torch.no_grad()
    def before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Remember the boxes with young entries."""
        known, self._young, self._before = self._young, {}, {}
        for parameter, group in _with_births(optimizer):
            state = optimizer.state[parameter]
            self._young[parameter] = young = _young(parameter, state[BORN], known.get(parameter))
            values = tuple(_decayed(parameter[box.slices], group) for box in young.boxes)
            self._before[parameter] = _Before(values, torch.as_tensor(state["step"]).clone())

    @torch.no_grad()
    def after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Scale the moves of young entries. A subclass that steps by its parent's step comes here twice."""
        waiting, self._before = self._before, {}
        counts = _numbers([each.count for each in waiting.values()])
        steps = _numbers([torch.as_tensor(optimizer.state[p]["step"]) for p in waiting])
        groups = dict(_with_births(optimizer))
        factors: dict[tuple[_Correction, tuple[int, ...], int], list[float]] = {}  # of all that grew together
        for (parameter, before), count, step in zip(waiting.items(), counts, steps, strict=True):
            if step == count:
                continue  # it had no gradient, or a gradient scaler has left the step out
            young = self._young[parameter]
            correction = _correction_of(optimizer, groups[parameter], self.warm_up)
            key = correction, young.births, step
            if key not in factors:
                factors[key] = [correction.factor(step - b, step) if b else 1.0 for b in young.births]
            table = torch.tensor(factors[key], dtype=parameter.dtype, device=parameter.device)
            for box, values in zip(young.boxes, before.values, strict=True):
                part = parameter[box.slices]
                torch.lerp(values, part, box.of(table), out=part)
            old = {birth for birth in young.births if birth and correction.is_over(step - birth)}
            if old:
                state = optimizer.state[parameter]
                correction.join(state, young, old, step)
                _forget(state, young.born, old)


@dataclass(frozen=True)
class _Correction:
    """The bias corrections of a group; β₂ = 0 for Adamax, which does not correct its maximum."""

    first: float
    second: float
    warm_up: int

    def factor(self, age: int, step: int) -> float:
        """The factor on the move of an entry of this age, in a parameter whose counter stands at `step`."""
        age = max(age, 1)
        rise = min(1.0, age / self.warm_up) if self.warm_up else 1.0
        return rise if self._is_corrected(age) else rise * self._after(age) / self._after(step)

    def is_over(self, age: int) -> bool:
        """True if the age makes no difference any more, or the warm-up is over."""
        return age >= self.warm_up and (self.warm_up > 0 or self._is_corrected(age))

    def join(self, state: Mapping[str, Any], young: _Young, old: Collection[int], step: int) -> None:
        """Scale the moments of entries born at some steps: corrected by the count of the parameter, they are as now."""
        for names, beta in ((_MEANS, self.first), (_SQUARES, self.second)):
            rises = [(1 - beta**step) / (1 - beta ** (step - b)) if b in old else 1.0 for b in young.births]
            for moment in (state[name] for name in names if name in state and max(rises) > 1.0):
                table = torch.tensor(rises, dtype=moment.dtype, device=moment.device)
                for box in young.boxes:
                    moment[box.slices].mul_(box.of(table))

    def _is_corrected(self, age: int) -> bool:
        """True if the correction is close to 1: to first order it is β₁ᵃ + ½β₂ᵃ away."""
        return bool(self.first**age + self.second**age / 2 < _CLOSE)

    def _after(self, steps: int) -> float:
        return math.sqrt(1 - self.second**steps) / (1 - self.first**steps)


def _correction_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], warm_up: int) -> _Correction:
    first, second = map(float, group["betas"])
    return _Correction(first, 0.0 if isinstance(optimizer, torch.optim.Adamax) else second, warm_up)


def _with_births(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Parameter, Mapping[str, Any]]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if BORN in optimizer.state.get(parameter, ()):
                yield parameter, group


def _young(parameter: Parameter, born: Born, known: _Young | None) -> _Young:
    if known is not None and known.born is born and known.boxes[0].along[0].device == parameter.device:
        return known
    births = sorted({0}.union(*born))
    places = [torch.tensor([births.index(birth) for birth in along]) for along in born]
    spans = _spans(born, parameter.shape)
    boxes = tuple(_box(slices, places, parameter) for slices in spans)
    return _Young(born, tuple(births), boxes)


def _spans(born: Born, shape: Iterable[int]) -> list[tuple[slice, ...]]:
    """Boxes that hold all young entries: the span of those along a dimension, less what has been taken before."""
    found: list[tuple[slice, ...]] = []
    rest = [tuple(slice(0, size) for size in shape)]
    for dim, births in enumerate(born):
        young = [place for place, birth in enumerate(births) if birth]
        if not young:
            continue
        begin, end = young[0], young[-1] + 1
        around = [span for span in (slice(0, begin), slice(end, len(births))) if span.start < span.stop]
        found += [(*box[:dim], slice(begin, end), *box[dim + 1 :]) for box in rest]
        rest = [(*box[:dim], span, *box[dim + 1 :]) for box in rest for span in around]
    return found


def _box(slices: tuple[slice, ...], places: list[Tensor], parameter: Parameter) -> _Box:
    along, later, latest = [], [], None
    for dim, own in enumerate(places):
        if len(own):
            shape = [-1 if axis == dim else 1 for axis in range(len(slices))]
            place = own[slices[dim]].reshape(shape).to(parameter.device)
            along.append(place)
            if latest is not None:
                later.append(place > latest)
            latest = place if latest is None else torch.maximum(latest, place)
    return _Box(slices, tuple(along), tuple(later))


def _forget(state: dict[str, Any], born: Born, old: Collection[int]) -> None:
    """Write births that make no difference any more as 0, and none if all are."""
    left = [[0 if birth in old else birth for birth in along] for along in born]
    state[BORN] = [along if any(along) else [] for along in left]
    if not any(state[BORN]):
        del state[BORN]


def _decayed(part: Tensor, group: Mapping[str, Any]) -> Tensor:
    """A copy, less the decay of AdamW: that goes by the weight and not by the moments, and is not scaled."""
    if group.get("decoupled_weight_decay", False) and group["weight_decay"] != 0:
        return part.mul(1 - group["lr"] * group["weight_decay"])
    return part.clone()


def _numbers(counts: Sequence[Tensor]) -> list[int]:
    """Counts as integers; an accelerator is waited for once."""
    if len({count.device for count in counts}) == 1:
        counts = list(torch.stack(list(counts)).cpu())
    return [int(count) for count in counts]
