"""The `train` section of a spec. Its defaults come from measurements (docs: evidence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.settings import Count, as_tuple

BUILT_IN_DATA = ("digits", "iris", "wine", "breast_cancer", "diabetes")
"""The data sets that a spec can name; anything else it names is a .npz or .csv file."""


Task = Literal["classification", "labels", "regression"]

TASKS: Mapping[str, Task] = {"cross_entropy": "classification", "mse": "regression"}
"""The task of each loss."""

MEASURES: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc"),
    "labels": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("r2", "rmse", "mae"),
}
"""The measures of each task, beside the loss."""

Metric = Literal["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc", "r2", "rmse", "mae"]


class Optimizer(Frozen):
    """The optimizer of the built-in training."""

    name: Literal["sgd", "adam", "adamw"] = Field("adamw", description="Which one of torch's.")
    lr: float = Field(0.003, gt=0, description="Learning rate at the start.")
    weight_decay: float = Field(
        0.0, ge=0, description="Share of the weights taken off; apart from the gradient for adamw."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="For sgd.")


class Train(Frozen):
    """The built-in training: the section `train` of a spec.

    Raises:
        pydantic.ValidationError: an unknown key, or a value of another type or out of its range.

    >>> Train(data="iris", epochs=40, optimizer=Optimizer(lr=0.01)).schedule
    'cosine'
    """

    data: str = Field("digits", min_length=1, description="A built-in data set or a .npz or .csv file.")
    loss: Literal["cross_entropy", "mse"] = Field(
        "cross_entropy", description="`cross_entropy` for classes, `mse` for numbers."
    )
    optimizer: Optimizer = Field(Optimizer(), description="How the weights follow the gradient.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="How the learning rate goes on: down to 0, or not at all."
    )
    batch_size: Count = Field(64, description="Samples of a training step.")
    accumulate: Count = Field(
        1, description="Batches whose gradients make one training step together, as if they were one batch."
    )
    epochs: Count = Field(60, description="Times the training data are seen.")
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(as_tuple)] = Field(
        (),
        description="Measures of the validation part after each epoch, beside the loss and the accuracy; at the end of "
        "a run all that fit are measured.",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"] = Field(
        0.5,
        description="Probability of the second of two classes above which it is predicted: a number, or `tuned` for "
        "the one with the highest macro F1 on the validation part after the training.",
    )
    allow_unused_outputs: bool = Field(
        False, description="Whether the output may have more features than the data have classes."
    )
    retries: int = Field(
        3,
        ge=0,
        description="Times that an epoch with a loss that is not finite is done again, at half the learning rate from "
        "then on; the next such epoch ends the run.",
    )

    @property
    def task(self) -> Task:
        """The task that the loss is for."""
        return TASKS[self.loss]
