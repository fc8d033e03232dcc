"""Obstacles of a model: each reason for which a call is refused once, and none that may follow from one before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import fx, nn

from gromo_graph.errors import Obstacle
from gromo_graph.interop.operators import COMPARISONS
from gromo_graph.interop.traces.trace import Trace, line_of, name_of
from gromo_graph.layers.padding_mask import Padding
from gromo_graph.plain_torch.blueprint import Misread, Unmapped


class Obstacles:
    """The obstacles of a model, and the calls behind them.

    Args:
        trace: of a copy of the model. model: the one that is read. fixed: paths of modules that are kept as they are.
        values: those that have been read so far, by node.

    Attributes:
        told: in the order of the calls. behind: those of calls that read what stands for another obstacle.
        unclear: nodes behind an obstacle up to the next layer, whose output has a form of its own.
    """

    def __init__(
        self, trace: Trace, model: nn.Module, fixed: Collection[str], values: Mapping[fx.Node, Any]
    ) -> None:
        self._trace, self._model, self._fixed, self._values = trace, model, fixed, values
        self.told: list[Obstacle] = []
        self.behind: set[Obstacle] = set()
        self.unclear: set[fx.Node] = set()
        self._doubtful: set[fx.Node] = set()  # an obstacle before them may be the reason for what they are
        self._masked: set[fx.Node] = set()  # computed with a mask that is refused, up to the next layer

    def tell(self, obstacle: Obstacle) -> None:
        """Add an obstacle, once."""
        if obstacle not in self.told:
            self.told.append(obstacle)

    def refuse(self, node: fx.Node, reason: str) -> None:
        """Tell why a call is refused, with its module or its line."""
        if node.op == "call_module":
            module = self._trace.root.get_submodule(str(node.target))
            path = str(node.target)
            if path in self._fixed:  # what is wrong with keeping it is up to the module around it
                path, reason = self._around(path), f"`{path}` cannot be kept as it is, {reason}"
            obstacle = Obstacle(path, f"{type(module).__name__}: {reason}")
        else:
            named = f"`{name_of(node)[0]}`: " if node.op.startswith("call") else ""
            text = f"{named}{reason}{line_of(node)}"
            obstacle = Obstacle(self._trace.owner(node), text, model=type(self._model).__name__)
        self.tell(obstacle)

    def _around(self, path: str) -> str:
        """The path of the module that calls the one at a path; a list of modules calls none."""
        path = path.rpartition(".")[0]
        is_list = isinstance(self._trace.root.get_submodule(path), nn.ModuleList | nn.ModuleDict)
        return self._around(path) if is_list else path

    def explain(self, node: fx.Node, reason: Unmapped) -> bool:
        """True if a call may be refused only for an obstacle before it: the form of a stand-in is a guess."""
        return _any_input(node, self.unclear if isinstance(reason, Misread) else self._masked)

    def follow(self, node: fx.Node, found: Sequence[Obstacle], *, is_of_layer: bool) -> None:
        """Note what the value of a node may owe to obstacles.

        Args:
            found: those that were told of the node itself. is_of_layer: whether its value is the output of a layer.
        """
        self._follow_mask(node, refused=bool(found), is_of_layer=is_of_layer)
        behind = _any_input(node, self._doubtful)
        self.behind.update(found if behind else ())
        if behind or found:
            self._doubtful.add(node)
        if found or (_any_input(node, self.unclear) and not is_of_layer):
            self.unclear.add(node)

    def _follow_mask(self, node: fx.Node, *, refused: bool, is_of_layer: bool) -> None:
        """Note what reads a mask that a call is refused for, up to the next layer: it is refused for that alone."""
        masks = {each for each in node.all_input_nodes if isinstance(self._values.get(each), Padding)}
        if refused and (masks or name_of(node)[0] in COMPARISONS):
            self._masked |= {node, *masks}
        elif _any_input(node, self._masked) and not is_of_layer:
            self._masked.add(node)


def _any_input(node: fx.Node, nodes: Collection[fx.Node]) -> bool:
    return any(each in nodes for each in node.all_input_nodes)
