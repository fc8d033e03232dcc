"""The optimizer of the `train` section. Its defaults come from measurements (docs: evidence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.settings import as_tuple

OPTIMIZER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov"),
    "adam": ("betas", "eps", "amsgrad"),
    "adamw": ("betas", "eps", "amsgrad"),
    "rmsprop": ("momentum", "alpha", "eps", "centered"),
    "adagrad": ("eps",),
    "muon": ("momentum", "nesterov", "eps"),
}
"""The options of each optimizer, beside the learning rate and the weight decay."""

_Decay = Annotated[float, Field(ge=0, lt=1)]

_MUON_MOMENTUM = 0.95  # torch's default


class Optimizer(Frozen):
    """The optimizer of the built-in training. Options that are not given have torch's defaults."""

    place: ClassVar[tuple[str, ...]] = ("train", "optimizer")
    name: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "muon"] = Field(
        "adamw",
        description=(
            "One of torch's optimizers; `muon` trains matrices, and adamw then trains all other parameters."
        ),
    )
    lr: float = Field(0.003, gt=0, description="Learning rate at the start.")
    weight_decay: float = Field(
        0.0, ge=0, description="Weight decay; decoupled from the gradient for adamw and muon."
    )
    momentum: float = Field(
        0.0, ge=0, lt=1, description="Momentum, for sgd, rmsprop and muon; 0.95 by default for muon."
    )
    nesterov: bool | None = Field(None, description="Nesterov's momentum, for sgd and muon.")
    betas: (
        Annotated[tuple[_Decay, ...], Field(min_length=2, max_length=2), BeforeValidator(as_tuple)] | None
    ) = Field(None, description="Decay of the first and the second moment, for adam and adamw.")
    eps: float | None = Field(
        None, gt=0, description="Added to the denominator, for adam, adamw, rmsprop, adagrad and muon."
    )
    alpha: _Decay | None = Field(None, description="Decay of the squared gradients, for rmsprop.")
    centered: bool | None = Field(None, description="Divide by the variance of the gradients, for rmsprop.")
    amsgrad: bool | None = Field(
        None, description="Use the largest second moment so far, for adam and adamw."
    )

    @model_validator(mode="before")
    @classmethod
    def _momentum_of_muon(cls, data: Any) -> Any:
        alone = isinstance(data, dict) and data.get("name") == "muon" and "momentum" not in data
        return {**data, "momentum": _MUON_MOMENTUM} if alone else data

    @model_validator(mode="after")
    def _has_its_options(self) -> Optimizer:
        own = OPTIMIZER_OPTIONS[self.name]
        options = {option for names in OPTIMIZER_OPTIONS.values() for option in names} - {"momentum"}
        foreign = sorted(name for name in options.difference(own) if getattr(self, name) is not None)
        if foreign:
            raise PydanticCustomError(
                "contradiction",
                "{name} has no `{option}`: its options are lr, weight_decay, {own}",
                {"name": self.name, "option": foreign[0], "own": ", ".join(own)},
            )
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise PydanticCustomError(
                "contradiction", "`nesterov` needs a `momentum` above 0: write `momentum: 0.9`"
            )
        return self
