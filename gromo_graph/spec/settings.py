"""The `growth` section of a spec. Its defaults come from measurements (docs: evidence)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.defaults import counts_epochs, with_defaults
from gromo_graph.spec.kinds.base import Features
from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.python_values import plain

Count = Annotated[int, Field(ge=1)]

Action = Literal["widen", "new_edge", "new_node", "new_head", "deepen", "adapt", "prune"]

Criterion = Literal["tiny", "natural", "gradmax", "random", "variance_transfer"]


def as_tuple(value: Any) -> Any:
    value = plain(value)
    return tuple(value) if isinstance(value, list) else value


class Neurons(Frozen):
    """The number of neurons that a growth step adds."""

    per_step: Count | None = Field(
        None,
        description="Neurons added at once at the most; by default 8, or 4 where the parameter budget is under 1,500.",
    )
    share: float | None = Field(
        None, gt=0, le=4, description="Neurons added at once at the most, as a share of the width."
    )
    reach: float = Field(
        1.0, gt=0, le=1, description="Of the neurons found, the fewest that reach this share of their slope."
    )
    least: float = Field(
        0.0, ge=0, le=1, description="Leave out neurons below this share of the slope of the steepest one."
    )


class When(Frozen):
    """The moments at which growth is tried, in one of two clocks.

    By default they are *ticks*: `steps` of them, spread evenly over the share of the training from `begin` to `until`,
    counted in training steps. With `every` or `plateau` growth is tried after whole epochs.
    """

    begin: float = Field(
        0.0, ge=0, lt=1, description="Share of the training steps before which nothing grows."
    )
    until: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the training after which nothing grows; 0.75 by default if layers have a `target` and "
        "there is no budget.",
    )
    steps: Count = Field(
        10,
        description="Times that growth is tried, spread evenly from `begin` to `until`; fewer in a training with fewer "
        "steps.",
    )
    every: Count | None = Field(
        None,
        description="Count in epochs instead: epochs between growth steps. All other growth settings then have the "
        "defaults of release 0.1.",
    )
    plateau: Count | None = Field(
        None,
        description="Grow only after so many epochs in which what is watched got no better by 1 %; counts in epochs, "
        "as `every` does.",
    )
    watch: Literal["validation_loss", "validation_error", "train_loss"] = Field(
        "validation_loss", description="The quantity that has to come to a plateau."
    )
    worth: float | None = Field(
        None,
        gt=0,
        description="Least relative decrease of the held-out loss for each relative increase of the parameters; a step "
        "that brings less is not applied.",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_plateau_counts_epochs(cls, data: Any) -> Any:
        alone = isinstance(data, dict) and counts_epochs(data) and data.get("every") is None
        return {**data, "every": 1} if alone else data

    @model_validator(mode="after")
    def _one_clock(self) -> When:
        if self.every is not None:
            wrong = [
                name for name in self.unused if getattr(self, name) != type(self).model_fields[name].default
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
        return () if self.every is None else ("begin", "steps")


class Stop(Frozen):
    """The end of growth: budgets that the next step would exceed, and goals that are reached."""

    steps: int | None = Field(None, ge=0, description="Growth steps applied at the most; 0: none.")
    parameters: Count | None = Field(None, description="Parameters at the most.")
    madds: Count | None = Field(
        None, description="Multiply-adds of a forward pass of one sample at the most."
    )
    seconds: float | None = Field(None, gt=0, description="Seconds of training, by the clock.")
    improvement: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="End after a step that lowers the held-out loss by less than this share.",
    )
    accuracy: float | None = Field(None, gt=0, le=1, description="Held-out accuracy that is enough.")


class Statistics(Frozen):
    """The amount of data for a decision."""

    samples: Count | None = Field(
        None,
        description="Samples that new neurons are solved from; half as many others measure their slopes. By default "
        "256 to 1,024, by the inputs of the layers that may grow; all if growth counts epochs (`when.every`, "
        "`when.plateau`).",
    )
    error: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Relative error of the statistics at which the pass ends; none by default.",
    )
    cost: float | None = Field(
        None,
        gt=0,
        description="The most that deciding may take, as a share of the multiply-adds spent on training so far: fewer "
        "samples are looked at, and a tick for which that is not enough waits. By default samples are fewer, down to "
        "128, if it would pass 1, and no tick waits; there is no bound if `samples` or `error` is given, or if growth "
        "counts epochs.",
    )


class Growth(Frozen):
    """The policy of the scheduler: the section `growth` of a spec.

    Raises:
        pydantic.ValidationError: an unknown key, or a value of another type or out of its range.

    >>> Growth(actions=["widen", "new_edge"], neurons=Neurons(per_step=4), stop=Stop(parameters=5000)).select
    'balanced'
    """

    actions: Annotated[tuple[Action, ...], BeforeValidator(as_tuple)] = Field(
        ("widen",),
        description="What growth may do: `widen` layers, add a `new_edge` or a `new_node` on a new path, a `new_head` "
        "beside those of an attention, `deepen` by a residual branch behind a node, `adapt` frozen layers by low-rank "
        "branches beside them, `prune` neurons that are not missed.",
    )
    select: Literal[
        "balanced", "slope", "slope_per_parameter", "slope_per_madd", "realised", "information"
    ] = Field(
        "balanced",
        description="Which width group grows. `information` weighs what `criterion: natural` promises against the "
        "parameters, by the BIC, and lets nothing grow that does not pay.",
    )
    trials: Count = Field(
        4, description="With `select: realised`, so many of the steepest are tried and the best one is kept."
    )
    groups: Count | None = Field(
        None,
        description="Width groups without a layer in common that may grow in one step, each with its own γ; by default "
        "all of them, and with `when.every` one for each three that may grow.",
    )
    criterion: Criterion = Field(
        "tiny",
        description="How new neurons are found: `tiny` solves for the best, `natural` for the best by natural "
        "gradient, whose slopes are in units of the loss, `gradmax` follows the gradient, `random` and "
        "`variance_transfer` draw them.",
    )
    curvature: Literal["gauss_newton", "empirical"] = Field(
        "gauss_newton",
        description="With `criterion: natural`, the curvature: of the loss at the outputs (`gauss_newton`, the true "
        "Fisher of a cross entropy), or the second moment of the gradients (`empirical`), whose slopes are no longer "
        "in units of the loss.",
    )
    neurons: Neurons = Field(Neurons(), description="How many neurons a growth step adds.")
    when: When = Field(When(), description="When growth steps take place.")
    stop: Stop = Field(Stop(), description="When growth ends: budgets and goals.")
    apply_delta: bool = Field(False, description="Also apply the optimal delta to the old weights.")
    project: Literal["auto", "rows", "never"] = Field(
        "auto",
        description="Whether new neurons leave aside what the layers behind them could do by their own weights: `auto` "
        "with at least ten samples for each input of such a layer, `rows` with two rows, also positions, for each.",
    )
    ridge: float = Field(0.1, ge=0, description="Ridge on S when solving, relative to mean(diag S).")
    statistics: Statistics = Field(Statistics(), description="How much data a decision looks at.")
    scale: Literal["sqrt", "alpha_std"] = Field(
        "sqrt",
        description="√γ on both sides of a new neuron, or fan-in at the layer's scale and γ on fan-out.",
    )
    kernel: Literal["full", "centre"] = Field(
        "full",
        description="Kernels that convolutions get for new features: all taps, or the one in the middle.",
    )
    allow_jump: bool = Field(
        False,
        description="Also grow what a layer or RMS norm reads, judged by the loss after the jump it makes.",
    )
    rescue: bool = Field(True, description="Revive a layer whose units are all dead.")
    shrink: float = Field(
        1.0,
        gt=0,
        le=1,
        description="At each growth step the weights of all layers are multiplied by this first; 1 leaves them.",
    )
    optimizer_state: Literal["matched", "zeros", "fresh", "own_steps"] = Field(
        "own_steps",
        description="What the optimizer knows of new weights: zeros and a count of steps of their own (`own_steps`; "
        "of optimizers without such a count it is `matched`), second moments like those of the old ones (`matched`, "
        "the default with `when.every`), zeros, or nothing, its state of what grew forgotten (`fresh`).",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_the_clock(cls, data: Any) -> Any:
        """A policy that counts epochs has all the defaults of release 0.1."""
        of_0_1 = isinstance(data, dict) and counts_epochs(data.get("when"))
        return with_defaults("growth", data, 1) if of_0_1 else data

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
    "Features",
    "Growth",
    "Neurons",
    "Statistics",
    "Stop",
    "When",
]
