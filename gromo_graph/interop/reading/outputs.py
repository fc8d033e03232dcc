"""The outputs of a model, in a blueprint of a spec."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from gromo_graph.errors import Obstacle
from gromo_graph.interop.reading.in_place import Memories
from gromo_graph.plain_torch.blueprint import Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import Absent, TorchCall


@dataclass(frozen=True)
class _Returned:
    """A value that the model returns, and the node that gives it."""

    node: fx.Node
    value: Any


@dataclass(frozen=True)
class ModelOutputs:
    """The outputs of a model.

    Attributes:
        keys: if the model returns a dict. several: whether it returns more than a tensor.
        obstacles: what is returned that no spec gives.
    """

    keys: tuple[str, ...]
    several: bool
    obstacles: tuple[Obstacle, ...]


def read_outputs(
    outputs: Any,
    values: Mapping[fx.Node, Any],
    memories: Memories,
    end_call: Callable[[ModelValue], TorchCall],
    unclear: Collection[fx.Node] = (),
) -> ModelOutputs:
    """Read what a model returns, and make it the outputs of the blueprint.

    Args:
        outputs: nodes, in the containers that the model returns. values: of the nodes.
        end_call: a call that reads a value last of all.
        unclear: nodes whose form is a guess, because of an obstacle before them.
    """
    found = _returned(outputs, values)
    keys: tuple[str, ...] = ()
    if isinstance(found, Mapping):
        told = {f"the output {key!r}": value for key, value in found.items()}
        keys = tuple(map(str, found))
    elif isinstance(found, Sequence):
        told = {f"output {place}": value for place, value in enumerate(found)}
    else:
        told = {"the output": found}
    obstacles = []
    for name, value in told.items():
        try:
            _read_output(value, memories, end_call)
        except Unmapped as reason:
            if isinstance(reason, Misread) and isinstance(value, _Returned) and value.node in unclear:
                continue
            obstacles.append(Obstacle("", f"{name}: {reason}"))
    return ModelOutputs(keys, not isinstance(found, _Returned), tuple(obstacles))


def _returned(value: Any, values: Mapping[fx.Node, Any]) -> Any:
    """The outputs of the model, with values in the place of nodes."""
    if isinstance(value, fx.Node):
        return _Returned(value, values[value])
    if isinstance(value, Mapping):
        return {key: _returned(each, values) for key, each in value.items()}
    return [_returned(each, values) for each in value] if isinstance(value, list | tuple) else value


def _read_output(returned: Any, memories: Memories, end_call: Callable[[ModelValue], TorchCall]) -> None:
    if not isinstance(returned, _Returned):
        raise Unmapped("it is no tensor: expected a tensor, or a tuple or a dict of tensors")
    value = returned.value
    if isinstance(value, Absent):
        raise Unmapped(f"it is {value.what}, which no node gives")
    if not isinstance(value, ModelValue):
        raise Unmapped("it does not depend on the inputs")
    end = end_call(value)
    value = end.view(value)
    if not value.shape:
        raise Unmapped("it has the batch as its only dimension: expected (batch, features)")
    changed_by = memories.changed_by(returned.node)
    if changed_by is not None:
        raise Unmapped(f"{changed_by} has changed it in place")
    end.blueprint.outputs += end.blueprint.different([value], end.blueprint.outputs)
