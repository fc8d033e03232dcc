"""The loss of several outputs: the weighted sum of theirs, each a mean over all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.run.data.targets import TargetForm
from gromo_graph.run.training.output_losses import EqualSamples, OutputLoss, output_loss
from gromo_graph.spec.train_settings import Train


@dataclass(frozen=True, eq=False)
class _Part:
    """One output.

    Attributes:
        loss: of it. weight: of the loss in the sum.
        outputs, targets: its columns among the predictions and among the targets.
    """

    loss: OutputLoss
    weight: float
    outputs: slice
    targets: slice


@dataclass(frozen=True, eq=False)
class JointLoss(EqualSamples):
    """Σ_k λ_k (1/n) Σ_i w_ik ℓ_ik over outputs k and samples i; predictions and targets lie side by side.

    Class weights scale the loss of a sample here, and the divisor is n: outputs with weights of their own would have
    no divisor in common.
    """

    parts: tuple[_Part, ...]

    def mean(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        return self.each(prediction, target).mean()

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `OutputLoss`."""
        losses = [
            part.weight * part.loss.each(prediction[:, part.outputs], part.loss.read(target[:, part.targets]))
            for part in self.parts
        ]
        return torch.stack(losses).sum(dim=0)

    def right(self, prediction: Tensor, target: Tensor) -> None:
        """Several outputs together have no accuracy."""


def joint_loss(train: Train, forms: Sequence[TargetForm]) -> JointLoss:
    """The loss of several outputs that a spec asks for.

    Args:
        train: its section. forms: of the targets, in the order of the outputs.
    """
    parts, output, target = [], 0, 0
    for form in forms:
        asked = train.loss_of(form.name)
        columns = 1 if form.task == "classification" else form.outputs
        loss = output_loss(asked.name, class_weight=form.class_weight, smoothing=train.label_smoothing)
        places = slice(output, output + form.outputs), slice(target, target + columns)
        parts.append(_Part(loss, asked.weight, *places))
        output, target = output + form.outputs, target + columns
    return JointLoss(tuple(parts))
