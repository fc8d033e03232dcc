"""From the calls of a model to a blueprint of a spec, with all obstacles."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.errors import Obstacle
from gromo_graph.interop.arithmetic import Stacked
from gromo_graph.interop.call_patterns.attention import ATTENTION, Scores, module_of_scores, row_of_scores
from gromo_graph.interop.call_patterns.rms_norm import MeanSquare, row_of_squares
from gromo_graph.interop.call_patterns.rotary import Region, rotary, rotary_regions
from gromo_graph.interop.fixed_call import kept_call
from gromo_graph.interop.module_rows import module_row
from gromo_graph.interop.operators import CASTS, FORMS, HINTS, SEVERAL, VIEWS, function_row
from gromo_graph.interop.traces.trace import ITSELF, Seen, Trace, line_of, name_of, without_extras
from gromo_graph.layers.reparametrized import plain_weights, reparametrized
from gromo_graph.plain_torch.arrangement import Arranged
from gromo_graph.plain_torch.blueprint import Blueprint, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import Absent, Constant, TorchCall, Weight, trained_like
from gromo_graph.spec.kinds import Input


@dataclass
class _Memory:
    """A tensor that several values of the model may stand for."""

    version: int = 0
    changed_by: str = ""


class _Unread:
    """A tensor behind an obstacle that has not the batch first."""


_UNREAD = _Unread()
_READ = (ModelValue, Stacked, Scores, MeanSquare, _Unread)
"""Values that depend on the inputs."""


@dataclass(frozen=True)
class _Returned:
    node: fx.Node
    value: Any


@dataclass
class Reading:
    """The result of reading a model.

    Attributes:
        blueprint: nodes in the order of the calls.
        obstacles: what a spec cannot say.
        keys: of the outputs, if the model returns a dict. several: whether it returns more than a tensor.
        functional_dropout: whether the model calls dropout without a module.
        trains: whether it is also of what the model computes in training, dropout left out.
        folded: whether it has weights that the model computes from others, or it casts values: rounded otherwise.
    """

    blueprint: Blueprint = field(default_factory=Blueprint)
    obstacles: list[Obstacle] = field(default_factory=list)
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
        self.memory: dict[fx.Node, tuple[_Memory, int]] = {}
        self.owners: dict[Tensor, str] = {}
        self.called: dict[str, str] = {}

    def read(self) -> Reading:
        regions = rotary_regions(self.trace)
        inside = {node for region in regions.values() for node in region.nodes}
        for node in self.trace.graph.nodes:
            if node in regions:
                self._rotary(regions[node])
            elif node.op != "output" and node not in inside:
                self._read(node)
        self._outputs()
        self.result.obstacles = [*self.trace.unsteady, *self.result.obstacles]
        return self.result

    def _read(self, node: fx.Node) -> None:
        try:
            self.values[node] = self._value(node)
        except Unmapped as reason:
            self.values[node] = self._kept(node, str(reason))

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
            self._note(node.meta["obstacle"])
            return pytree.tree_map(self._lost, seen)
        try:
            if not self.keep_calls or not node.op.startswith("call") or node.target in self.fixed:
                raise Unmapped(reason)
            return self._call_as_it_is(node, seen)
        except Unmapped:
            self._refuse(node, reason)
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

    def _call_as_it_is(self, node: fx.Node, seen: Any) -> ModelValue:
        arguments: tuple[Any, ...] = fx.map_arg(node.args, self.values.__getitem__)
        named: dict[str, Any] = fx.map_arg(node.kwargs, self.values.__getitem__)
        name, in_place = name_of(node)
        if in_place or named.get("inplace") or not isinstance(seen, Seen) or seen.shape[:1] != (self.batch,):
            raise Unmapped("it gives something else than a new tensor with a row for each sample")
        self._check_memory(node)
        is_module = node.op == "call_module"
        call = self._torch_call(node, seen)
        if is_module:
            kept: ModelValue = self._module_as_it_is(str(node.target))(call, *arguments, **named)
        else:
            module, values = kept_call(call.operator, node.target, arguments, named, batch=self.batch)
            kept = call.keep(module, values)
        self._remember(node, name, False)
        return kept

    def _module_as_it_is(self, path: str) -> Any:
        if path in self.called:
            raise Unmapped("it is called more than once")
        self.called[path] = path
        module = self.model.get_submodule(path)
        batch = self.batch

        def keep(call: TorchCall, *arguments: Any, **named: Any) -> ModelValue:
            if not named and all(isinstance(each, ModelValue) for each in arguments):
                return call.keep(module, arguments)
            called = type(module).__name__
            return call.keep(*kept_call(called, module, arguments, named, batch=batch))

        return keep

    def _refuse(self, node: fx.Node, reason: str) -> None:
        """Module and reason, once."""
        if node.op == "call_module":
            module = self.trace.root.get_submodule(str(node.target))
            path = str(node.target)
            if path in self.fixed:  # what is wrong with keeping it is up to the module around it
                path, reason = path.rpartition(".")[0], f"`{path}` cannot be kept as it is, {reason}"
            obstacle = Obstacle(path, f"{type(module).__name__}: {reason}")
        else:
            named = f"`{name_of(node)[0]}`: " if node.op.startswith("call") else ""
            obstacle = Obstacle(self.trace.owner(node), f"{named}{reason}{line_of(node)}")
        self._note(obstacle)

    def _note(self, obstacle: Obstacle) -> None:
        if obstacle not in self.result.obstacles:
            self.result.obstacles.append(obstacle)

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
                return self._attribute(node)
        arguments: tuple[Any, ...] = fx.map_arg(node.args, self.values.__getitem__)
        named: dict[str, Any] = fx.map_arg(node.kwargs, self.values.__getitem__)
        seen = self.trace.seen[node]
        leaves = pytree.tree_leaves((arguments, named))
        if node.target is operator.setitem and any(isinstance(leaf, ModelValue) for leaf in leaves):
            raise Unmapped(f"it assigns to a part of a tensor: {HINTS['setitem']}")
        if not any(isinstance(leaf, Seen) for leaf in pytree.tree_leaves(seen)):
            return seen  # a size, a number, a check: it was worked out
        name, in_place = name_of(node)
        if "refused" in node.meta:
            raise Unmapped(node.meta["refused"])
        picks = name == "getitem" and isinstance(arguments[0], list | tuple)
        absent = next((leaf for leaf in leaves if isinstance(leaf, Absent)), None)
        if absent is not None and not picks:
            raise Unmapped(f"it takes {absent.what}, which no node gives")
        if not any(isinstance(leaf, _READ) for leaf in leaves):
            counts = any(isinstance(leaf, Weight) and "num_batches_tracked" in leaf.path for leaf in leaves)
            if in_place and not counts:
                raise Unmapped(
                    "it changes a tensor of the model: expected parameters that only training changes"
                )
            return self._constant(node, name, leaves, arguments, named)
        if any(self._hides(leaf, name) for leaf in leaves):
            return pytree.tree_map(self._lost, seen)
        self._check_memory(node)
        result = self._mapped(node, name, seen, arguments, named)
        self._remember(node, name, in_place or bool(named.get("inplace")))
        return result

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

    def _attribute(self, node: fx.Node) -> Any:
        path = str(node.target)
        value = _at(self.model, path)
        if value is None:
            value = self.trace.constants.get(node, _at(self.trace.root, path))
        return Weight(path, value) if isinstance(value, Tensor) else value

    def _constant(self, node: fx.Node, name: str, leaves: list[Any], arguments: Any, named: Any) -> Any:
        """A tensor made of weights alone is worked out; if it has parameters in it, it becomes one of its own.

        So a standardised weight, or the product of a norm and a direction, is the weight that a layer has from now on.
        """
        rows = self._looked_up(node, name, arguments)
        if rows is not None:
            return rows
        weights = [leaf for leaf in leaves if isinstance(leaf, Weight)]
        trained = [weight for weight in weights if isinstance(weight.tensor, nn.Parameter)]
        known = not any(isinstance(leaf, Constant) for leaf in leaves)
        is_form = name in FORMS and len(weights) == 1
        if not known or not weights or node.op == "call_module":
            return Constant()

        def computed(*tensors: Tensor) -> Tensor:
            at = iter(tensors)
            args, kwargs = pytree.tree_map(
                lambda leaf: next(at) if isinstance(leaf, Weight) else leaf, (arguments, named)
            )
            called: Any = node.target
            function = called
            if node.op == "call_method":  # ~x is recorded by the name of its operator
                function = getattr(type(args[0]), called, None) or getattr(operator, called)
            found: Tensor = function(*args, **kwargs)
            # A parameter that is repeated for each sample is the same for all.
            repeated = name in ("expand", "repeat", "expand_as") and found.shape[0] == self.batch
            return found[:1] if repeated and tensors[0].shape[:1] != found.shape[:1] else found

        with torch.no_grad():
            if is_form:
                return weights[0].converted(computed)
            found = computed(*[weight.tensor for weight in weights])
        if not isinstance(found, Tensor):
            return Constant()
        if not trained or not found.is_floating_point():
            return Weight(weights[0].path, found)
        self.result.folded = True
        main = max(trained, key=lambda weight: weight.tensor.numel())
        return Weight(main.path, trained_like(main.tensor, found.clone()), main.owned)

    def _looked_up(self, node: fx.Node, name: str, arguments: Any) -> Weight | None:
        """The rows of a table for ids that no input changes, each of them once, or one for all; None for others."""
        module = _module_at(self.model, str(node.target)) if node.op == "call_module" else None
        if type(module) is nn.Embedding:
            table = Weight(f"{node.target}.weight", module.weight)
        elif name == "embedding" and len(arguments) > 1 and isinstance(arguments[1], Weight):
            table = arguments[1]
        else:
            return None
        ids = arguments[0].tensor if isinstance(arguments[0], Weight) else torch.zeros(0)
        if ids.dim() == 2 and bool((ids == ids[:1]).all()):
            ids = ids[:1]
        different = ids.unique().numel()
        if different == 1:
            ids = ids.flatten()[:1]
        elif different < max(ids.numel(), 1) or ids.is_floating_point():
            return None
        return table.converted(lambda rows: rows[ids])

    # Calls

    def _mapped(self, node: fx.Node, name: str, seen: Any, arguments: Any, named: Any) -> Any:
        is_module = node.op == "call_module"
        if name == "getitem" and isinstance(arguments[0], list | tuple):
            return arguments[0][arguments[1]]
        if name == "stack":
            return Stacked.of(*arguments, **named)
        module = self.trace.root.get_submodule(str(node.target)) if is_module else None
        handler: Any = function_row(name)
        of_scores = any(isinstance(leaf, Scores) for leaf in pytree.tree_leaves((arguments, named)))
        if of_scores:
            handler = row_of_scores(name) if module is None else module_of_scores(module, self.model.training)
        elif any(isinstance(leaf, MeanSquare) for leaf in (*arguments, *named.values())):
            handler = row_of_squares(name)
        elif module is not None:
            handler = self._layer(str(node.target), module)
        elif handler is None or not _is_of_torch(node):
            hint = HINTS.get(ITSELF.get(name, name))
            raise Unmapped(f"a spec has nothing like it{f': {hint}' if hint else ''}")
        gives_more = isinstance(module, nn.MultiheadAttention | nn.RNNBase)
        if gives_more and str(node.target) not in self.fixed:
            seen = seen[0]  # the row knows what else it gives
        if isinstance(seen, list | tuple) and name in SEVERAL:
            seen = seen[0]
        if not isinstance(seen, Seen):
            raise Unmapped("it gives several values: expected one tensor")
        drops = name == "dropout" and not is_module and self._dropout_module(node) is None
        if drops or (name == "scaled_dot_product_attention" and _drops(arguments, named)):
            self.result.functional_dropout = True
        if name in CASTS:
            self.result.folded = True  # it may compute in another precision than that of the model
        call = self._torch_call(node, seen)
        try:
            view = handler(call, *arguments, **named)
        except TypeError as error:
            raise Unmapped(f"it is called in a way that is not known: {error}") from error
        first = view[0] if isinstance(view, tuple) else view
        if not isinstance(first, Arranged | Scores | MeanSquare) and seen.shape[:1] != (self.batch,):
            raise Unmapped(f"it gives the shape {seen.shape}: expected the batch of {self.batch} first")
        if first.shape != call.shape:
            raise Unmapped(f"it gives {list(call.shape)} of a sample: expected {list(first.shape)}")
        if isinstance(view, Arranged) and not view.made_by:
            return replace(view, made_by=f"`{name}`{line_of(node)}")
        return view

    def _layer(self, path: str, module: nn.Module) -> Any:
        layer = module_row(module)
        known = _module_at(self.model, path)
        original = plain_weights(module if known is None else known)
        if path in self.fixed:
            return self._module_as_it_is(path)
        if layer is None:
            raise Unmapped("the language has no such kind")
        computed = reparametrized(original)
        if computed is not None:
            raise Unmapped(computed)
        self.called[path] = path
        return lambda call, *arguments, **named: layer(call, original, *arguments, **named)

    def _dropout_module(self, node: fx.Node) -> nn.Module | None:
        module = _module_at(self.model, self.trace.owner(node))
        return module if isinstance(module, nn.Dropout) else None

    def _mode(self, node: fx.Node) -> bool | None:
        path = str(node.target) if node.op == "call_module" else self.trace.owner(node)
        module = _module_at(self.model, path)
        return None if module is None else module.training

    # Operations in place

    def _check_memory(self, node: fx.Node) -> None:
        """Every tensor that is read must be what it was when it was made."""
        for read in node.all_input_nodes:
            if read in self.memory:
                memory, version = self.memory[read]
                if memory.version != version:
                    raise Unmapped(
                        f"it reads `{read.name}`, which {memory.changed_by} has changed in place: expected a new "
                        "tensor there (inplace=False, a + b)"
                    )

    def _remember(self, node: fx.Node, name: str, in_place: bool) -> None:
        module = None
        if node.op == "call_module":
            module = self.trace.root.get_submodule(str(node.target))
            in_place = bool(getattr(module, "inplace", False))
        first = next(
            (each for each in node.all_input_nodes if each in self.memory or self._is_view(each)), None
        )
        if first is not None and first not in self.memory:
            self.memory[first] = (_Memory(), 0)
        is_view = name in VIEWS or isinstance(module, nn.Flatten | nn.Unflatten | nn.Identity)
        is_view = is_view or (
            name == "dropout" or isinstance(module, nn.Dropout)
        )  # gives back its input in evaluation
        if first is None or not (in_place or is_view):
            self.memory[node] = (_Memory(), 0)
            return
        memory, _ = self.memory[first]
        if in_place:
            memory.version += 1
            memory.changed_by = f"`{node.target if module is not None else name}`"
        self.memory[node] = (memory, memory.version)

    def _is_view(self, node: fx.Node) -> bool:
        return isinstance(self.values.get(node), ModelValue)

    # What the model returns

    def _outputs(self) -> None:
        found = self._returned(without_extras(self.trace.outputs))
        if isinstance(found, Mapping):
            told = {f"the output {key!r}": value for key, value in found.items()}
            self.result.keys = tuple(map(str, found))
        elif isinstance(found, Sequence):
            told = {f"output {place}": value for place, value in enumerate(found)}
        else:
            told = {"the output": found}
        self.result.several = not isinstance(found, _Returned)
        for what, value in told.items():
            try:
                self._output(value)
            except Unmapped as reason:
                self.result.obstacles.append(Obstacle("", f"{what}: {reason}"))

    def _returned(self, value: Any) -> Any:
        """The outputs of the model, with values in the place of nodes."""
        if isinstance(value, fx.Node):
            return _Returned(value, self.values[value])
        if isinstance(value, Mapping):
            return {key: self._returned(each) for key, each in value.items()}
        return [self._returned(each) for each in value] if isinstance(value, list | tuple) else value

    def _output(self, returned: Any) -> None:
        if not isinstance(returned, _Returned):
            raise Unmapped("it is no tensor: expected a tensor, or a tuple or a dict of tensors")
        value = returned.value
        if isinstance(value, Absent):
            raise Unmapped(f"it is {value.what}, which no node gives")
        if not isinstance(value, ModelValue):
            raise Unmapped("it does not depend on the inputs")
        end = TorchCall(
            self.result.blueprint,
            batch=self.batch,
            sizes=(self.batch, *value.shape),
            where="",
            operator="output",
            owners=self.owners,
        )
        value = end.view(value)
        if not value.shape:
            raise Unmapped("it has the batch as its only dimension: expected (batch, features)")
        if returned.node in self.memory:
            memory, version = self.memory[returned.node]
            if memory.version != version:
                raise Unmapped(f"{memory.changed_by} has changed it in place")
        self.result.blueprint.outputs += self.result.blueprint.different(
            [value], self.result.blueprint.outputs
        )


def _is_of_torch(node: fx.Node) -> bool:
    """True if a function is torch's or Python's own, and not one of the user's with such a name."""
    target: Any = node.target
    if isinstance(target, str | torch._ops.OpOverload):
        return True
    home = getattr(target, "__module__", None) or ""
    return (
        home.split(".")[0] in ("torch", "_operator", "operator", "builtins")
        or target in vars(operator).values()
        or not home
    )


def _drops(arguments: Any, named: Any) -> bool:
    """True if a function of attention is told to drop shares."""
    return bool(named.get("dropout_p", arguments[4] if len(arguments) > 4 else 0.0))


def _at(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def _module_at(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def standing_in_the_way(model: nn.Module) -> list[Obstacle]:
    """Obstacles that no tracing would see: hooks, and weights that have no size yet."""
    found = []
    for path, module in model.named_modules():
        hooks = ("_forward_hooks", "_forward_pre_hooks")
        if any(getattr(module, name, None) for name in hooks):
            if plain_weights(module) is not module:
                continue
            hooked = "it has forward hooks, which a spec cannot hold: remove them first"
            found.append(Obstacle(path, reparametrized(module) or hooked))
        if any(nn.parameter.is_lazy(tensor) for tensor in module._parameters.values() if tensor is not None):
            found.append(Obstacle(path, "its weights have no size yet: run the model once first"))
    return found
