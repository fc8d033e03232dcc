"""The loss of one output, by its name in a spec: of each sample, and the mean over a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

ByElement = Callable[..., Tensor]
"""A loss of torch that takes `reduction`."""


class OutputLoss(Protocol):
    """The loss of one output: a sum over samples, divided by the sum of their weights.

    Predictions are (samples, outputs); targets are class indices (samples,), or values (samples, outputs).
    """

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean over a batch, Σ ℓ_i / Σ w_i, a scalar."""

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss ℓ_i of each sample, (samples,), times its class weight."""

    def weights(self, target: Tensor) -> Tensor:
        """The class weights w_i of the samples, (samples,)."""

    @property
    def weighs_samples(self) -> bool:
        """True if not all of these weights are 1."""

    def right(self, prediction: Tensor, target: Tensor) -> Tensor | None:
        """True for each sample predicted correctly, (samples,); None for numbers."""

    def read(self, columns: Tensor) -> Tensor:
        """The targets from columns of numbers, (samples, columns), that may be part of a wider tensor."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Cross entropy of class indices, as `torch.nn.CrossEntropyLoss` computes it.

    Attributes:
        class_weight: (classes,), or None for weights of 1.
        smoothing: the share of the target that is spread over all classes.
    """

    class_weight: Tensor | None = None
    smoothing: float = 0.0

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._entropy(prediction, target, "mean")

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._entropy(prediction, target, "none")

    def weights(self, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        if self.class_weight is None:
            return torch.ones(len(target), device=target.device)
        return self.class_weight.to(target.device)[target]

    @property
    def weighs_samples(self) -> bool:
        """See `OutputLoss`."""
        return self.class_weight is not None

    def right(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return prediction.argmax(dim=1) == target

    def read(self, columns: Tensor) -> Tensor:
        """The class indices of one column, (samples,)."""
        return columns[:, 0].long()

    def _entropy(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        weight = self.class_weight
        return functional.cross_entropy(
            prediction,
            target,
            weight=None if weight is None else weight.to(prediction),
            reduction=reduction,
            label_smoothing=self.smoothing,
        )


class EqualSamples:
    """The base of losses in which every sample weighs 1 and targets are read unchanged."""

    def weights(self, target: Tensor) -> Tensor:
        """1 for each sample, (samples,)."""
        return torch.ones(len(target), device=target.device)

    @property
    def weighs_samples(self) -> bool:
        """No."""
        return False

    def read(self, columns: Tensor) -> Tensor:
        """The columns, unchanged."""
        return columns


@dataclass(frozen=True, eq=False)
class Labels(EqualSamples):
    """Binary cross entropy of several labels, each there or not; a sample's loss is the mean over its labels.

    Attributes:
        class_weight: (labels,), the weight of a label that is there beside one that is not; None for 1.
    """

    class_weight: Tensor | None = None

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._entropy(prediction, target, "mean")

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._entropy(prediction, target, "none").mean(dim=1)

    def right(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`; a sample is right if all of its labels are."""
        return ((prediction > 0.0) == (target > 0.5)).all(dim=1)

    def _entropy(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        weight = self.class_weight
        return functional.binary_cross_entropy_with_logits(
            prediction,
            target,
            pos_weight=None if weight is None else weight.to(prediction),
            reduction=reduction,
        )


@dataclass(frozen=True, eq=False)
class Values(EqualSamples):
    """A loss of numbers; a sample's loss is the mean over its values.

    Attributes:
        function: the loss of torch.
    """

    function: ByElement

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self.function(prediction, target)

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self.function(prediction, target, reduction="none").mean(dim=1)

    def right(self, prediction: Tensor, target: Tensor) -> None:
        """Numbers have no accuracy."""


_OF_NUMBERS: Mapping[str, ByElement] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "smooth_l1": functional.smooth_l1_loss,
}


def output_loss(name: str, *, class_weight: tuple[float, ...] = (), smoothing: float = 0.0) -> OutputLoss:
    """The loss with a name of a spec.

    Args:
        class_weight: one for each class or label; () for none. smoothing: of the labels of classes.

    >>> float(output_loss("l1").mean(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])))
    2.0
    """
    weight = torch.tensor(class_weight) if class_weight else None
    if name == "cross_entropy":
        return Classes(weight, smoothing)
    return Labels(weight) if name == "binary_cross_entropy" else Values(_OF_NUMBERS[name])
