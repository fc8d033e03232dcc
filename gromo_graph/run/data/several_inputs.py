"""The samples of a network with several inputs: their numbers stand side by side in one array."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.run.data.raw import Array, Raw, raw_from
from gromo_graph.spec.model import Spec
from gromo_graph.spec.token_inputs import vocabularies


@dataclass(frozen=True)
class InputForm:
    """The form of one of several inputs, in the order in which their numbers stand side by side.

    Attributes:
        name: of the input node; empty for the one that is left when all others are named.
        shape: of a sample. vocabulary: how many token ids it may hold; None if it holds values.
        place: among the inputs of the network.
    """

    name: str
    shape: tuple[PositiveInt, ...]
    vocabulary: PositiveInt | None = None
    place: NonNegativeInt = 0

    @property
    def size(self) -> int:
        """The numbers of a sample."""
        return math.prod(self.shape)


def slices(forms: Sequence[InputForm]) -> list[slice]:
    """The numbers of each input.

    >>> slices([InputForm("a", (2,)), InputForm("b", (1, 3))])
    [slice(0, 2, None), slice(2, 5, None)]
    """
    ends = np.cumsum([0, *(form.size for form in forms)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def parted(x: Tensor, forms: Sequence[InputForm]) -> Any:
    """The inputs of the network by their places, from (samples, numbers of all); without forms x as it is."""
    if not forms:
        return x
    parts = zip(forms, torch.split(x, [form.size for form in forms], dim=1), strict=True)
    shaped = {form.place: part.reshape(-1, *form.shape) for form, part in parts}
    return tuple(shaped[place] for place in range(len(forms)))


def with_several_inputs(name: str, x: Mapping[str, Any], y: Any) -> Raw:
    """Raw data with the samples of each input by its name.

    Raises:
        RunError: an input holds no numbers, or another number of samples.
    """
    parts = {str(key): raw_from(f"{name}, `{key}`", values, None).x for key, values in x.items()}
    if not parts:
        raise RunError(f"{name}: x is empty: expected samples for each input, by its name")
    sizes = {key: len(part) for key, part in parts.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} of `{key}`" for key, size in sizes.items())
        raise RunError(f"{name}: the inputs have different numbers of samples, {told}: expected one number")
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts.values()], axis=1)
    forms = tuple(InputForm(key, part.shape[1:]) for key, part in parts.items())
    return replace(raw_from(name, flat, y), inputs=forms)


def forms_for(raw: Raw, spec: Spec) -> tuple[InputForm, ...]:
    """The forms of the inputs of a spec, in the order of the data; () of a spec with one input.

    Raises:
        RunError: the data have no samples for an input, samples for none, or of another form.
    """
    if len(spec.inputs) == 1 and len(raw.inputs) < 2:
        return ()
    named = [form.name for form in raw.inputs]
    left = [name for name in spec.inputs if name not in named]
    if "" in named and len(left) == 1:
        named[named.index("")] = left[0]
    if sorted(named) != sorted(spec.inputs):
        found = (
            ", ".join(name or "the values of all other columns" for name in named) or "samples without a name"
        )
        raise RunError(
            f"{raw.name}: expected samples for each input, {', '.join(spec.inputs)}, found {found}: give x as a map, "
            "{'name': samples}, or the arrays x.NAME in an .npz file"
        )
    graph, ids = build_graph(spec), vocabularies(spec.nodes)
    forms = []
    for name, found in zip(named, raw.inputs, strict=True):
        form = InputForm(name, graph.shapes[name], ids.get(name), spec.inputs.index(name))
        _check(raw, found, form)
        forms.append(form)
    return tuple(forms)


def _check(raw: Raw, found: InputForm, form: InputForm) -> None:
    """
    Raises:
        RunError: the samples of an input do not fit what the spec says.
    """
    where = f"{raw.name}: the input `{form.name}`"
    if found.size != form.size:
        raise RunError(
            f"{where} has the shape {list(form.shape)}, and its samples {list(found.shape)}: write "
            f"`shape: {list(found.shape)}`"
        )
    if found.vocabulary is None:
        return
    if form.vocabulary is None:
        raise RunError(f"{where} holds the numbers of categories: read it by a node of the kind `embedding`")
    if found.vocabulary > form.vocabulary:
        raise RunError(
            f"{where} holds {found.vocabulary} categories, and its embedding has a vocabulary of {form.vocabulary}: "
            f"write `vocabulary: {found.vocabulary}` or more"
        )


def arranged(raw: Raw, forms: Sequence[InputForm]) -> Array:
    """The samples with their inputs in this order, as far as they have names.

    Raises:
        RunError: an input is missing, or has another size.
    """
    if not forms or not raw.inputs or any(not form.name for form in raw.inputs):
        return raw.x
    found = dict(zip((form.name for form in raw.inputs), slices(raw.inputs), strict=True))
    missing = [form.name for form in forms if form.name not in found]
    if missing:
        raise RunError(
            f"{raw.name}: the samples of {', '.join(missing)} are missing: found {', '.join(found)}"
        )
    return np.concatenate([raw.x[:, found[form.name]] for form in forms], axis=1)
