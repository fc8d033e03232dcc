"""The `growth` section of a spec. Its defaults come from measurements (docs: evidence)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.defaults import CURRENT, SPACING, counts_epochs, with_defaults
from gromo_graph.spec.kinds.base import Features
from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.python_values import plain

Count = Annotated[int, Field(ge=1)]

NUMBER_OR_WORD = Discriminator(lambda value: "word" if isinstance(value, str) else "number")
"""Keeps the messages to the form that was written, of a field with the tags `number` and `word`."""

Action = Literal["widen", "new_edge", "new_node", "new_head", "deepen", "adapt", "prune"]

Criterion = Literal["tiny", "natural", "gradmax", "random", "variance_transfer"]


def as_tuple(value: Any) -> Any:
    value = plain(value)
    return tuple(value) if isinstance(value, list) else value


class Neurons(Frozen):
    """The number of neurons that a growth step adds."""

    per_step: Count | None = Field(
        None,
        description=(
            "Most neurons added at once; by default 8, or 4 if the parameter budget is under 1,500."
        ),
    )
    share: float | None = Field(
        None, gt=0, le=4, description="Most neurons added at once, as a share of the width."
    )
    reach: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Add the fewest of the neurons found that reach this share of their total slope.",
    )
    least: float = Field(
        0.0, ge=0, le=1, description="Leave out neurons below this share of the slope of the steepest one."
    )
    alike: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "Highest correlation of a new neuron, before its activation, with one that is there; by default 0.5 in "
            "layers with several positions, and 1 (any) in others."
        ),
    )


class When(Frozen):
    """The times at which growth is tried, by one of two clocks.

    By default they are *ticks*: `steps` of them, spread evenly over the share of the training from `begin` to `until`,
    counted in training steps. With `every` or `plateau` growth is tried after whole epochs.
    """

    begin: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Share of the training steps before growth begins; 0.5 by default if layers have a `target`, there is "
            "no budget, and neither `begin` nor `until` is written."
        ),
    )
    until: float = Field(
        0.25,
        gt=0,
        le=1,
        description=(
            "Share of the training steps after which growth ends; 0.6 by default with targets as above."
        ),
    )
    steps: Count = Field(
        10,
        description=(
            "Number of times that growth is tried, spread evenly from `begin` to `until`; fewer if the "
            "training has fewer steps; 2 by default with targets as above."
        ),
    )
    spacing: Count | None = Field(
        SPACING,
        description=(
            "Most training steps from one time to the next, so that growth ends before `until` in a long "
            "training; none by default if `until` is written, or with targets as above."
        ),
    )
    every: Count | None = Field(
        None,
        description=(
            "Epochs between growth steps, instead of shares of the training. All other growth settings then "
            "have the defaults of release 0.1."
        ),
    )
    plateau: Count | None = Field(
        None,
        description=(
            "Grow only after this many epochs in which the watched quantity has not improved by 1 %; counts "
            "in epochs, as `every` does."
        ),
    )
    watch: Literal["validation_loss", "validation_error", "train_loss"] = Field(
        "validation_loss", description="The quantity watched for a plateau."
    )
    worth: float | None = Field(
        None,
        gt=0,
        description=(
            "Least relative decrease of the held-out loss for each relative increase of the parameters; a "
            "step with less is not applied."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _one_key_says_another(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if counts_epochs(data):
            return data if data.get("every") is not None else {**data, "every": 1}
        return {"spacing": None, **data} if "until" in data else data

    @model_validator(mode="after")
    def _one_clock(self) -> When:
        if self.every is not None:
            wrong = [
                name
                for name in self.unused
                if getattr(self, name) not in (None, type(self).model_fields[name].default)
            ]
            if wrong:
                raise PydanticCustomError(
                    "contradiction",
                    "`every` and `plateau` count epochs, `{key}` belongs to shares of the training: keep one of the "
                    "two",
                    {"key": wrong[0]},
                )
        elif self.begin >= self.until:
            raise PydanticCustomError(
                "contradiction",
                "`begin` is {begin} and `until` is {until}: nothing could grow between them; write a `begin` below "
                "`until`",
                {"begin": f"{self.begin:g}", "until": f"{self.until:g}"},
            )
        return self

    @property
    def unused(self) -> tuple[str, ...]:
        """The keys that say nothing in the clock that is chosen."""
        return () if self.every is None else ("begin", "steps", "spacing")


class Stop(Frozen):
    """The end of growth: budgets that the next step would exceed, and goals that are reached."""

    steps: int | None = Field(None, ge=0, description="Most growth steps that are applied; 0 for none.")
    parameters: Count | None = Field(None, description="Most parameters of the network.")
    parameters_per_sample: Annotated[
        Annotated[float, Field(gt=0, le=1e6), Tag("number")]
        | Annotated[Literal["auto", "none"], Tag("word")],
        NUMBER_OR_WORD,
    ] = Field(
        "auto",
        description=(
            "Most parameters of the network for each training sample: a budget that follows the data. A smaller "
            "`parameters` still holds. `auto` is 10 if nothing else in the spec says how large the network may become "
            "and it does not begin with more than that, and `none` otherwise."
        ),
    )
    madds: Count | None = Field(None, description="Most multiply-adds of a forward pass of one sample.")
    seconds: float | None = Field(
        None, gt=0, description="Seconds of wall-clock time after which growth ends."
    )
    milliseconds: float | None = Field(
        None,
        gt=0,
        description="Milliseconds of a forward pass of one sample through the exported module, on the device of the "
        "run, at which growth ends.",
    )
    improvement: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="End growth after a step that lowers the held-out loss by less than this share.",
    )
    accuracy: float | None = Field(None, gt=0, le=1, description="Held-out accuracy at which growth ends.")

    @property
    def is_budget(self) -> bool:
        """True if the spec limits the size of the network; what `auto` comes to depends on the data."""
        follows_data = isinstance(self.parameters_per_sample, float)
        return follows_data or self.parameters is not None or self.madds is not None

    @property
    def is_open(self) -> bool:
        """True if it says nothing, so that `auto` sets a budget."""
        return self == Stop()

    def for_samples(self, samples: int) -> Stop:
        """With the parameters that so many training samples allow.

        >>> Stop(parameters_per_sample=10).for_samples(150).parameters
        1500
        >>> Stop(parameters_per_sample=10, parameters=400).for_samples(150).parameters
        400
        """
        if not isinstance(self.parameters_per_sample, float):
            return self
        allowed = max(1, round(self.parameters_per_sample * samples))
        if self.parameters is not None and self.parameters <= allowed:
            return self.model_copy(update={"parameters_per_sample": "none"})
        return self.model_copy(update={"parameters": allowed})


class Edges(Frozen):
    """What edges read."""

    features: Count | None = Field(
        None,
        description=(
            "Most features of its source that a new edge reads: those that pay most, by an `index_select`; a "
            "later step may add an edge that reads others. All by default."
        ),
    )
    prune: bool = Field(
        False,
        description=(
            "With the action `prune`, also let a layer read fewer features of its source, by an `index_select`, if "
            "it hardly needs them and no narrower source would save as much."
        ),
    )


class Statistics(Frozen):
    """The amount of data for a decision."""

    samples: Count | None = Field(
        None,
        description=(
            "Samples from which new neurons are solved for; half as many others measure their slopes. By "
            "default 256 to 1,024, depending on the inputs of the layers that may grow; all samples if growth "
            "counts epochs (`when.every`, `when.plateau`)."
        ),
    )
    error: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Relative error of the statistics at which their pass ends early; none by default.",
    )
    cost: float | None = Field(
        None,
        gt=0,
        description=(
            "Largest cost of growth decisions, as a share of the multiply-adds spent on training so far: "
            "fewer samples are used, and a tick that is still too expensive is postponed. By default, fewer "
            "samples are used, down to 128, if the share would exceed 1, and no tick is postponed. There is "
            "no bound if `samples` or `error` is given, or if growth counts epochs."
        ),
    )


class Growth(Frozen):
    """The policy of the scheduler: the section `growth` of a spec.

    Raises:
        SpecError: an unknown key, or a value of another type or out of its range.

    >>> Growth(actions=["widen", "new_edge"], neurons=Neurons(per_step=4), stop=Stop(parameters=5000)).select
    'balanced'
    """

    place: ClassVar[tuple[str, ...]] = ("growth",)
    actions: Annotated[tuple[Action, ...], BeforeValidator(as_tuple)] = Field(
        ("widen",),
        description=(
            "Actions that growth may take: `widen` layers; add a `new_edge`, a `new_node` on a new path, or a "
            "`new_head` beside those of an attention; `deepen` by a residual branch behind a node or by another "
            "block behind repeated ones; `adapt` frozen layers by low-rank branches beside them; `prune` neurons "
            "that are hardly missed."
        ),
    )
    select: Literal[
        "balanced", "slope", "slope_per_parameter", "slope_per_madd", "realised", "information"
    ] = Field(
        "balanced",
        description=(
            "Order in which candidates are tried. `information` compares the decrease predicted by "
            "`criterion: natural` with the cost of the parameters by the BIC, and leaves out candidates that "
            "do not pay."
        ),
    )
    trials: Count = Field(
        4,
        description=(
            "With `select: realised`, the number of steepest candidates that are tried; the best one is kept."
        ),
    )
    groups: Count | None = Field(
        None,
        description=(
            "Number of width groups without a common layer that may grow in one step, each with its own γ; by "
            "default all, and with `when.every` one for each three that may grow."
        ),
    )
    criterion: Criterion = Field(
        "tiny",
        description=(
            "How new neurons are found: `tiny` solves for the best ones, `natural` for the best ones by "
            "natural gradient, with slopes in units of the loss, `gradmax` follows the gradient, `random` and "
            "`variance_transfer` draw them."
        ),
    )
    curvature: Literal["gauss_newton", "empirical"] = Field(
        "gauss_newton",
        description="With `criterion: natural`, the curvature: of the loss at the outputs (`gauss_newton`, the true "
        "Fisher of a cross entropy), or the second moment of the gradients (`empirical`), whose slopes are no longer "
        "in units of the loss.",
    )
    neurons: Neurons = Field(Neurons(), description="Number of neurons that a growth step adds.")
    edges: Edges = Field(Edges(), description="Features that edges read.")
    when: When = Field(When(), description="Times of the growth steps.")
    stop: Stop = Field(Stop(), description="Budgets and goals that end growth.")
    beyond: float = Field(
        1.0,
        ge=1,
        le=10,
        description=(
            "Grow to so many times the budget first, train on, and take out the neurons that are missed least until "
            "the network is within the budget, at four times between 0.4 and 0.6 of the training. 1 never exceeds it."
        ),
    )
    freeze: Literal["old"] | None = Field(
        None,
        description=(
            "`old`: a network that goes on from trained weights keeps their values to the bit, and only what is new "
            "is trained: neurons, paths and outputs. By default all weights are trained."
        ),
    )
    apply_delta: bool = Field(False, description="Also apply the optimal delta to the old weights.")
    project: Literal["auto", "rows", "never"] = Field(
        "auto",
        description=(
            "Project out of the gradient what the layers behind the new neurons can correct with their own "
            "weights: `auto` if there are ten samples for each input of such a layer, `rows` if there are two "
            "rows (samples or positions) for each."
        ),
    )
    ridge: float = Field(0.1, ge=0, description="Ridge on S when solving, relative to mean(diag S).")
    statistics: Statistics = Field(Statistics(), description="Amount of data used for a decision.")
    scale: Literal["auto", "sqrt", "alpha_std"] = Field(
        "auto",
        description=(
            "Scaling of a new neuron: √γ on both sides (`sqrt`, the default with `when.every`), or fan-in at the "
            "scale of the layer and γ on fan-out (`alpha_std`). `auto` is `alpha_std` for layers with several "
            "positions, such as convolutions, and `sqrt` for others."
        ),
    )
    kernel: Literal["full", "centre"] = Field(
        "full",
        description="Kernels of convolutions for new features: all taps, or only the centre one.",
    )
    allow_jump: bool = Field(
        False,
        description=(
            "Also grow features read by a layer norm or RMS norm, judged by the loss after the jump that this "
            "causes."
        ),
    )
    rescue: bool = Field(True, description="Revive a layer whose units are all dead.")
    shrink: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "Factor by which the weights of all layers are multiplied before each growth step; 1 leaves them "
            "unchanged."
        ),
    )
    optimizer_state: Literal["matched", "zeros", "fresh", "own_steps"] = Field(
        "own_steps",
        description=(
            "Optimizer state of new weights: zeros with a step count of their own (`own_steps`, the same as "
            "`matched` for optimizers without such a count), second moments like those of the old weights "
            "(`matched`, the default with `when.every`), `zeros`, or none, which also discards the state of "
            "the parameters that grew (`fresh`)."
        ),
    )

    warm_up: float = Field(
        0.3,
        ge=0,
        le=1,
        description=(
            "Share of the training steps over which the moves of new weights rise to their full size, at most a third "
            "of those that are left when growth ends. It needs `optimizer_state: own_steps` and an optimizer that has "
            "such a count; 0, the default with `when.every`, stands for full size at once."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_the_clock(cls, data: Any) -> Any:
        """A policy that counts epochs has all the defaults of release 0.1."""
        return with_defaults("growth", data, CURRENT) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _frozen_weights_stay(self) -> Growth:
        moving = {"apply_delta: true": self.apply_delta, f"shrink: {self.shrink:g}": self.shrink < 1.0}
        moving["actions: [prune]"] = "prune" in self.actions
        moving[f"beyond: {self.beyond:g}"] = self.beyond > 1.0
        found = next((words for words, moves in moving.items() if moves), None)
        if self.freeze is not None and found is not None:
            raise PydanticCustomError(
                "contradiction",
                "`freeze: old` keeps old weights as they are, which `{found}` changes: leave one of the two out",
                {"found": found},
            )
        return self

    @model_validator(mode="after")
    def _beyond_needs_ticks(self) -> Growth:
        if self.beyond > 1.0 and self.counts_epochs:
            raise PydanticCustomError(
                "contradiction",
                "`beyond: {beyond}` prunes at shares of the training, and `when.every` and `when.plateau` count "
                "epochs: leave one of the two out",
                {"beyond": f"{self.beyond:g}"},
            )
        return self

    @model_validator(mode="after")
    def _information_needs_gains(self) -> Growth:
        if self.select == "information" and self.criterion != "natural":
            raise PydanticCustomError(
                "contradiction",
                "`select: information` weighs gains in units of the loss, which `criterion: {criterion}` does not "
                "give: write `criterion: natural`",
                {"criterion": self.criterion},
            )
        return self

    @property
    def counts_epochs(self) -> bool:
        """True if growth is tried after epochs, as in release 0.1, and not at ticks."""
        return self.when.every is not None


__all__ = [
    "Edges",
    "Features",
    "Growth",
    "Neurons",
    "Statistics",
    "Stop",
    "When",
]
