"""Blocks: sub-graphs with parameters, written once and used as often as wanted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Sources
from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.settings import Count


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise PydanticCustomError("form", "expected a number or a text")
    return value


def _given(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("form", "expected a number or a text")
    return _scalar(value)


Default = Annotated[Any, BeforeValidator(_scalar)]
Given = Annotated[Any, BeforeValidator(_given)]
Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]


class Block(Frozen):
    """A sub-graph under `blocks`. It reads its inputs and its own nodes, nothing else.

    Attributes:
        params: by name, with their defaults; None if every use has to give a value.
        inputs: what the block reads, by the names that its nodes use.
        nodes: as they are written.
        output: the node that stands for the block. outputs: several of them, instead.
    """

    params: dict[str, Default] = Field(
        default_factory=dict,
        description=(
            "Parameters for `${...}` in the block, each with a default; a parameter left empty must be given "
            "by each use."
        ),
    )
    inputs: Names = Field(
        min_length=1, description="Names for the nodes that a use gives in `from`, in this order."
    )
    nodes: dict[str, Any] = Field(min_length=1, description="Nodes, and uses of other blocks.")
    output: str | None = Field(None, description="The node that stands for the block.")
    outputs: Names | None = Field(
        None, min_length=1, description="Several output nodes, read as `use.node` from outside."
    )

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """The nodes that stand for the block, one or several."""
        if self.outputs is not None:
            return self.outputs
        return () if self.output is None else (self.output,)


class Use(Frozen):
    """An entry of `nodes` that stands for a block.

    Attributes:
        use: the block. sources: one for each of its inputs. params: for this use.
        repeat: how often, each reading the one before; None for once, without a number in the names.
    """

    use: str = Field(description="The name of a block.")
    sources: Sources = Field(
        alias="from", min_length=1, description="The nodes that it reads, one for each input of the block."
    )
    params: dict[str, Given] = Field(
        default_factory=dict,
        alias="with",
        description="Parameters of this use; the others keep their defaults.",
    )
    repeat: Count | None = Field(
        None, description="Number of copies in a row, each of which reads the one before."
    )
