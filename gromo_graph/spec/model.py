"""Spec: the validated, immutable content of one YAML document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from gromo_graph.amounts import amount
from gromo_graph.display import Displayed
from gromo_graph.errors import GraphError
from gromo_graph.spec.data_sections import DataSection
from gromo_graph.spec.kinds import Input, Node
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.train_settings import Train

_SHOWN = 3  # names of inputs or outputs in one line


@dataclass(frozen=True)
class Origin:
    """The place where a node was written: 1-based line and column in `file`.

    Attributes:
        path: of the node in the flat document.
        use, block: the entry of `nodes` that made it, and the block it comes from; None for a node written as such.
    """

    file: str
    line: int
    column: int
    path: str
    use: str | None = None
    block: str | None = None


@dataclass(frozen=True)
class Spec(Displayed):
    """A network before it has weights.

    Attributes:
        name: of the document; drawings carry it as a title.
        nodes: by name, in the order of the document.
        outputs: the names of the nodes whose values the network returns.
        named_outputs: the network returns a dict by name (`outputs:`) instead of one tensor (`output:`).
        growth: the policy of the scheduler.
        train: the built-in training.
        origins: where each node was written; empty for a spec made in Python. Not part of equality.
        data: what it is trained on, if that has a section of its own; None: `train.data` names it.
        inputs: the names of the input nodes, in the order of the document; they follow from the nodes.
    """

    name: str
    nodes: Mapping[str, Node]
    outputs: tuple[str, ...]
    named_outputs: bool = False
    growth: Growth = field(default_factory=Growth)
    train: Train = field(default_factory=Train)
    version: int = 1
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    data: DataSection = None
    inputs: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "origins", MappingProxyType(dict(self.origins)))
        inputs = tuple(name for name, node in self.nodes.items() if isinstance(node, Input))
        object.__setattr__(self, "inputs", inputs)

    def __repr__(self) -> str:
        """Name and size in one line; `dump_spec` has it all."""
        return f"<Spec {self.name}: {amount(len(self.nodes), 'node')}, {ends_of(self.inputs, self.outputs)}>"

    def __hash__(self) -> int:
        return hash(
            (self.name, frozenset(self.nodes.items()), self.outputs, self.growth, self.train, self.data)
        )

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy cannot be copied or sent to another process; its content can.
        return (
            Spec,
            (
                self.name,
                dict(self.nodes),
                self.outputs,
                self.named_outputs,
                self.growth,
                self.train,
                self.version,
                dict(self.origins),
                self.data,
            ),
        )


def ends_of(inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """The inputs and the outputs of a network in a few words.

    >>> ends_of(("x",), ("mean", "spread")), ends_of(tuple("abcdef"), ("y",))
    ('x -> mean, spread', 'a, b, c, ... (6) -> y')
    """
    shown = [
        ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
        for names in (inputs, outputs)
    ]
    return " -> ".join(shown)


class HasSpec(Protocol):
    """A network, a run, a graph."""

    @property
    def spec(self) -> Spec: ...


def spec_of_given(given: Spec | HasSpec, verb: str) -> Spec:
    """The spec of what was given for one.

    Args:
        verb: what was to be done with it.

    Raises:
        GraphError: it has none.
    """
    spec = given if isinstance(given, Spec) else getattr(given, "spec", None)
    if not isinstance(spec, Spec):
        found = f"cannot {verb} {type(given).__name__}: expected a spec, a network or a run"
        raise GraphError(f"{found}, such as load_spec(path) or load_run(path)")
    return spec
