"""The `train` section of a spec. Its defaults come from measurements (docs: evidence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.optimizer_settings import Optimizer
from gromo_graph.spec.settings import NUMBER_OR_WORD, Count, as_tuple

BUILT_IN_DATA = ("digits", "iris", "wine", "breast_cancer", "diabetes")
"""The data sets that a spec can name; anything else it names is a .npz or .csv file."""


Task = Literal["classification", "labels", "regression", "several"]
"""The task of an output; `several` is that of several outputs together."""


LossName = Literal["cross_entropy", "binary_cross_entropy", "mse", "l1", "huber", "smooth_l1"]


TASKS: Mapping[str, Task] = {
    "cross_entropy": "classification",
    "binary_cross_entropy": "labels",
    "mse": "regression",
    "l1": "regression",
    "huber": "regression",
    "smooth_l1": "regression",
}
"""The task of each loss."""


MEASURES: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc"),
    "labels": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("r2", "rmse", "mae"),
    "several": (),
}
"""The measures of each task, beside the loss."""


LOWER_IS_BETTER = frozenset(("loss", "log_loss", "rmse", "mae"))
"""The measures of which less is better."""


Metric = Literal["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc", "r2", "rmse", "mae"]


Watched = Literal[
    "loss", "accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc", "r2", "rmse", "mae"
]
"""A measure that a training can go by."""


ScheduleName = Literal["cosine", "constant", "linear", "step", "plateau", "one_cycle"]


SCHEDULE_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "step": ("step_size", "gamma"),
    "plateau": ("factor", "patience"),
    "one_cycle": ("pct_start",),
}
"""The options of each schedule that has any."""


class Schedule(Frozen):
    """The schedule of the learning rate, with its options under torch's names."""

    name: ScheduleName = Field("cosine", description="Name of the schedule, as for `schedule` itself.")
    step_size: Count | None = Field(
        None, description="Epochs between two steps, for `step`; by default a third of the training."
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="Factor of the rate at each step, for `step`.")
    factor: float = Field(
        0.1, gt=0, lt=1, description="Factor of the rate after each plateau, for `plateau`."
    )
    patience: int = Field(
        10,
        ge=0,
        description="Epochs without improvement that are tolerated before the rate falls, for `plateau`.",
    )
    pct_start: float = Field(
        0.3, gt=0, lt=1, description="Share of the training in which the rate rises, for `one_cycle`."
    )

    @property
    def unused(self) -> tuple[str, ...]:
        """The options that say nothing about this schedule."""
        own = SCHEDULE_OPTIONS.get(self.name, ())
        return tuple(name for name in type(self).model_fields if name not in ("name", *own))


def _form_of_schedule(value: Any) -> str:
    return "options" if isinstance(value, dict | Schedule) else "name"


class LossOfOutput(Frozen):
    """The loss of one of several outputs."""

    name: LossName = Field("cross_entropy", description="Name of the loss, as for `loss` itself.")
    weight: float = Field(1.0, gt=0, description="Weight of this loss in the sum over outputs.")


NamedLoss = Annotated[
    Annotated[LossName, Tag("name")] | Annotated[LossOfOutput, Tag("options")],
    Discriminator(lambda value: "options" if isinstance(value, dict | LossOfOutput) else "name"),
]


class Fold(Frozen):
    """One of several equal folds of the samples outside the test part, for validation."""

    fold: Count = Field(1, description="Number of the fold that is held out, from 1.")
    of: int = Field(5, ge=2, description="Number of folds.")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Fold:
        if self.fold > self.of:
            raise PydanticCustomError(
                "contradiction",
                "`fold: {fold}` of {of}: write a number from 1 to {of}",
                {"fold": self.fold, "of": self.of},
            )
        return self


def _form_of_validation(value: Any) -> str:
    return "file" if isinstance(value, str) else "fold" if isinstance(value, dict | Fold) else "share"


Validation = Annotated[
    Annotated[float, Field(gt=0, lt=0.8), Tag("share")]
    | Annotated[Fold, Tag("fold")]
    | Annotated[str, Field(min_length=1), Tag("file")],
    Discriminator(_form_of_validation),
]


class EarlyStopping(Frozen):
    """Settings for ending a training that no longer improves.

    Epochs count only once growth is over, unless `during_growth` is set, and the count restarts after each growth step.
    """

    patience: Count = Field(
        10, description="Epochs without an improvement of `watch` after which the training ends."
    )
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as an improvement.")
    during_growth: bool = Field(
        False,
        description=(
            "Count epochs while the network may still grow; training may then end before growth is complete."
        ),
    )


class Train(Frozen):
    """The built-in training: the section `train` of a spec.

    Raises:
        SpecError: an unknown key, or a value of another type or out of its range.

    >>> Train(data="iris", epochs=40, optimizer=Optimizer(lr=0.01)).schedule
    'cosine'
    """

    place: ClassVar[tuple[str, ...]] = ("train",)
    data: str = Field("digits", min_length=1, description="A built-in data set or a .npz or .csv file.")
    loss: Annotated[
        Annotated[LossName, Tag("name")] | Annotated[dict[str, NamedLoss], Tag("outputs")],
        Discriminator(lambda value: "outputs" if isinstance(value, dict) else "name"),
    ] = Field(
        "cross_entropy",
        description=(
            "`cross_entropy` for classes, `binary_cross_entropy` for several labels, each present or absent; "
            "`mse`, `l1`, `huber` or `smooth_l1` for numbers. For several outputs a map, `{kind: "
            "cross_entropy, price: mse}`, optionally with weights, `{price: {name: mse, weight: 0.5}}`."
        ),
    )
    class_weight: (
        Annotated[
            Annotated[Literal["balanced"], Tag("word")]
            | Annotated[dict[str, Annotated[float, Field(gt=0)]], Tag("weights")],
            Discriminator(lambda value: "weights" if isinstance(value, dict) else "word"),
        ]
        | None
    ) = Field(
        None,
        description=(
            "Weights of the classes in the loss by class name, 1 for classes that are not listed; `balanced` "
            "for samples / (classes · samples of the class). With several labels, the weight of a present "
            "label relative to an absent one."
        ),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the target that is spread over all classes, for `cross_entropy`.",
    )
    optimizer: Optimizer = Field(Optimizer(), description="Optimizer that trains the weights.")
    schedule: Annotated[
        Annotated[ScheduleName, Tag("name")] | Annotated[Schedule, Tag("options")],
        Discriminator(_form_of_schedule),
    ] = Field(
        "cosine",
        description=(
            "Schedule of the learning rate: `cosine` or `linear` down to 0, `constant`, `step` (times `gamma` "
            "every `step_size` epochs), `plateau` (times `factor` after `patience` epochs without an "
            "improvement of `watch`) or `one_cycle` (up, then down to 0). A map sets options: `{name: step, "
            "step_size: 20}`."
        ),
    )
    warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Share of the training during which the learning rate rises to its initial value; the schedule "
            "covers the rest."
        ),
    )
    clip: float | None = Field(
        None,
        gt=0,
        description=(
            "Largest norm of the gradient of all parameters together; larger gradients are scaled down."
        ),
    )
    watch: Watched = Field(
        "loss",
        description=(
            "Measure of the validation part used by `early_stopping`, `keep: best` and `schedule: plateau`."
        ),
    )
    early_stopping: (
        Annotated[
            Annotated[Count, Tag("number")] | Annotated[EarlyStopping, Tag("options")],
            Discriminator(lambda value: "options" if isinstance(value, dict | EarlyStopping) else "number"),
        ]
        | None
    ) = Field(
        None,
        description=(
            "Epochs without an improvement of `watch` after which the training ends, counted once growth is "
            "over; or a map, `{patience: 10, min_delta: 0.001}`."
        ),
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description=(
            "Weights kept at the end: those of the last epoch, or of the epoch with the best `watch` since "
            "the last growth step."
        ),
    )
    batch_size: Count = Field(64, description="Samples in each training batch.")
    accumulate: Count = Field(
        1,
        description=(
            "Batches whose gradients are accumulated for one training step, as if they were one batch."
        ),
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description=(
            "Processes that read and prepare training batches ahead, for images and for files that stay on "
            "the disk. The result is the same to the bit with any number of them."
        ),
    )
    epochs: Count = Field(60, description="Number of passes over the training data.")
    validation: Validation = Field(
        0.2,
        description=(
            "Samples held out for growth decisions: a share of all samples; one of several folds, `{fold: 2, "
            "of: 5}`; or those of a separate file or folder, `held_out.csv`, relative to the spec. A fifth of "
            "the other samples is always the test part, the same for every seed."
        ),
    )
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(as_tuple)] = Field(
        (),
        description=(
            "Measures of the validation part after each epoch, in addition to loss and accuracy; at the end "
            "of a run, all measures that apply are computed."
        ),
    )
    threshold: Annotated[
        Annotated[float, Field(gt=0, lt=1), Tag("number")] | Annotated[Literal["tuned"], Tag("word")],
        NUMBER_OR_WORD,
    ] = Field(
        0.5,
        description=(
            "Probability above which the second of two classes is predicted: a number, or `tuned` for the "
            "threshold with the highest macro F1 on the validation part after the training."
        ),
    )
    allow_unused_outputs: bool = Field(
        False, description="Allow the output to have more features than the data have classes."
    )
    retries: int = Field(
        3,
        ge=0,
        description=(
            "Number of times that an epoch with a non-finite loss is repeated, at half the learning rate from "
            "then on; the next such epoch ends the run."
        ),
    )

    @property
    def schedule_options(self) -> Schedule:
        """The schedule with its options."""
        return Schedule(name=self.schedule) if isinstance(self.schedule, str) else self.schedule

    @property
    def early_stopping_options(self) -> EarlyStopping | None:
        """Early stopping with its options; None without it."""
        given = self.early_stopping
        return EarlyStopping(patience=given) if isinstance(given, int) else given

    @property
    def held_out(self) -> float | Fold | None:
        """The part of the data that is for validation; None if a file of its own holds it."""
        return None if isinstance(self.validation, str) else self.validation

    @property
    def task(self) -> Task:
        """The task that the loss is for."""
        return TASKS[self.loss] if isinstance(self.loss, str) else "several"

    def loss_of(self, output: str) -> LossOfOutput:
        """The loss of one of several outputs; a loss that is given once is that of all."""
        asked = self.loss if isinstance(self.loss, str) else self.loss[output]
        return LossOfOutput(name=asked) if isinstance(asked, str) else asked
