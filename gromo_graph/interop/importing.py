"""`from_torch`: a network of PyTorch as a spec and a GrowingNetwork with the same weights."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError, Obstacle, TorchImportError
from gromo_graph.graph import Graph, build_graph
from gromo_graph.interop.reading.before_tracing import standing_in_the_way
from gromo_graph.interop.reading.model_reader import Reading, read
from gromo_graph.interop.traces.recording import trace_by_run
from gromo_graph.interop.traces.repeating import record
from gromo_graph.interop.traces.trace import Trace, run_once, trace_by_export
from gromo_graph.interop.verifying import disagreement
from gromo_graph.layers.reparametrized import copy_of
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.adapting import Adapters, adapt
from gromo_graph.network.link_modules import part_of
from gromo_graph.plain_torch.blueprint import Blueprint, Source, free, legal
from gromo_graph.plain_torch.folding import fold_orders
from gromo_graph.plain_torch.torch_call import trained_like
from gromo_graph.spec import Spec, check_spec
from gromo_graph.spec.kinds import Input
from gromo_graph.spec.train_settings import Train

Example = Tensor | Sequence[Tensor] | Mapping[str, Tensor]

_ADVICE = (
    "expected the kinds of docs/language.md: change these modules, or keep them unchanged, so that they do not grow, "
    "with from_torch(model, example, allow_fixed=True) in Python"
)
_ADVICE_BESIDE_FIXED = (
    "expected the kinds of docs/language.md, or what `allow_fixed` can keep: a call that gives one tensor with a row "
    "for each sample, or a module inside the model that does: put these calls into such a module"
)


@checked
def from_torch(
    model: nn.Module,
    example_input: Example,
    *,
    name: str | None = None,
    allow_fixed: bool = False,
    adapters: Adapters | None = None,
) -> GrowingNetwork:
    """A network that computes what a torch module does, with copies of its weights, and can grow.

    The calls of the module are recorded while it runs on the example. Layers, norms, pools, activations,
    sums and concatenations become nodes, named by the paths of their modules. Weights, running statistics, the mode
    and the choice of frozen weights are copied. The network is compared with the module, in evaluation and in
    training mode.

    Args:
        model: is not changed.
        example_input: one tensor (batch, features), (batch, channels, length) or (batch, channels, height, width);
            several of them for several inputs, in the order of the arguments of `forward`, or by their names.
        name: of the spec; by default the class of the module.
        allow_fixed: keep calls that a spec cannot express unchanged, each as a node of the kind `fixed`, or the
            smallest module around them. They are trained with the rest; their inputs and outputs do not grow; such a
            spec exists in Python alone. `network.growing_share` tells how much of it
            can grow.
        adapters: `{"layers": "encoder.*", "rank": 0}` freezes linear and convolution layers, by names of nodes or
            patterns, and gives them adapters of a rank; with 0 these grow by the section `growth` of the network's
            spec. `"parameters": 5000` is a budget for them (docs/adapters.md).

    Returns:
        A network whose outputs are those of the model. If the model returns several tensors, the network returns a
        dict: with the same keys, or, for a tuple, in the same order with the names of the nodes as keys.

    Raises:
        TorchImportError: with every obstacle, each by the path of its module and with the reason.

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> network = from_torch(model, torch.zeros(1, 3), name="small")
    >>> list(network.spec.nodes), network.spec.nodes["linear.0"].activation
    (['input', 'linear.0', 'linear.2'], 'relu')
    >>> torch.equal(network(torch.ones(5, 3)), model(torch.ones(5, 3)))
    True
    """
    if isinstance(model, GrowingNetwork):
        raise TorchImportError([Obstacle("", "it is a GrowingNetwork already")])
    if not isinstance(model, nn.Module):
        found = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        meant = f", {model.__name__}(...)" if isinstance(model, type) else ""
        raise TorchImportError([Obstacle("", f"it is {found}: expected a torch.nn.Module{meant}")])
    name = name or type(model).__name__
    if isinstance(model, nn.TransformerEncoder | nn.TransformerEncoderLayer):  # read as a whole, not traced
        model = nn.Sequential(OrderedDict(encoder=model)).train(model.training)
    given = _by_name(model, example_input)
    found = standing_in_the_way(model)
    if found:
        raise TorchImportError(found, _ADVICE)
    inputs = _batches(model, given)
    refused: list[TorchImportError] = []
    advice = _ADVICE_BESIDE_FIXED if allow_fixed else _ADVICE
    for reading in _readings(model, inputs, allow_fixed=allow_fixed):
        try:
            network = _checked(model, reading, inputs, name, advice)
        except TorchImportError as error:
            refused.append(error)
            continue
        if adapters is not None:
            adapt(network, adapters)
        return network
    # Read around obstacles, those that are left are the ones in the way.
    raise min(refused, key=lambda error: len(error.obstacles)) if allow_fixed else refused[0]


def _checked(
    model: nn.Module, reading: Reading, inputs: Mapping[str, Tensor], name: str, advice: str
) -> GrowingNetwork:
    """The network of a reading that computes the same as the model.

    Raises:
        TorchImportError: there are obstacles, or it computes something else.
    """
    if reading.obstacles:
        raise TorchImportError(reading.obstacles, advice)
    network = _network(model, reading, name)
    apart = disagreement(model, network, inputs, train=reading.trains, folded=reading.folded)
    if apart is not None:
        raise TorchImportError([Obstacle("", apart)])
    return network


def _by_name(model: nn.Module, example: Any) -> dict[str, Tensor]:
    """The inputs by the names of the arguments of the forward pass."""
    signature = inspect.signature(model.forward)
    if isinstance(example, Mapping):
        ordered = [name for name in signature.parameters if name in example]
        given = {name: example[name] for name in dict.fromkeys((*ordered, *example))}
    else:
        given = _by_position(signature, example)
    wrong = [
        f"the example input `{name}` is {_kind(value)}: expected a tensor of floats, or of token ids as integers, "
        "shaped (batch, ...)"
        for name, value in given.items()
        if not isinstance(value, Tensor) or not _are_numbers(value) or value.dim() < 2 or not len(value)
    ]
    if wrong:
        raise TorchImportError([Obstacle("", text) for text in wrong])
    return given


def _are_numbers(value: Tensor) -> bool:
    return not value.is_complex() and value.dtype is not torch.bool


def _by_position(signature: inspect.Signature, example: Any) -> dict[str, Any]:
    row = [example] if isinstance(example, Tensor) else example
    if not isinstance(row, Sequence) or isinstance(row, str) or not row:
        text = f"the example input is a {type(example).__name__}: expected a tensor or several"
        raise TorchImportError([Obstacle("", text)])
    try:
        given = dict(signature.bind(*row).arguments)
    except TypeError as error:
        raise TorchImportError(
            [Obstacle("", f"the example input does not fit `forward`: {error}")]
        ) from error
    if any(isinstance(value, tuple) for value in given.values()):
        raise TorchImportError([Obstacle("", "`forward` takes any number of arguments: expected named ones")])
    return given


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _batches(model: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs with at least two samples, so that the batch can be told from a dimension of 1.

    Raises:
        TorchImportError: the model does not run on them.
    """
    sizes = {name: len(value) for name, value in given.items()}
    if len(set(sizes.values())) > 1:
        raise TorchImportError(
            [Obstacle("", f"the example inputs have batches of {sizes}: expected one size")]
        )
    try:
        run_once(model, given, nn.Module.eval)
    except Exception as error:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
        raise TorchImportError(
            [
                Obstacle(
                    "", f"it does not run on the example input ({shapes}): {type(error).__name__}: {error}"
                )
            ]
        ) from error
    if next(iter(sizes.values())) > 1:
        return dict(given)
    inputs = {name: torch.cat([value, value]) for name, value in given.items()}
    try:
        run_once(model, inputs, nn.Module.eval)
    except Exception as error:
        raise TorchImportError(
            [Obstacle("", f"it runs on one sample but not on two: expected any batch size; {error}")]
        ) from error
    return inputs


def _readings(model: nn.Module, inputs: Mapping[str, Tensor], *, allow_fixed: bool) -> Iterator[Reading]:
    """Readings of a model, the best first: of its calls in training, and if it is in evaluation mode of those there.

    A model that does something else in training, such as giving auxiliary outputs, is what it is in evaluation if it
    is handed over in that mode. With `allow_fixed`, some read around what a spec cannot express.
    """
    modes = (True,) if model.training else (True, False)
    around = (_read_around, partial(_read_around, keep_calls=False)) if allow_fixed else ()
    readers: tuple[Callable[..., Reading], ...] = (_read_if_whole, *around) if around else (_read,)
    runs = {training: _Runs(model, inputs, training) for training in modes}
    for reader in readers:
        for training in modes:
            reading = reader(runs[training])
            reading.trains = training and not reading.functional_dropout
            yield reading


class _Runs:
    """Records of a model in one mode, each made once."""

    def __init__(self, model: nn.Module, inputs: Mapping[str, Tensor], training: bool) -> None:
        self.model, self.inputs, self.training = model, inputs, training
        self.batch = len(next(iter(inputs.values())))
        self._whole: Trace | tuple[Obstacle, ...] | None = None
        self._once: Trace | tuple[Obstacle, ...] | None = None

    def copied(self) -> nn.Module:
        """A copy of the model in this mode."""
        return copy_of(self.model).train(self.training)

    def recorded(self, opaque: Collection[str] = ()) -> Trace | tuple[Obstacle, ...]:
        """Its calls, with modules at some paths taken as they are."""
        if opaque:
            return record(self.copied(), self.inputs, opaque)
        if self._whole is None:
            self._whole = record(self.copied(), self.inputs)
        return self._whole

    def traced(self, opaque: Collection[str]) -> Trace | tuple[Obstacle, ...]:
        """The same, without a look at whether they are the same for other inputs."""
        if opaque:
            return trace_by_run(self.copied(), self.inputs, opaque)
        if self._once is None:
            self._once = trace_by_run(self.copied(), self.inputs)
        return self._once


def _read(runs: _Runs) -> Reading:
    """Read by running it, or by export if that fails; if neither can, the obstacles of both are given."""
    trace = runs.recorded()
    if isinstance(trace, Trace):
        return read(trace, runs.model, batch=runs.batch)
    other = trace_by_export(runs.copied(), runs.inputs)
    if isinstance(other, Trace):
        return read(other, runs.model, batch=runs.batch)
    return Reading(obstacles=[*trace, *other])


def _read_if_whole(runs: _Runs) -> Reading:
    """The same; a model with obstacles is recorded once, for it is read around them."""
    trace = runs.traced(())
    if isinstance(trace, Trace):
        reading = read(trace, runs.model, batch=runs.batch)
        if reading.obstacles:
            return reading
    return _read(runs)


def _read_around(runs: _Runs, *, keep_calls: bool = True) -> Reading:
    """Read the model with calls that are obstacles kept as they are, or the modules around them if need be."""
    fixed: set[str] = set()

    def reading_of(trace: Trace | tuple[Obstacle, ...]) -> Reading:
        if not isinstance(trace, Trace):
            return Reading(obstacles=list(trace))
        return read(trace, runs.model, batch=runs.batch, fixed=fixed, keep_calls=keep_calls)

    while True:
        reading = reading_of(runs.traced(fixed))
        if not reading.obstacles:
            reading = reading_of(runs.recorded(fixed))
        waiting = {obstacle.path for obstacle in reading.obstacles} - fixed - {""}
        if not waiting:
            return reading
        fixed |= _innermost(_to_keep_first(waiting, reading, runs.model))


def _to_keep_first(waiting: set[str], reading: Reading, model: nn.Module) -> set[str]:
    """The modules with obstacles of their own, and others of their classes: what is behind may then be readable."""
    own = {obstacle.path for obstacle in reading.obstacles if obstacle not in reading.behind} & waiting
    classes = {type(model.get_submodule(path)) for path in own or waiting}
    return {path for path in waiting if type(model.get_submodule(path)) in classes}


def _innermost(paths: set[str]) -> set[str]:
    """Those with no other inside: an obstacle of a module around may be due to theirs."""
    return {path for path in paths if not any(other.startswith(f"{path}.") for other in paths)}


def _network(model: nn.Module, reading: Reading, name: str) -> GrowingNetwork:
    blueprint = reading.blueprint
    blueprint.leave_out_unread()
    fold_orders(blueprint)
    blueprint.finish()
    unread = blueprint.unread_inputs()
    if unread:
        raise TorchImportError([Obstacle("", f"no output depends on the input `{each}`") for each in unread])
    _name_outputs(blueprint, reading.keys)
    spec = Spec(
        legal(name),
        blueprint.nodes,
        tuple(blueprint.outputs),
        named_outputs=reading.several,
        train=Train(allow_unused_outputs=True),  # a head keeps the classes that it was made for
    )
    graph = _checked_graph(spec)
    generator = torch.Generator()
    parts: dict[str, nn.Module] = {}
    sources = {node: blueprint.sources.get(node, Source()) for node in graph.order}
    for node, source in sources.items():
        kept = copy.deepcopy(source.module)
        part = part_of(graph, node, generator) if kept is None else kept
        if part is not None:
            parts[node] = _filled(part, source)
    network = GrowingNetwork(graph, parts).train(model.training)
    for node, part in parts.items():
        _train_as(part, sources[node])
    return network


def _name_outputs(blueprint: Blueprint, keys: Sequence[str]) -> None:
    """Call the outputs by the keys of the model's result; inputs keep their names."""
    called: dict[str, str] = {}
    inputs = {name for name, node in blueprint.nodes.items() if isinstance(node, Input)}
    for old, key in zip(blueprint.outputs if keys else (), keys, strict=True):
        called[old] = free(legal(key), {*called.values(), *(inputs - {old})})
    blueprint.rename(called)


def _checked_graph(spec: Spec) -> Graph:
    """
    Raises:
        TorchImportError: the spec is not sound.
    """
    problems = [f"{each.path}: {each.message}" for each in check_spec(spec)]
    if problems:
        raise TorchImportError([Obstacle("", each) for each in problems])
    try:
        return build_graph(spec)
    except GraphError as error:
        raise TorchImportError([Obstacle("", str(error))]) from error


def _train_as(part: nn.Module, source: Source) -> None:
    """Put a part in the mode of the module that it is made of."""
    if source.module is not None:
        for inner, own in zip(part.modules(), source.module.modules(), strict=True):
            inner.training = own.training
    elif source.training is not None:
        part.train(source.training)


def _filled(part: nn.Module, source: Source) -> nn.Module:
    """A part with copies of the weights of the model, of their type and on their device."""
    for name, tensor in source.tensors.items():
        values = trained_like(tensor, tensor.detach().clone())
        if isinstance(getattr(part, name), nn.Parameter) and not isinstance(values, nn.Parameter):
            values = nn.Parameter(values, requires_grad=False)  # a buffer of the model
        setattr(part, name, values)
    return part
