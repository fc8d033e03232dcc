"""Reads the calls of a model one by one into a blueprint of a spec, with all obstacles."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.errors import Obstacle
from gromo_graph.interop.arithmetic import Stacked
from gromo_graph.interop.call_patterns.attention import ATTENTION
from gromo_graph.interop.call_patterns.rms_norm import MeanSquare
from gromo_graph.interop.call_patterns.rotary import Region, rotary, rotary_regions
from gromo_graph.interop.call_patterns.scores import Scores
from gromo_graph.interop.fixed_call import kept_call
from gromo_graph.interop.operators import CASTS, HINTS, SEVERAL
from gromo_graph.interop.reading.call_rows import CallRows
from gromo_graph.interop.reading.in_place import Memories
from gromo_graph.interop.reading.obstacles import Obstacles
from gromo_graph.interop.reading.outputs import read_outputs
from gromo_graph.interop.reading.weights import ModelWeights, module_at
from gromo_graph.interop.traces.trace import Seen, Trace, line_of, name_of, without_extras
from gromo_graph.layers.padding_mask import Padding
from gromo_graph.plain_torch.arrangement import Arranged
from gromo_graph.plain_torch.blueprint import Blueprint, Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.kept_modules import keep
from gromo_graph.plain_torch.torch_call import Absent, TorchCall, Weight
from gromo_graph.spec.kinds import Fixed, Input, Layer


class _Unread:
    """A tensor behind an obstacle that has not the batch first."""


_UNREAD = _Unread()
_READ = (ModelValue, Stacked, Scores, MeanSquare, Padding, _Unread)
"""Values that depend on the inputs."""


@dataclass
class Reading:
    """The result of reading a model.

    Attributes:
        blueprint: nodes in the order of the calls.
        obstacles: what a spec cannot say. behind: those of calls that read what stands for another obstacle.
        keys: of the outputs, if the model returns a dict. several: whether it returns more than a tensor.
        functional_dropout: whether the model calls dropout without a module.
        trains: whether it is also of what the model computes in training, dropout left out.
        folded: whether it has weights that the model computes from others, or it casts values: rounded otherwise.
    """

    blueprint: Blueprint = field(default_factory=Blueprint)
    obstacles: list[Obstacle] = field(default_factory=list)
    behind: set[Obstacle] = field(default_factory=set)
    keys: tuple[str, ...] = ()
    several: bool = False
    functional_dropout: bool = False
    trains: bool = True
    folded: bool = False


def read(
    trace: Trace, model: nn.Module, *, batch: int, fixed: Collection[str] = (), keep_calls: bool = False
) -> Reading:
    """Read a trace.

    Args:
        trace: of a copy of the model. model: the one that has the weights and the modes. batch: samples in the trace.
        fixed: paths of modules that are kept as they are. keep_calls: also keep layers and functions as they are that
            a spec cannot express, if they give one tensor of what other calls give.
    """
    return _Reader(trace, model, batch, fixed, keep_calls).read()


class _Reader:
    def __init__(
        self, trace: Trace, model: nn.Module, batch: int, fixed: Collection[str], keep_calls: bool
    ) -> None:
        self.trace, self.model, self.batch, self.fixed = trace, model, batch, fixed
        self.keep_calls = keep_calls
        self.result = Reading()
        self.values: dict[fx.Node, Any] = {}
        self.owners: dict[Tensor, str] = {}
        self.rows = CallRows(trace, model, batch, fixed)
        self.weights = ModelWeights(trace, model, batch)
        self.memories = Memories(trace.root, self.values)
        self.obstacles = Obstacles(trace, model, fixed, self.values)
        self.comparisons: dict[fx.Node, ModelValue] = {}  # those that kept calls read

    def read(self) -> Reading:
        regions = rotary_regions(self.trace)
        inside = {node for region in regions.values() for node in region.nodes}
        for node in self.trace.graph.nodes:
            if node in regions:
                self._rotary(regions[node])
            elif node.op != "output" and node not in inside:
                self._read(node)
        of_outputs = self._outputs()
        self.result.folded |= self.weights.folded
        self.result.obstacles = [*self.trace.unsteady, *self.obstacles.told, *of_outputs]
        self.result.behind = self.obstacles.behind
        return self.result

    def _read(self, node: fx.Node) -> None:
        before = len(self.obstacles.told)
        try:
            value = self._value(node)
        except Unmapped as reason:
            if self.obstacles.explain(node, reason):
                value = pytree.tree_map(self._lost, self.trace.seen[node])
            else:
                value = self._kept(node, str(reason))
        self.values[node] = value
        self.obstacles.follow(node, self.obstacles.told[before:], is_of_layer=self._is_of_layer(value))

    def _is_of_layer(self, value: Any) -> bool:
        """True for the output of a layer, whose form is that of the layer."""
        return isinstance(value, ModelValue) and isinstance(
            self.result.blueprint.nodes.get(value.node), Layer
        )

    def _rotary(self, region: Region) -> None:
        """The calls that turn pairs of features as one node; if they do something else, they are read one by one."""
        end = region.nodes[-1]
        try:
            if any("refused" in node.meta for node in region.nodes):
                raise Unmapped("one of them cannot be read")
            call = self._torch_call(end, self.trace.seen[end])
            self.values[end] = rotary(call, region, self.values)
            self.result.folded = True  # the model may make its tables in another precision
        except Unmapped:
            for node in region.nodes:
                self._read(node)

    def _kept(self, node: fx.Node, reason: str) -> Any:
        """The call as a node that is the call itself, or a stand-in and an obstacle."""
        seen = self.trace.seen[node]
        if "obstacle" in node.meta:
            self.obstacles.tell(node.meta["obstacle"])
            return pytree.tree_map(self._lost, seen)
        try:
            if not self.keep_calls or not node.op.startswith("call") or node.target in self.fixed:
                raise Unmapped(reason)
            return self._call_as_it_is(node, seen)
        except Unmapped:
            self.obstacles.refuse(node, reason)
            return pytree.tree_map(self._lost, seen)

    def _torch_call(self, node: fx.Node, seen: Seen) -> TorchCall:
        """The call of a node that gave a tensor."""
        name, _ = name_of(node)
        is_module = node.op == "call_module"
        return TorchCall(
            self.result.blueprint,
            batch=self.batch,
            sizes=seen.shape,
            where=str(node.target) if is_module else self.trace.owner(node),
            operator=name.removeprefix("aten::"),
            is_module=is_module,
            training=self._mode(node),
            owners=self.owners,
        )

    def _value_of(self, node: fx.Node) -> Any:
        """The inputs of a kept call: a mask as the comparison that it is in the model."""
        value = self.values[node]
        if not isinstance(value, Padding):
            return value
        if node not in self.comparisons:
            self.comparisons[node] = self._call_as_it_is(node, self.trace.seen[node])
        return self.comparisons[node]

    def _call_as_it_is(self, node: fx.Node, seen: Any) -> ModelValue:
        arguments: tuple[Any, ...] = fx.map_arg(node.args, self._value_of)
        named: dict[str, Any] = fx.map_arg(node.kwargs, self._value_of)
        name, in_place = name_of(node)
        if in_place or named.get("inplace") or not isinstance(seen, Seen) or seen.shape[:1] != (self.batch,):
            raise Unmapped("it gives something else than a new tensor with a row for each sample")
        self.memories.check_inputs(node)
        is_module = node.op == "call_module"
        call = self._torch_call(node, seen)
        if is_module:
            kept: ModelValue = self.rows.module_as_it_is(str(node.target))(call, *arguments, **named)
        else:
            module, values = kept_call(call.operator, node.target, arguments, named, batch=self.batch)
            kept = keep(call, module, values)
        self.memories.add(node, name, in_place=False)
        return kept

    def _lost(self, value: Any) -> Any:
        """A stand-in for a tensor that could not be mapped, so that the calls behind it are read too."""
        if not isinstance(value, Seen):
            return value
        if value.shape[:1] != (self.batch,):
            return _UNREAD
        shape = value.shape[1:] or (1,)
        name = self.result.blueprint.lost(shape)
        return ModelValue(name, shape, value.shape[1:])

    def _value(self, node: fx.Node) -> Any:
        match node.op:
            case "placeholder":
                return self._input(node)
            case "get_attr":
                return self.weights.attribute(node)
        seen = self.trace.seen[node]
        value_of = self._value_of if node.target in self.fixed else self.values.__getitem__
        arguments: tuple[Any, ...] = fx.map_arg(node.args, value_of)
        named: dict[str, Any] = fx.map_arg(node.kwargs, value_of)
        leaves = pytree.tree_leaves((arguments, named))
        if node.target is operator.setitem and any(isinstance(leaf, ModelValue) for leaf in leaves):
            raise Unmapped(f"it assigns to a part of a tensor: {HINTS['setitem']}")
        if not any(isinstance(leaf, Seen) for leaf in pytree.tree_leaves(seen)):
            return seen  # a size, a number, a check: it was worked out
        name, in_place = name_of(node)
        self._check_arguments(node, name, arguments, leaves)
        if not any(isinstance(leaf, _READ) for leaf in leaves):
            counts = any(isinstance(leaf, Weight) and "num_batches_tracked" in leaf.path for leaf in leaves)
            if in_place and not counts:
                raise Unmapped(
                    "it changes a tensor of the model: expected parameters that only training changes"
                )
            return self.weights.computed(node, name, leaves, arguments, named)
        if any(self._hides(leaf, name) for leaf in leaves):
            return pytree.tree_map(self._lost, seen)
        self.memories.check_inputs(node)
        result = self._mapped(node, name, seen, arguments, named)
        self.memories.add(node, name, in_place=in_place or bool(named.get("inplace")))
        return result

    def _check_arguments(
        self, node: fx.Node, name: str, arguments: tuple[Any, ...], leaves: list[Any]
    ) -> None:
        """
        Raises:
            Unmapped: the trace refused the call, or it takes a tensor that no node gives.
        """
        if "refused" in node.meta:
            raise Unmapped(node.meta["refused"])
        picks = name == "getitem" and isinstance(arguments[0], list | tuple)
        absent = next((leaf for leaf in leaves if isinstance(leaf, Absent)), None)
        if absent is not None and not picks:
            raise Unmapped(f"it takes {absent.what}, which no node gives")

    def _hides(self, leaf: Any, name: str) -> bool:
        """True for what stands for an obstacle, if nothing can be told of this call before that is removed."""
        lost = isinstance(leaf, ModelValue) and self.result.blueprint.is_lost(leaf.node)
        return isinstance(leaf, _Unread) or (lost and name in ATTENTION)

    # Inputs and weights

    def _input(self, node: fx.Node) -> Any:
        seen = self.trace.seen[node]
        if not isinstance(seen, Seen):
            return seen
        shape = seen.shape[1:]
        if not 1 <= len(shape) <= 3:
            raise Unmapped(
                f"the input `{node.target}` has {len(shape)} dimensions beside the batch: expected 1 to 3, "
                "(features), (channels, length) or (channels, height, width)"
            )
        return self.result.blueprint.add(str(node.target), Input, shape=shape)

    # Calls

    def _mapped(self, node: fx.Node, name: str, seen: Any, arguments: Any, named: Any) -> Any:
        if name == "getitem" and isinstance(arguments[0], list | tuple):
            return arguments[0][arguments[1]]
        if name == "stack":
            return Stacked.of(*arguments, **named)
        row = self.rows.row(node, name, arguments, named)
        seen = self._one_tensor(node, name, seen)
        self._check_cast(node, name, seen, arguments)
        self._note_precision(node, name, arguments, named)
        call = self._torch_call(node, seen)
        try:
            view = row(call, *arguments, **named)
        except TypeError as error:
            raise Unmapped(f"it is called in a way that is not known: {error}") from error
        first = view[0] if isinstance(view, tuple) else view
        if not isinstance(first, Arranged | Scores | MeanSquare) and seen.shape[:1] != (self.batch,):
            raise Misread(f"it gives the shape {seen.shape}: expected the batch of {self.batch} first")
        if first.shape != call.shape:
            raise Misread(f"it gives {list(call.shape)} of a sample: expected {list(first.shape)}")
        if isinstance(view, Arranged) and not view.made_by:
            return replace(view, made_by=f"`{name}`{line_of(node)}")
        return view

    def _one_tensor(self, node: fx.Node, name: str, seen: Any) -> Seen:
        """The tensor that a call gives, or the first of several if its row knows the others.

        Raises:
            Unmapped: it gives several.
        """
        module = self.trace.root.get_submodule(str(node.target)) if node.op == "call_module" else None
        gives_more = isinstance(module, nn.MultiheadAttention | nn.RNNBase)
        if gives_more and str(node.target) not in self.fixed:
            seen = seen[0]
        if isinstance(seen, list | tuple) and name in SEVERAL:
            seen = seen[0]
        if not isinstance(seen, Seen):
            raise Unmapped("it gives several values: expected one tensor")
        return seen

    def _check_cast(self, node: fx.Node, name: str, seen: Seen, arguments: Any) -> None:
        """
        Raises:
            Unmapped: it makes numbers of what a kept call gave, such as truth values.
        """
        value = arguments[0] if name in CASTS else None
        if not isinstance(value, ModelValue) or not isinstance(
            self.result.blueprint.nodes[value.node], Fixed
        ):
            return
        before = self.trace.seen[node.all_input_nodes[0]]
        if isinstance(before, Seen) and before.floats != seen.floats:
            raise Unmapped("it changes the type of what it reads")

    def _note_precision(self, node: fx.Node, name: str, arguments: Any, named: Any) -> None:
        """Note dropout without a module, and casts, for the comparison with the model."""
        drops = name == "dropout" and node.op != "call_module" and self._dropout_module(node) is None
        if drops or (name == "scaled_dot_product_attention" and _drops(arguments, named)):
            self.result.functional_dropout = True
        if name in CASTS:
            self.result.folded = True  # it may compute in another precision than that of the model

    def _dropout_module(self, node: fx.Node) -> nn.Module | None:
        module = module_at(self.model, self.trace.owner(node))
        return module if isinstance(module, nn.Dropout) else None

    def _mode(self, node: fx.Node) -> bool | None:
        path = str(node.target) if node.op == "call_module" else self.trace.owner(node)
        module = module_at(self.model, path)
        return None if module is None else module.training

    # What the model returns

    def _outputs(self) -> Sequence[Obstacle]:
        """Obstacles among what the model returns."""
        outputs = without_extras(self.trace.outputs)
        found = read_outputs(outputs, self.values, self.memories, self._end_call, self.obstacles.unclear)
        self.result.keys, self.result.several = found.keys, found.several
        return found.obstacles

    def _end_call(self, value: ModelValue) -> TorchCall:
        """A call that reads a value last of all."""
        return TorchCall(
            self.result.blueprint,
            batch=self.batch,
            sizes=(self.batch, *value.shape),
            where="",
            operator="output",
            owners=self.owners,
        )


def _drops(arguments: Any, named: Any) -> bool:
    """True if a function of attention is told to drop shares."""
    return bool(named.get("dropout_p", arguments[4] if len(arguments) > 4 else 0.0))
