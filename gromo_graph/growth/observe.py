"""A pass over data that sees inputs and gradients of chosen modules and leaves no trace in the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten
from torch.utils.hooks import RemovableHandle

from gromo_graph.errors import GrowthError, NotFiniteError
from gromo_graph.growth.means import share_of
from gromo_graph.growth.pseudo_gradients import OutputVectors, output_vectors, relative_probe
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import evaluation_mode, inputs_of

# So many batches of a loader that says no length are taken for a sign that it has no end.
_MOST_BATCHES = 100_000

Loss = Callable[[Any, Tensor], Tensor]
Loader = Iterable[tuple[Any, Tensor]]
Curvature = Literal["gauss_newton", "empirical"]
"""Gradients that the curvature is made of: of the network's own distribution, or those of the data."""


@dataclass(frozen=True)
class Watched:
    """The inputs and gradients that a pass observes.

    Attributes:
        modules: layers: their inputs, and the gradients at their pre-activities and parameters.
        sums: merges: the gradients at what they add up.
        values: nodes whose values are kept.
        parameters: whether the gradients at parameters are wanted.
        inputs: layers of which only the inputs are looked at.
        outputs: nodes at whose values, behind their functions, the gradients are wanted (`at_output`).
    """

    modules: Sequence[GrowingModule]
    sums: Sequence[MergeGrowingModule] = ()
    values: Sequence[str] = ()
    parameters: bool = True
    inputs: Sequence[GrowingModule] = ()
    outputs: Sequence[str] = ()

    @staticmethod
    def union(parts: Iterable[Watched]) -> Watched:
        """Everything that some of them look at, each once."""
        parts = list(parts)
        modules = dict.fromkeys(module for part in parts for module in part.modules)
        inputs = dict.fromkeys(module for part in parts for module in part.inputs)
        return Watched(
            list(modules),
            list(dict.fromkeys(merge for part in parts for merge in part.sums)),
            list(dict.fromkeys(node for part in parts for node in part.values)),
            any(part.parameters for part in parts),
            [module for module in inputs if module not in modules],
            list(dict.fromkeys(node for part in parts for node in part.outputs)),
        )


def at_output(node: str) -> str:
    """The name under which the gradient at the value of a node stands among those of modules."""
    return f"{node} (output)"


@dataclass(frozen=True)
class Observation:
    """One batch of a pass.

    Attributes:
        samples: size of the batch.
        weight: what the batch counts in the mean loss over all (`share_of`); of most losses the number of samples.
        gradients: d(weight · loss of the batch)/d(pre-activity) of each layer and sum, by module name.
        weight_gradients, bias_gradients: the same for the parameters of the layers, but for frozen ones.
        values: of the nodes that are watched, by name. Gradients at values stand among the others (`at_output`).
        unreached: layers and sums that the loss does not depend on; their gradients are 0.
        draws: gradients by module name whose outer products add up to the curvature, if they were asked for.
        probe: random signs by module name, by which changes are weighed relative to what is there (`relative_probe`).
    """

    samples: int
    weight: float
    gradients: Mapping[str, Tensor]
    weight_gradients: Mapping[str, Tensor]
    bias_gradients: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    unreached: frozenset[str] = frozenset()
    draws: Sequence[Mapping[str, Tensor]] = ()
    probe: Mapping[str, Tensor] | None = None


def batches(loader: Loader, network: torch.nn.Module) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """(inputs, target) on the device of the network.

    Raises:
        GrowthError: the loader gave nothing, or something that is no (x, y).
    """
    device = next(network.parameters()).device
    empty = True
    ends = is_sized(loader)
    first: Any = None
    for number, batch in enumerate(loader):
        empty = False
        if not ends and number >= _MOST_BATCHES:
            raise _endless(f"has given {number:,} batches and says no length, so it may never end")
        if not ends and batch is first and isinstance(batch, (tuple, list)):
            raise _endless(f"begins to repeat itself after {number:,} batches (itertools.cycle?)")
        first = batch if number == 0 else first
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise GrowthError(
                f"the loader gave a {type(batch).__name__}: expected pairs (x, y); of a single pair write [(x, y)]"
            )
        x, y = batch
        yield tuple(value.to(device) for value in inputs_of(x)), y.to(device)
    if empty:
        raise GrowthError(
            "the loader gave no batch: expected at least one (a loader is read once per pass; a generator is empty "
            "after the first one: give a list or a DataLoader)"
        )


def _endless(what: str) -> GrowthError:
    return GrowthError(
        f"the loader {what}: expected one that ends; of an endless one `growth.statistics.samples` takes so many "
        "samples for a plan, and held-out data must be a part of it, such as list(itertools.islice(loader, 10))"
    )


@contextmanager
def same_draws(network: torch.nn.Module) -> Iterator[None]:
    """Torch's global random state is given back: what is measured draws the same numbers each time, and none after."""
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def is_sized(loader: Loader) -> bool:
    """True if a loader says how long it is, so that it surely ends."""
    try:
        return len(loader) >= 0  # type: ignore[arg-type]
    except TypeError:  # a generator, or a DataLoader over an IterableDataset
        return False


def observe(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    watched: Watched,
    *,
    samples: int | None = None,
    curvature: Curvature | None = None,
) -> Iterator[Observation]:
    """Forward and backward over a loader; the modules hold their inputs while an observation is looked at.

    Gradients come from `torch.autograd.grad`: no `.grad` of the network is read or written.

    Args:
        network: is put in evaluation mode while the pass lasts.
        loss: mean over the batch.
        watched: what is looked at.
        samples: end after this many; None for all.
        curvature: what it is made of, if it is wanted.

    Raises:
        GrowthError: the loss is no finite scalar, or a module does not influence it.
    """
    seen, share = 0, share_of(loss)
    generator = torch.Generator().manual_seed(0)  # its own: no other random number changes
    with (
        evaluation_mode(network),
        same_draws(network),
        _storing(watched),
        _values(network, watched) as (values, outputs),
        torch.enable_grad(),
    ):
        for inputs, target in batches(loader, network):
            prediction = network(*inputs)
            weight = share(prediction, target)
            if weight:
                value = scalar(loss(prediction, target))
                finite(float(value.detach()))
                vectors: list[OutputVectors] = []
                if curvature == "gauss_newton":
                    vectors = output_vectors(_weighted(loss, weight), prediction, target, generator)
                found = _observation(value * weight, (len(target), weight), watched, values, outputs, vectors)
                if curvature is not None:
                    scale = float(value.detach())
                    found = _with_curvature(found, watched, outputs, curvature, scale, generator)
                yield found
            else:  # the mean over nothing is no number; its inputs are samples like others
                seen_alone = _observation(_zero_of(prediction), (len(target), 0.0), watched, values, outputs)
                yield replace(seen_alone, unreached=frozenset(seen_alone.gradients))
            seen += len(target)
            if samples is not None and seen >= samples:
                return


def _with_curvature(
    seen: Observation,
    watched: Watched,
    outputs: Mapping[str, Tensor],
    curvature: Curvature,
    loss: float,
    generator: torch.Generator,
) -> Observation:
    """A batch with what its curvature is made of; that of the data's own gradients is quadratic in the loss."""
    every: list[Any] = [*watched.modules, *watched.sums]
    pre_activities = {module.name: module.pre_activity.detach() for module in every}
    pre_activities |= {at_output(name): value.detach() for name, value in outputs.items()}
    scale = loss**2 if curvature == "empirical" else abs(loss)
    draws = (seen.gradients,) if curvature == "empirical" else seen.draws
    return replace(seen, draws=draws, probe=relative_probe(pre_activities, scale * seen.weight, generator))


def _weighted(loss: Loss, weight: float) -> Callable[[Any, Tensor], Tensor]:
    return lambda prediction, target: loss(prediction, target) * weight


def _zero_of(prediction: Any) -> Tensor:
    """0, with gradients of 0."""
    leaves = [leaf for leaf in tree_flatten(prediction)[0] if isinstance(leaf, Tensor)]
    return torch.stack([(0.0 * leaf).sum() for leaf in leaves]).sum()


def _observation(
    value: Tensor,
    counts: tuple[int, float],
    watched: Watched,
    values: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    vectors: Sequence[OutputVectors] = (),
) -> Observation:
    every: list[Any] = [*watched.modules, *watched.sums]
    pre_activities = [module.pre_activity for module in every]
    pre_activities += [outputs[name] for name in watched.outputs]
    weighted, biased = _trained(watched)
    wanted = [module.layer.weight for module in weighted] + [module.layer.bias for module in biased]
    tensors = [*pre_activities, *wanted]
    try:
        given = _gradients(value, tensors, again=bool(vectors))
    except RuntimeError as error:
        raise GrowthError(
            "the loss does not depend on any layer that may grow: expected a loss computed from the "
            f"network's prediction by differentiable operations ({error})"
        ) from error
    found = [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, given, strict=True)]
    draws = [_sent_back(each, pre_activities) for each in vectors]
    names = [*(module.name for module in every), *map(at_output, watched.outputs)]
    of_weights = found[len(names) : len(names) + len(weighted)]
    of_biases = found[len(names) + len(weighted) :]
    return Observation(
        *counts,
        dict(zip(names, found, strict=False)),
        dict(zip([module.name for module in weighted], of_weights, strict=True)),
        dict(zip([module.name for module in biased], of_biases, strict=True)),
        dict(values),
        frozenset(module.name for module, g in zip(every, given, strict=False) if g is None),
        [dict(zip(names, each, strict=True)) for each in draws],
    )


def _trained(watched: Watched) -> tuple[list[Any], list[Any]]:
    """The layers whose weights, and those whose biases, have gradients that are wanted.

    Of frozen layers M is a product of its own.
    """
    layers: list[Any] = list(watched.modules) if watched.parameters else []
    weighted = [module for module in layers if module.layer.weight.requires_grad]
    return weighted, [module for module in weighted if module.use_bias and module.layer.bias.requires_grad]


def _sent_back(vectors: OutputVectors, to: Sequence[Tensor]) -> Sequence[Tensor]:
    """Jᵀ v at some tensors, 0 where the outputs do not depend on them."""
    outputs, grads = zip(*vectors, strict=True)
    return torch.autograd.grad(
        outputs, to, grads, retain_graph=True, allow_unused=True, materialize_grads=True
    )


def _gradients(value: Tensor, of: Sequence[Tensor], *, again: bool) -> Sequence[Tensor | None]:
    """Gradients of a loss, None for what it does not depend on, as the heads that a loss of one output leaves out.

    Args:
        again: whether more will be sent back through the same graph.

    Raises:
        RuntimeError: it depends on none.
    """
    found = torch.autograd.grad(value, of, allow_unused=True, retain_graph=again or None)
    if all(gradient is None for gradient in found):
        raise RuntimeError("no tensor of the network was used for it")
    return found


@contextmanager
def _storing(watched: Watched) -> Iterator[None]:
    every = [*watched.modules, *watched.inputs]
    before = [(module, module.store_input, module.store_pre_activity) for module in every]
    for module in watched.modules:
        module.store_input = module.store_pre_activity = True
    for module in watched.inputs:
        module.store_input, module.store_pre_activity = True, False
    for merge in watched.sums:
        merge.store_pre_activity = True
    try:
        yield
    finally:
        for module, store_input, store_pre_activity in before:
            module.store_input, module.store_pre_activity = store_input, store_pre_activity
        for merge in watched.sums:
            merge.store_pre_activity = False
            merge.capture.clear()


@contextmanager
def _values(
    network: GrowingNetwork, watched: Watched
) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The values of the watched nodes, as of the last forward pass, and those that are part of its graph."""
    found: dict[str, Tensor] = {}
    in_graph: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        found[name] = value.detach()
        if name in watched.outputs:
            in_graph[name] = value if value.requires_grad else value.requires_grad_(True)

    handles = [
        _on_value(network, name, partial(keep, name))
        for name in dict.fromkeys((*watched.values, *watched.outputs))
    ]
    try:
        yield found, in_graph
    finally:
        for handle in handles:
            handle.remove()


def _on_value(network: GrowingNetwork, name: str, keep: Callable[[Tensor], None]) -> RemovableHandle:
    """Show the value of a node at each pass; one that does not leave its module is what the next operation reads."""
    end = network.graph.ends.get(name)
    if end is not None:
        return network.unit(end).register_forward_hook(lambda module, inputs, output: keep(output))
    (reader,) = network.graph.readers(name)
    return network.parts[reader].register_forward_pre_hook(lambda module, inputs: keep(inputs[0]))


def scalar(value: Tensor) -> Tensor:
    """The loss of a batch, if it is a scalar.

    Raises:
        GrowthError: it is no tensor, has a shape, or is complex.
    """
    if not isinstance(value, Tensor):
        raise GrowthError(f"the loss gave a {type(value).__name__}: expected a scalar tensor")
    if value.dim() != 0:
        raise GrowthError(
            f"the loss has shape {tuple(value.shape)}: expected a scalar, the mean over the batch"
        )
    if not value.is_floating_point():
        raise GrowthError(f"the loss is of {value.dtype}: expected a floating-point number")
    return value


def finite(loss: float) -> float:
    """The loss, if it is a finite number."""
    if not math.isfinite(loss):
        raise NotFiniteError(
            f"the loss is {loss}", "expected a finite number (look at the data and the learning rate)"
        )
    return loss
