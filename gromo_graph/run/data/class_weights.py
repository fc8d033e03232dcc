"""The weights of classes in a loss, learned from the training part or given by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array

ClassWeight = Literal["balanced"] | Mapping[str, float] | None


def class_weights(
    asked: ClassWeight, classes: Sequence[str | int], targets: Array, *, name: str = "data"
) -> tuple[float, ...]:
    """One weight for each class or label; () if nothing is asked for.

    Args:
        asked: `balanced` for n / (k n_c) with n samples, k classes and n_c samples of the class, as scikit-learn does;
            for a label (samples without it) / (samples with it); or weights by name, 1 for those that are left out.
        classes: their names, one for each output.
        targets: of the training part: class indices (samples,), or 0 and 1 (samples, labels).

    Raises:
        RunError: a name is none of the classes.

    >>> class_weights("balanced", ("no", "yes"), np.array([0, 0, 0, 1]))
    (0.6666666666666666, 2.0)
    """
    if asked is None:
        return ()
    if asked == "balanced":
        return _balanced(targets, len(classes))
    names = [str(each) for each in classes]
    unknown = [key for key in asked if key not in names]
    if unknown:
        near = get_close_matches(unknown[0], names, n=1)
        hint = f": did you mean `{near[0]}`?" if near else ""
        raise RunError(
            f"{name}: `train.class_weight` names {', '.join(f'`{key}`' for key in unknown)}, and the classes are "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}{hint}"
        )
    return tuple(float(asked.get(key, 1.0)) for key in names)


def _balanced(targets: Array, outputs: int) -> tuple[float, ...]:
    """Weights by frequency; 1 for a class that no sample has."""
    if targets.ndim == 2:
        there = targets.sum(axis=0)
        weights = (len(targets) - there) / np.maximum(there, 1.0)
        return tuple(float(weight) or 1.0 for weight in weights)
    counts = np.bincount(targets, minlength=outputs)
    weights = len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return tuple(float(weight) for weight in np.where(counts > 0, weights, 1.0))
