"""Records the calls of a model while it runs on an example, down to the layers of torch."""

from __future__ import annotations

import linecache
import operator
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import CheckpointFunction

from gromo_graph.errors import Obstacle
from gromo_graph.interop.module_rows import module_row
from gromo_graph.interop.traces.trace import Seen, Trace, is_users, told_line, why_it_ended

_VALUES = frozenset(
    (
        *("__bool__", "item", "tolist", "__int__", "__float__", "__index__", "numpy", "__contains__"),
        *("equal", "allclose", "is_nonzero", "__array__"),
    )
)
"""Functions that hand values of tensors to Python."""

DRAWS = (
    "it draws random numbers at each call: expected nn.Dropout, or a forward pass without them (if they are drawn in "
    "training alone, call model.eval() first)"
)
_NO_GRAD = (
    "it runs a part without gradients (no_grad, or an autograd.Function), through which no weight learns: expected a "
    "gradient everywhere, or weights there that are frozen with requires_grad_(False)"
)
_CUT = (
    "it cuts the gradient, through which the weights before it would learn: expected a gradient everywhere, or "
    "weights there that are frozen with requires_grad_(False)"
)

_OF_SHAPES_ALONE = frozenset(
    ["new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"]
)
"""Functions that read no values of the tensors that they are given."""


def trace_by_run(
    model: nn.Module, inputs: Mapping[str, Tensor], opaque: Collection[str] = ()
) -> Trace | tuple[Obstacle, ...]:
    """The calls of a model for this input; or all that ends or hides its path.

    Shapes are numbers in the forward pass, so that it may compute with them, loop and branch. Gradients are recorded,
    so that a call that cuts them is seen; random numbers are seen by the states of their generators.

    Args:
        model: a copy that may be run and changed, in the mode whose calls are wanted. inputs: by the names of the
            arguments of its forward pass. opaque: paths of modules that are taken as they are.
    """
    recorder = _Recorder(model, opaque)
    given = {name: recorder.input(name, value.clone()) for name, value in inputs.items()}
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]), recorder, recorder.following_modules():
            returned = model(**given)
    except Exception as error:
        return (*recorder.obstacles, Obstacle(recorder.failed, why_it_ended(error)))
    if recorder.obstacles:
        return tuple(recorder.obstacles)
    outputs = recorder.in_nodes(returned)
    return Trace(recorder.graph, model, recorder.seen, outputs, recorder.constants, tuple(recorder.random))


class _Recorder(TorchFunctionMode):
    """Writes each call of torch into a graph, and each call of a layer as one.

    Attributes:
        graph: of the calls. seen: what each of them gave. constants: what those gave that no input changes.
        obstacles: places whose path depends on values. random: places that draw random numbers.
        failed: the innermost module in which the run ended.
    """

    def __init__(self, model: nn.Module, opaque: Collection[str]) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.seen: dict[fx.Node, Any] = {}
        self.constants: dict[fx.Node, Tensor] = {}
        self.obstacles: list[Obstacle] = []
        self.random: list[Obstacle] = []
        self.failed = ""
        self._model, self._opaque = model, opaque
        self._paths = {module: path for path, module in reversed(list(model.named_modules()))}
        named = [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]
        self._weights = {id(tensor): path for path, tensor in reversed(named)}
        self._nodes: dict[
            int, tuple[Tensor, fx.Node]
        ] = {}  # tensors are held, so that no other gets their id
        self._changing: set[fx.Node] = set()  # with the inputs
        self._around: list[tuple[str, bool]] = []  # paths of the modules that run, and True with gradients
        self._inside_layer = False
        self._others = _states_of_others()

    def input(self, name: str, value: Tensor) -> Tensor:
        """Note an input."""
        node = self._node("placeholder", name, (), {}, value)
        self._changing.add(node)
        return value

    @contextmanager
    def following_modules(self) -> Iterator[None]:
        """A context in which calls of modules are recorded too, also those of a reentrant checkpoint."""
        recorder, plain = self, nn.Module.__call__

        def called(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return recorder.module_call(module, plain, args, kwargs)

        def at_once(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
            return function(*args)  # a checkpoint computes the same, and without gradients at first

        with (
            patch.object(nn.Module, "__call__", called),
            patch.object(CheckpointFunction, "apply", at_once),
        ):
            yield

    def module_call(self, module: nn.Module, plain: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a module: a layer as one call, others by what they call."""
        path = self._paths.get(module)
        if self._inside_layer or path is None:
            return plain(module, *args, **kwargs)
        self._look_for_draws()
        self._around.append((path, torch.is_grad_enabled()))
        try:
            if not self._is_layer(module, path):
                result = plain(module, *args, **kwargs)
                self._look_for_draws()
                return result
            self._inside_layer = True
            try:
                result = plain(module.eval(), *args, **kwargs)
            finally:
                self._inside_layer = False
                self._others = _states_of_others()  # a module that is taken as it is may draw
            self._record("call_module", path, args, kwargs, result, weights=tuple(module.parameters()))
            return result
        except Exception:
            self.failed = self.failed or path
            raise
        finally:
            self._around.pop()

    def _look_for_draws(self) -> None:
        """Note that random numbers were drawn by other functions than torch's."""
        before, self._others = self._others, _states_of_others()
        if self._others != before:
            self.random.append(Obstacle(self._path(), DRAWS))

    def _is_layer(self, module: nn.Module, path: str) -> bool:
        return (
            path in self._opaque
            or module_row(module) is not None
            or isinstance(module, torch.jit.ScriptModule)
            or fx.Tracer().is_leaf_module(module, path)
        )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, and record it if it gives tensors."""
        kwargs = kwargs or {}
        if self._inside_layer:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name == "__iter__":
            return iter(self.__torch_function__(Tensor.unbind, types, args))
        state = torch.get_rng_state()
        result = func(*args, **kwargs)
        draws = not torch.equal(torch.get_rng_state(), state)
        if name == "__get__":
            if isinstance(result, Tensor) and self._reads_model(args):
                self._record("call_function", getattr, (args[0], func.__self__.__name__), {}, result)
        elif name in _VALUES:
            self._refuse_values(args)
        elif (
            name not in _OF_SHAPES_ALONE  # those give constants
            and self._reads_model((args, kwargs))
            and (name == "__setitem__" or _has_tensors(result))
        ):
            self._record(*_target(func, name), args, kwargs, result, draws=draws)
            return result
        if draws:
            self._note(self.random, f"`{name}`: {DRAWS}")
        return result

    def _reads_model(self, arguments: Any) -> bool:
        """False for a tensor made of numbers alone: it is a constant wherever it is read."""
        return any(
            id(leaf) in self._nodes or id(leaf) in self._weights
            for leaf in pytree.tree_leaves(arguments)
            if isinstance(leaf, Tensor)
        )

    def _refuse_values(self, args: Any) -> None:
        """A number that depends on the inputs may decide what is computed."""
        known = [self._nodes[id(value)][1] for value in args if id(value) in self._nodes]
        if self._changing.intersection(known):
            self._note(self.obstacles, "its path depends on values (control flow on a tensor)")

    def _note(self, found: list[Obstacle], reason: str) -> None:
        found.append(Obstacle(self._path(), f"{reason}{_users_line()}"))

    def _path(self) -> str:
        """Of the innermost module that runs."""
        return self._around[-1][0] if self._around else ""

    def _record(
        self,
        op: str,
        target: Any,
        args: Any,
        kwargs: Any,
        result: Any,
        *,
        weights: tuple[Tensor, ...] = (),
        draws: bool = False,
    ) -> None:
        given, named = self.in_nodes(args), self.in_nodes(kwargs)
        node = self._node(op, target, given, named, result)
        if draws and not self._model.training:
            node.meta["refused"] = DRAWS
        if _is_cut((args, kwargs, weights), result):
            node.meta["refused"] = _CUT
            if not torch.is_grad_enabled():
                node.meta["obstacle"] = Obstacle(self._path_with_gradients(), f"{_NO_GRAD}{_users_line()}")
        self._take_apart(node, result)

    def _path_with_gradients(self) -> str:
        """Of the module whose own code has switched the gradients off."""
        return next((path for path, with_gradients in reversed(self._around) if with_gradients), "")

    def _take_apart(self, node: fx.Node, result: Any) -> None:
        """Picks for each tensor of several."""
        if isinstance(result, list | tuple):
            for place, each in enumerate(result):
                if isinstance(each, Tensor | list | tuple):
                    picked = self._node("call_function", operator.getitem, (node, place), {}, each)
                    self._take_apart(picked, each)

    def _node(self, op: str, target: Any, args: Any, kwargs: Any, result: Any) -> fx.Node:
        node = self.graph.create_node(op, target, tuple(args), dict(kwargs))
        path = self._path()
        node.meta["nn_module_stack"] = {path: (path, None)}
        node.meta["line"] = _users_line()
        self.seen[node] = pytree.tree_map(Seen.of, result)
        if any(each in self._changing for each in node.all_input_nodes):
            self._changing.add(node)
        elif isinstance(result, Tensor) and op != "placeholder":
            self.constants[node] = result
        if isinstance(result, Tensor):
            self._nodes[id(result)] = (result, node)
        return node

    def in_nodes(self, value: Any) -> Any:
        """A value with nodes of the graph in the place of tensors."""
        match value:
            case Tensor():
                return self._node_of(value)
            case Mapping():
                return {key: self.in_nodes(each) for key, each in value.items()}
            case list():
                return [self.in_nodes(each) for each in value]
            case tuple():
                return tuple(self.in_nodes(each) for each in value)
            case slice():
                return slice(*(self.in_nodes(each) for each in (value.start, value.stop, value.step)))
        return value

    def _node_of(self, tensor: Tensor) -> fx.Node:
        if id(tensor) not in self._nodes:
            path = self._weights.get(id(tensor), f"_constant{len(self._nodes)}")
            self._node("get_attr", path, (), {}, tensor)
        return self._nodes[id(tensor)][1]


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _has_tensors(result: Any) -> bool:
    return bool(_tensors(result))


def _is_cut(read: Any, result: Any) -> bool:
    """True if no gradient flows through a call, though what it reads has one."""
    gives = [tensor for tensor in _tensors(result) if tensor.is_floating_point()]
    if not gives or not any(tensor.requires_grad for tensor in _tensors(read)):
        return False
    return not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in gives)


def _states_of_others() -> tuple[Any, ...]:
    """The states of the generators that are not torch's."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), bytes(np.asarray(keys)), rest


def _target(func: Any, name: str) -> tuple[str, Any]:
    """Operation and target of a node; methods go by their names, Python's operators by those of `operator`."""
    if name == "__getitem__":
        return "call_function", operator.getitem
    if name == "__setitem__":
        return "call_function", operator.setitem
    is_method = getattr(Tensor, name, None) is func or type(func).__name__ in (
        "method_descriptor",
        "wrapper_descriptor",
    )
    if not is_method:
        return "call_function", func
    return "call_method", name[2:-2] if name.startswith("__") else name


def _users_line() -> str:
    """The innermost line of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    file = frame.f_code.co_filename
    return told_line(file, frame.f_lineno, linecache.getline(file, frame.f_lineno))
