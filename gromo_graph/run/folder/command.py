"""The options of a run, `command.json`: everything but data and spec that decides what comes out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gromo_graph.environment import VERSION
from gromo_graph.run.branch_point import BranchPoint


def _torch_version() -> str:
    import torch  # options are read before a verb needs it

    return str(torch.__version__)


class Leaves(BaseModel):
    """A branch point as `command.json` keeps it, see `BranchPoint`."""

    model_config = ConfigDict(frozen=True, strict=True)

    at: int = Field(ge=0)
    set: tuple[str, ...] | None


class FirstWeights(BaseModel):
    """The file of weights that a run began from.

    Attributes:
        file: its absolute path. sha256: of its content, so that the run never goes on from others.
        preparation: the sha256 of the `data.json` beside it, if it is of a run; samples are then read as that run did.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    file: str
    sha256: str
    preparation: str | None = None


class Command(BaseModel):
    """The options of a run.

    Attributes:
        version: of the file's format.
        data: a name or an absolute path under which a later command finds the data; None for objects of Python.
        validation: the absolute path of the file with the samples for validation; None if there is none.
        seed: of first weights, the order of the data, and dropout.
        device: auto, cpu or cuda.
        overrides: `path=value`, what was replaced in the file of the spec.
        amp: whether the training computes in bfloat16 if that is precise enough.
        max_memory: bytes that the statistics of a growth step may take, or None.
        weights: that the run began from; None for those that follow from the seed.
        write_back: the absolute path of the file that the grown sizes are written into after the run, or None.
        gromo_graph, torch: the versions that began the run.
        course: where the run leaves another one that it follows; None for a run of its own.
        ended: why growth ends early, in words for the summary, of a run that `pick` wrote; None for any other.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    version: Literal[1] = 1
    data: str | None = None
    validation: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    overrides: tuple[str, ...] = ()
    amp: bool = False
    max_memory: int | None = Field(default=None, gt=0)
    weights: FirstWeights | None = None
    write_back: str | None = None
    gromo_graph: str = VERSION
    torch: str = Field(default_factory=_torch_version)
    course: Leaves | None = None
    ended: str | None = None

    def following(self, point: BranchPoint) -> Command:
        """The options of a run that follows this one up to a point."""
        return self.model_copy(
            update={"write_back": None, "course": Leaves(at=point.at, set=point.overrides)}
        )

    @property
    def branch_point(self) -> BranchPoint | None:
        """The point at which the run leaves the one that it follows."""
        return None if self.course is None else BranchPoint(self.course.at, self.course.set)
