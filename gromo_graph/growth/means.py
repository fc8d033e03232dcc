"""Means of a loss over several batches: of samples, of weights of classes, or of the targets that are not ignored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from gromo_graph.errors import GrowthError
from gromo_graph.growth.out_of_memory import out_of_memory

Share = Callable[[Any, Tensor], float]
"""The weight of a batch in the mean over all, from its prediction and target."""

_ROWS = 4
_IGNORED = -100  # the default of torch
_CLOSE = {torch.float64: 1e-8, torch.float32: 1e-3}
_CLOSE_OTHERWISE = 5e-2


def share_of(loss: object) -> Share:
    """The weights of batches in the mean of a loss: the sum of the weights that it divides by.

    That is the number of samples. For `CrossEntropyLoss`, `NLLLoss` and their functions it is the number of targets
    that are not ignored, or the sum of their weights if classes have weights.

    >>> weighted = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0]))
    >>> share_of(weighted)(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    11.0
    """
    own = getattr(loss, "share", None)  # of a loss around another, as those of other trainers
    if callable(own):
        return own  # type: ignore[no-any-return]
    if isinstance(loss, torch.nn.CrossEntropyLoss | torch.nn.NLLLoss):
        return _Classes(loss.weight, loss.ignore_index)
    given = loss.keywords if isinstance(loss, partial) else {}
    function = loss.func if isinstance(loss, partial) else loss
    if function in (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss):
        return _Classes(given.get("weight"), given.get("ignore_index", _IGNORED))
    return _samples


def _samples(prediction: Any, target: Tensor) -> float:
    return float(len(target))


class _Classes:
    """The share of class indices; probabilities of classes are divided by the samples."""

    def __init__(self, weight: Tensor | None, ignored: int) -> None:
        self.weight, self.ignored = weight, ignored

    def __call__(self, prediction: Any, target: Tensor) -> float:
        if target.is_floating_point():
            return float(len(target))
        counted = target[target != self.ignored]
        if self.weight is None:
            return float(counted.numel())
        return float(self.weight.to(counted.device)[counted].sum(dtype=torch.float64))


def check_loss(loss: object) -> None:
    """Refuse what is no loss, or gives no mean over a batch.

    Raises:
        GrowthError: says what to give.
    """
    if isinstance(loss, type):
        raise GrowthError(f"the loss is the class {loss.__name__}: give an object of it, {loss.__name__}()")
    if not callable(loss):
        raise GrowthError(f"the loss is {loss!r}: expected a function of (prediction, target)")
    reduction = getattr(loss, "reduction", "mean")
    if reduction not in ("mean", "batchmean"):
        raise GrowthError(
            f"the loss has reduction={reduction!r}: expected the mean over the batch, reduction='mean'"
        )


def check_mean(loss: Any, parts: Sequence[tuple[Any, Tensor]]) -> None:
    """Refuse a loss of several batches that is no mean over them, as it would depend on how samples are cut.

    The loss of a few samples of each batch, together, has to be the mean of its values for the parts. Nothing can be
    said of a loss that draws random numbers, or that takes batches of one size alone.

    Args:
        parts: predictions and targets of a few samples of each batch (`few`).

    Raises:
        GrowthError: it is not.
    """
    if len(parts) < 2:
        return
    share = share_of(loss)
    shares = [share(prediction, target) for prediction, target in parts]
    try:
        values = [float(loss(*part)) if counts else 0.0 for part, counts in zip(parts, shares, strict=True)]
        together, again = (float(loss(*_joined(parts))) for _ in range(2))
    except Exception as error:
        if out_of_memory(error):
            raise
        return
    if together != again:
        return
    if not sum(shares):
        return
    mean = sum(value * counts for value, counts in zip(values, shares, strict=True)) / sum(shares)
    dtypes = [leaf.dtype for leaf in tree_flatten(parts[0][0])[0] if isinstance(leaf, Tensor)]
    close = max((_CLOSE.get(dtype, _CLOSE_OTHERWISE) for dtype in dtypes), default=_CLOSE_OTHERWISE)
    if abs(together - mean) > close * max(1e-6, abs(mean), abs(together)):
        raise GrowthError(
            f"the loss is no mean over samples: of a few samples together it is {together:.4g}, and the mean of its "
            f"values for parts of them {mean:.4g}, so that what grows would depend on how data are cut into batches. "
            "Give torch.nn.CrossEntropyLoss or NLLLoss itself (weight and ignore_index are then counted), a loss that "
            "is divided by the number of samples, or held-out data in one batch"
        )


def few(prediction: Any, target: Tensor) -> tuple[Any, Tensor]:
    """The first samples of a batch."""

    def rows(value: Any) -> Any:
        whole = isinstance(value, Tensor) and value.dim() > 0 and len(value) == len(target)
        return value[:_ROWS].clone() if whole else value

    return tree_map(rows, prediction), target[:_ROWS]


def _joined(parts: Sequence[tuple[Any, Tensor]]) -> tuple[Any, Tensor]:
    predictions, targets = zip(*parts, strict=True)

    def joined(*values: Any) -> Any:
        return torch.cat(values) if isinstance(values[0], Tensor) and values[0].dim() else values[0]

    return tree_map(joined, predictions[0], *predictions[1:]), torch.cat(targets)
