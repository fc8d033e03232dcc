"""The loss of one output, by its name in a spec: of each sample, and the mean over a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.run.data.targets import IGNORED

ByElement = Callable[..., Tensor]
"""A loss of torch that takes `reduction`."""


class OutputLoss(Protocol):
    """The loss of one output: a sum over samples, divided by the sum of their weights.

    Predictions are (samples, outputs); targets are class indices (samples,), or values (samples, outputs). Classes may
    have positions behind: (samples, outputs, *positions) and (samples, *positions).
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
        """True for each sample, or position that counts, predicted correctly; None for numbers."""

    def read(self, columns: Tensor) -> Tensor:
        """The targets from columns of numbers, (samples, columns), that may be part of a wider tensor."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Cross entropy of class indices, as `torch.nn.CrossEntropyLoss` computes it.

    Attributes:
        class_weight: (classes,), or None for weights of 1.
        smoothing: the share of the target that is spread over all classes.
        positions: whether each position has a class, −100 if it counts for nothing; a sample's loss is their sum.
    """

    class_weight: Tensor | None = None
    smoothing: float = 0.0
    positions: bool = False

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._entropy(prediction, target, "mean")

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self._of_samples(self._entropy(prediction, target, "none"))

    def weights(self, target: Tensor) -> Tensor:
        """See `OutputLoss`; of a sample with positions the sum over those that count."""
        if self.positions:
            counted = target != IGNORED
            own = (
                1.0 if self.class_weight is None else self.class_weight.to(target.device)[target.clamp_min(0)]
            )
            return self._of_samples(counted * own)
        if self.class_weight is None:
            return torch.ones(len(target), device=target.device)
        return self.class_weight.to(target.device)[target]

    @property
    def weighs_samples(self) -> bool:
        """See `OutputLoss`."""
        return self.positions or self.class_weight is not None

    def right(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        outputs, classes = class_rows(prediction, target)
        return outputs.argmax(dim=1) == classes

    def read(self, columns: Tensor) -> Tensor:
        """The class indices of one column, (samples,)."""
        return columns[:, 0].long()

    def _of_samples(self, values: Tensor) -> Tensor:
        return values.flatten(1).sum(dim=1) if self.positions else values

    def _entropy(self, prediction: Tensor, target: Tensor, reduction: str) -> Tensor:
        weight = self.class_weight
        return functional.cross_entropy(
            prediction,
            target,
            weight=None if weight is None else weight.to(prediction),
            ignore_index=IGNORED,
            reduction=reduction,
            label_smoothing=self.smoothing,
        )


def class_rows(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets with a row for each position that counts, if there are positions; else as they are.

    >>> class_rows(torch.zeros(2, 5, 3), torch.tensor([[0, 1, -100], [4, 2, 2]]))[0].shape
    torch.Size([5, 5])
    """
    if prediction.dim() == 2:
        return prediction, target
    counted = target.flatten() != IGNORED
    return prediction.movedim(1, -1).flatten(0, -2)[counted], target.flatten()[counted]


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


def output_loss(
    name: str, *, class_weight: tuple[float, ...] = (), smoothing: float = 0.0, positions: bool = False
) -> OutputLoss:
    """The loss with a name of a spec.

    Args:
        class_weight: one for each class or label; () for none. smoothing: of the labels of classes.
        positions: whether each position of a sample has a class.

    >>> float(output_loss("l1").mean(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])))
    2.0
    """
    weight = torch.tensor(class_weight) if class_weight else None
    if name == "cross_entropy":
        return Classes(weight, smoothing, positions)
    return Labels(weight) if name == "binary_cross_entropy" else Values(_OF_NUMBERS[name])
