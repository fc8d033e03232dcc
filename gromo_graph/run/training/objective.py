"""The objective of a training: the loss of a network's output as a mean that knows its own divisor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.targets import TargetForm
from gromo_graph.run.training.joint_loss import joint_loss
from gromo_graph.run.training.output_losses import OutputLoss, output_loss
from gromo_graph.spec.train_settings import Train

_NOTHING = 1e-12  # samples that all weigh 0 have a loss of 0, and not 0 / 0


@dataclass(frozen=True, eq=False)
class Objective:
    """The mean loss over a batch, `objective(prediction, target)`; the slopes of growth are those of the same.

    The mean over several batches is that over all their samples if each batch counts by its `share`: the divisor of
    the mean, Σ s_i w_i with the weights s of samples and w of their classes (docs/maths.md, "Notation").

    Attributes:
        loss: of the output.
        weighted: whether the last column of a target is the weight of its sample. Class indices stand in a column of
            numbers then, as a tensor has one type.
        adds_up: says to plans of growth that batches may be joined (growth/effort/joined_batches.py).

    >>> objective = Objective(output_loss("cross_entropy", class_weight=(1.0, 3.0)))
    >>> objective.share(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    7.0
    """

    loss: OutputLoss
    weighted: bool = False
    adds_up: ClassVar[bool] = True

    def __call__(self, prediction: Any, target: Tensor) -> Tensor:
        """The mean loss, a scalar; 0 of samples that all weigh 0."""
        output = joined_outputs(prediction)
        if not self.weighted:
            return self.loss.mean(output, target)
        wanted = self.targets(target)
        losses = self.loss.each(output, wanted) * target[:, -1]
        return losses.sum() / self._weights(target, wanted).sum().clamp_min(_NOTHING)

    def share(self, prediction: Any, target: Tensor) -> float:
        """The divisor of the mean: the number of samples, if all weigh 1."""
        if self.uniform:
            return float(len(target))
        return float(self._weights(target, self.targets(target)).sum(dtype=torch.float64))

    @property
    def uniform(self) -> bool:
        """True if every batch counts by its number of samples."""
        return not self.weighted and not self.loss.weighs_samples

    def right(self, prediction: Any, target: Tensor) -> Tensor | None:
        """True for each sample, or position that counts, predicted correctly; None for numbers."""
        return self.loss.right(joined_outputs(prediction), self.targets(target))

    def targets(self, target: Tensor) -> Tensor:
        """Targets without the weights of samples: class indices (samples,), or values (samples, outputs)."""
        return self.loss.read(target[:, :-1]) if self.weighted else target

    def _weights(self, target: Tensor, wanted: Tensor) -> Tensor:
        """The weights s_i w_i of the samples, (samples,)."""
        of_classes = self.loss.weights(wanted)
        if not self.weighted:
            return of_classes
        return target[:, -1] * of_classes


def objective_of(
    train: Train,
    *,
    class_weight: tuple[float, ...] = (),
    weighted: bool = False,
    several: Sequence[TargetForm] = (),
    positions: bool = False,
) -> Objective:
    """The objective that a spec asks for.

    Args:
        train: its section. class_weight: of each class or label, as learned from the training part; () for none.
        weighted: whether targets end with the weights of samples.
        several: the forms of the targets of several outputs; () of a network with one.
        positions: whether each position of a sample has a class.
    """
    if several:
        return Objective(joint_loss(train, several), weighted)
    asked = train.loss_of("")
    loss = output_loss(
        asked.name, class_weight=class_weight, smoothing=train.label_smoothing, positions=positions
    )
    return Objective(loss, weighted)


def prepared_objective(train: Train, preparation: Preparation, *, weighted: bool) -> Objective:
    """The objective for data that are prepared, whose weights it takes."""
    return objective_of(
        train,
        class_weight=preparation.class_weight,
        weighted=weighted,
        several=preparation.several,
        positions=bool(preparation.positions),
    )


def joined_outputs(output: Any) -> Tensor:
    """The outputs of a network, (samples, features): of several that it gives by name, side by side in their order."""
    if isinstance(output, dict):
        values = list(output.values())
        return values[0] if len(values) == 1 else torch.cat(values, dim=1)
    tensor: Tensor = output
    return tensor
