"""Kinds of the user's own: registered by code that a command names, never because a spec says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gromo_graph.errors import CompileError
from gromo_graph.spec.kinds import KINDS, Layer, Node, Operation

TorchHalf = Callable[[], tuple[Callable[..., Any], Any]]
"""Gives `(build, adapter)`: build(node, input shapes) makes the torch module; what growth must know of it, or None."""

OWN: dict[str, TorchHalf] = {}
"""The torch halves of kinds that were registered, not asked for yet."""


def register_kind(model: type[Node], torch_half: TorchHalf) -> None:
    """Add a kind to the language: to the YAML, its schema, the drawings, the compiler and growth.

    Args:
        model: the torch-free half, a subclass of `Operation` (its features are those it reads, as in a norm) or of
            `Layer` (it makes features): fields with their defaults, and the rules for shapes and costs. Its field
            `kind` is a Literal with the name as default.
        torch_half: called when a network is built: gives `(build, adapter)`. `build(node, shapes)` makes the module
            and draws nothing; the adapter (`OperationAdapter` or `LayerAdapter`) says how it widens. For an operation
            that acts on each value alone the adapter is None.

    Raises:
        CompileError: it is no such class, or another kind has its name.

    >>> from typing import Literal
    >>> class Halved(Operation):
    ...     kind: Literal["halved"] = "halved"
    ...     def output_shape(self, inputs):
    ...         return inputs[0]
    >>> register_kind(Halved, lambda: (lambda node, shapes: __import__("torch").nn.Hardtanh(), None))
    >>> "halved" in KINDS
    True
    >>> _ = KINDS.pop("halved"), OWN.pop("halved")
    """
    if not (isinstance(model, type) and issubclass(model, Operation | Layer)):
        raise CompileError(
            f"register_kind({model!r}): expected a subclass of gromo_graph.kinds.Operation or Layer"
        )
    field = model.model_fields.get("kind")
    name = None if field is None else field.default
    if not (isinstance(name, str) and name):
        raise CompileError(
            f'register_kind({model.__name__}): expected its name as `kind: Literal["name"] = "name"`, found {name!r}'
        )
    if not callable(torch_half):
        raise CompileError(
            f"register_kind({model.__name__}): torch_half is a {type(torch_half).__name__}: expected a function"
        )
    known = KINDS.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (model.__module__, model.__qualname__):
        raise CompileError(
            f"register_kind({model.__name__}): there is a kind `{name}` already: choose another name"
        )
    KINDS[name] = model
    OWN[name] = torch_half
