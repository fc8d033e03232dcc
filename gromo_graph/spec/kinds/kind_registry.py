"""The kinds of nodes by name. Built-in kinds and those of users are registered by the same call.

This half knows no torch: of the other half it keeps only where it is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from gromo_graph.arguments import checked
from gromo_graph.errors import CompileError
from gromo_graph.spec.kinds.base import Family, Layer, Node, Operation

TorchHalfSource = str | Callable[[], object]
"""`module:name` of a `TorchHalf`, or a function that gives one (or the pair `(build, adapter)`)."""

KINDS: dict[str, type[Node]] = {}
"""The torch-free half of each kind: the model of its nodes."""

TORCH_HALVES: dict[str, TorchHalfSource] = {}
"""By kind, how the torch half is found; `input` and `merge` have none. `layers.torch_half_lookup` loads it."""


@checked
def register_kind(model: type[Node], torch_half: TorchHalfSource) -> None:
    """Add a kind to the language: to the YAML, its schema, the drawings, the compiler, growth, import and export.

    Args:
        model: the torch-free half, a subclass of `Operation` (its features are those it reads, as in a norm) or of
            `Layer` (it makes features): fields with their defaults, and the rules for shapes and costs. Its field
            `kind` is a Literal with the name as default.
        torch_half: how the `TorchHalf` is found: builder, growth adapters, and the rows for import and export. Either
            the text `module:name` or a function without arguments that returns it; a pair `(build, adapter)` stands
            for a half without rows, and None for the adapter of an operation that acts on each value alone. It is
            looked up when a network is first built.

    Raises:
        CompileError: the model is no such class, or another kind has its name.

    >>> from typing import Literal
    >>> class Halved(Operation):
    ...     kind: Literal["halved"] = "halved"
    ...     def output_shape(self, inputs):
    ...         return inputs[0]
    >>> register_kind(Halved, lambda: (lambda node, shapes: __import__("torch").nn.Hardtanh(), None))
    >>> "halved" in KINDS
    True
    >>> _ = KINDS.pop("halved"), TORCH_HALVES.pop("halved")
    """
    if not (isinstance(model, type) and issubclass(model, Operation | Layer)):
        raise CompileError(
            f"register_kind({model!r}): expected a subclass of gromo_graph.kinds.Operation or Layer"
        )
    if not (isinstance(torch_half, str) or callable(torch_half)):
        raise CompileError(
            f"register_kind({model.__name__}): torch_half is a {type(torch_half).__name__}: expected a function, or "
            'the text "module:name"'
        )
    TORCH_HALVES[add_to_language(model)] = torch_half


def add_to_language(model: type[Node]) -> str:
    """Add the torch-free half alone, for nodes that have no torch module of their own; gives the name of the kind.

    Raises:
        CompileError: the model has no name, or another kind has it.
    """
    field = model.model_fields.get("kind")
    name = None if field is None else field.default
    if not (isinstance(name, str) and name):
        raise CompileError(
            f'register_kind({model.__name__}): expected its name as `kind: Literal["name"] = "name"`, found {name!r}'
        )
    known = KINDS.get(name)
    # The same class again is a module that was loaded again.
    if known is not None and (known.__module__, known.__qualname__) != (model.__module__, model.__qualname__):
        raise CompileError(
            f"register_kind({model.__name__}): there is a kind `{name}` already: choose another name"
        )
    KINDS[name] = model
    return name


def sort_kinds() -> None:
    """Bring the kinds into the order in which messages and the reference list them: layers first, then by family."""
    drawn, families = ("input", "layer", "merge", "operation"), get_args(Family)

    def place(name: str) -> tuple[int, int, str]:
        return drawn.index(KINDS[name].drawn_as), families.index(KINDS[name].family), name

    ordered = {name: KINDS[name] for name in sorted(KINDS, key=place)}
    KINDS.clear()
    KINDS.update(ordered)
