"""Sums, differences, products and quotients of a model: of two values, of a value and a number, or a parameter.

Two values become a merge, a number becomes a `scale`, a parameter an `affine`, or `positions` if it has a number for
each value of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import nn

from gromo_graph.layers.affine import affine
from gromo_graph.layers.class_token import token_in_front, token_itself
from gromo_graph.layers.positions import add_parameter
from gromo_graph.layers.scale import scaled
from gromo_graph.plain_torch.arrangement import FEATURES, Arranged, Factor
from gromo_graph.plain_torch.blueprint import Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec.kinds import Merge, ShapeMismatch
from gromo_graph.spec.kinds.merge import multiplied


def add(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> ModelValue:
    """input + alpha · other."""
    if alpha == 1 and _is_constant(input) and not _is_constant(other):
        return add(call, other, input)
    if _is_number(other) and _is_number(alpha):
        number = alpha * _number(other)  # Python's sum() begins with 0
        view = call.in_any_order(input)
        return view if number == 0 else scaled(call, view, offset=number)
    if isinstance(other, Weight):
        token = token_itself(call, other) if alpha == 1 else None
        if token is None:
            return _with_parameter(call, call.view(input), "bias", _times(other, alpha))
        other = token
    a, b = _alike(call, input, other)
    b = _scaled(call, b, alpha)
    if isinstance(a, Arranged):
        return _by_place(call, "sum", a, b)
    if a.shape != b.shape:
        raise Misread(f"it adds {list(a.shape)} and {list(b.shape)}: expected equal shapes")
    return merged(call, "sum", (a, b), by_features=a.features_last or b.features_last)


def sub(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> ModelValue:
    """input − alpha · other."""
    if _is_constant(input):
        return add(call, _scaled(call, call.in_any_order(other), -alpha), input)
    return add(call, input, other, alpha=-alpha)


def rsub(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> ModelValue:
    """other − alpha · input."""
    return sub(call, other, input, alpha=alpha)


def neg(call: TorchCall, input: Any) -> ModelValue:
    return _scaled(call, call.in_any_order(input), -1)


def mul(call: TorchCall, input: Any, other: Any) -> ModelValue:
    if _is_number(input) or (isinstance(input, Weight) and not isinstance(other, Weight)):
        input, other = other, input
    if _is_number(other):
        return _scaled(call, call.in_any_order(input), _number(other))
    if isinstance(other, Weight):
        return _with_parameter(call, call.view(input), "weight", other)
    a, b = _alike(call, input, other)
    return _by_place(call, "product", a, b) if isinstance(a, Arranged) else _multiplied(call, a, b)


def div(call: TorchCall, input: Any, other: Any, *, rounding_mode: Any = None) -> ModelValue:
    if rounding_mode is not None:
        raise Unmapped(f"it rounds what it divides ({rounding_mode}): expected rounding_mode=None")
    if _is_number(other):
        return _scaled(call, call.in_any_order(input), 1.0 / _number(other))
    if isinstance(other, Weight) and not other.tensor.requires_grad:
        return _with_parameter(call, call.view(input), "weight", other.converted(torch.reciprocal))
    raise Unmapped("it divides by something that changes: expected a number, or a buffer")


def addcmul(call: TorchCall, input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> ModelValue:
    """input + value · tensor1 · tensor2."""
    return add(call, input, mul(call, tensor1, tensor2), alpha=value)


def square(call: TorchCall, input: Any) -> ModelValue:
    view = call.view(input)
    return _multiplied(call, view, view)


def power(call: TorchCall, input: Any, exponent: Any) -> ModelValue:
    """A square or a cube; other powers have no slope at 0, or none but 0."""
    if exponent not in (2, 3):
        raise Unmapped(f"it takes the power {exponent!r}: expected 2 or 3")
    found = square(call, input)
    return found if exponent == 2 else mul(call, found, input)


def _is_number(value: Any) -> bool:
    """True for a number, and for a tensor of one that is not trained."""
    if isinstance(value, Weight):
        return value.tensor.dim() == 0 and not isinstance(value.tensor, nn.Parameter)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_constant(value: Any) -> bool:
    return isinstance(value, Weight) or _is_number(value)


def _number(value: Any) -> float:
    return float(value.tensor) if isinstance(value, Weight) else value


def _scaled(call: TorchCall, view: ModelValue, factor: Any) -> ModelValue:
    return view if factor == 1 else scaled(call, view, factor=factor)


def _times(weight: Weight, factor: Any) -> Weight:
    """A parameter times a number: training moves the one as the other."""
    return weight if factor == 1 else weight.converted(lambda values: values * factor)


def _with_parameter(call: TorchCall, view: ModelValue, half: str, weight: Weight) -> ModelValue:
    found = affine(call, view, half, weight)
    if found is not None:
        return found
    if half == "bias":
        return add_parameter(call, view, weight)
    raise Unmapped(
        f"it multiplies {list(view.shape)} by the parameter `{weight.path}` of shape {list(weight.tensor.shape)}: "
        "expected a number for each feature, or one"
    )


# Values with each other


def _alike(call: TorchCall, a: Any, b: Any) -> tuple[ModelValue, ModelValue]:
    """Two values, which may be in any order if it is the same."""
    views = call.in_any_order(a), call.in_any_order(b)
    one, other = (view.dims if isinstance(view, Arranged) else () for view in views)
    if one and one == other and views[0].own == views[1].own:
        return views
    return call.view(a), call.view(b)


def _by_place(call: TorchCall, how: str, a: Arranged, b: ModelValue) -> ModelValue:
    """Two values of one order: the nodes are merged as they stand."""
    plain = [ModelValue(view.node, view.own, view.own) for view in (a, b)]
    return replace(a, node=call.blueprint.merge(call.named(Merge, {}), how, plain).node)


def _multiplied(call: TorchCall, a: ModelValue, b: ModelValue) -> ModelValue:
    """A product, in which a value of one position may multiply all positions of another."""
    if a.shape == b.shape and not _is_row(a) and not _is_row(b):
        return merged(call, "product", (a, b), by_features=a.features_last or b.features_last)
    if len(a.shape) != len(b.shape):
        raise Misread(f"it multiplies {list(a.shape)} and {list(b.shape)}: expected as many dimensions")
    by_features = any(view.features_last and not _is_row(view) for view in (a, b))
    nodes = [_factor(call, view, by_features) for view in (a, b)]
    blueprint = call.blueprint
    plain = [ModelValue(node, blueprint.shapes[node], blueprint.shapes[node]) for node in nodes]
    try:
        multiplied([view.own for view in plain])
    except ShapeMismatch as error:
        one, other = (list(view.own) for view in plain)
        raise Misread(
            f"it multiplies {list(a.shape)} and {list(b.shape)} of each sample, which nodes give as {one} and {other}, "
            "features first: expected the same sizes in the same places, or 1"
        ) from error
    found = blueprint.merge(call.named(Merge, {}), "product", plain)
    return call.behind_positions(found) if by_features else found


def _is_row(view: ModelValue) -> bool:
    """True if it has one position, which may have been repeated."""
    feature = view.shape[-1] if view.turned else view.shape[0]
    return len(view.shape) > 1 and prod(view.own) == view.own[0] and view.own[0] in (feature, view.shape[-1])


def _factor(call: TorchCall, view: ModelValue, by_features: bool) -> str:
    if _is_row(view):
        return view.node
    return call.blueprint.by_features(view) if by_features else call.exact(view)


def repeated_heads(call: TorchCall, value: Arranged, dim: int, times: int) -> Arranged:
    """Each of the keys and values of a dimension several times, for the queries that share them.

    A repeated value is concatenated with itself; the copies of a feature become neighbours.

    Raises:
        Unmapped: it is no dimension of heads.
    """
    if times == 1:
        return value
    features = [
        each for part in (*value.dims[-1:], *value.dims[:-1]) for each in part if each.axis == FEATURES
    ]
    value = call.in_turns(value, features)
    if any(each.axis != FEATURES for each in value.dims[dim]):
        raise Unmapped("it repeats positions: expected the heads of keys and values")
    blueprint = call.blueprint
    plain = ModelValue(value.node, value.own, value.own)
    joined = blueprint.merge(f"{value.node}.repeated", "concat", [plain] * times)
    node = blueprint.shuffled(joined.node, times)
    wider = {
        each: replace(each, step=each.step * times)
        for part in value.dims
        for each in part
        if each.axis == FEATURES
    }
    found = value.of(node, blueprint.shapes[node], wider)
    dims = [(*part, Factor(FEATURES, times)) if at == dim else part for at, part in enumerate(found.dims)]
    return found.with_dims(dims)


def expand(call: TorchCall, input: Any, *sizes: Any) -> ModelValue:
    """A value of one position in the place of many: a product says the same without it."""
    value = call.in_any_order(input)
    if isinstance(value, Arranged) and len(value.sizes) == len(call.sizes):
        wider = [dim for dim, size in enumerate(call.sizes) if value.sizes[dim] != size]
        if len(wider) == 1 and value.sizes[wider[0]] == 1:
            return repeated_heads(call, value, wider[0], call.sizes[wider[0]])
    view = call.view(input)
    if view.shape == call.shape:
        return view
    if not _is_row(view):
        raise Unmapped(
            f"it repeats {list(view.shape)} as {list(call.shape)}: expected a value of one position"
        )
    return ModelValue(view.node, view.own, call.shape, turned=view.turned)


@dataclass(frozen=True, repr=False)
class Stacked:
    """Values along a new dimension, which a sum or a mean takes away again."""

    values: Sequence[Any]
    dim: int

    @classmethod
    def of(cls, tensors: Sequence[Any], dim: int = 0) -> Stacked:
        """With the arguments of `torch.stack`."""
        return cls(tensors, dim)

    def __repr__(self) -> str:
        return "stacked values"


def total(call: TorchCall, input: Any, dim: Any = None, keepdim: bool = False) -> ModelValue:
    """The sum of stacked values."""
    if not isinstance(input, Stacked):
        raise Unmapped(
            "it adds the values of a tensor up: expected a mean of all positions, or stacked values"
        )
    axes = dim if isinstance(dim, tuple | list) else (dim,)
    dimensions = len(call.shape) + 2
    if keepdim or [axis % dimensions for axis in axes if axis is not None] != [input.dim % dimensions]:
        raise Unmapped(f"it adds up along {dim} what was stacked along {input.dim}: expected the same")
    found = call.view(input.values[0])
    for other in input.values[1:]:
        found = add(call, found, other)
    return found


def cat(call: TorchCall, tensors: Any, dim: int = 0, *, axis: int | None = None) -> ModelValue:
    along = dim if axis is None else axis
    tensors = [each for each in tensors if not isinstance(each, Weight) or each.tensor.numel()]
    if len(tensors) == 1:
        return call.in_any_order(tensors[0])
    *tokens, last = tensors
    if all(isinstance(each, Weight) for each in tokens) and _is_along_positions(call.view(last), along):
        value = call.view(last)
        for token in reversed(tokens):
            value = token_in_front(call, token, value)
        return value
    views = [call.view(tensor) for tensor in tensors]
    if _is_along_positions(views[0], along):
        return _behind_each_other(call, views)
    dimensions = len(views[0].shape)
    along %= dimensions + 1
    by_features = dimensions > 1 and along == dimensions
    if along != 1 and not by_features:
        raise Unmapped(f"it concatenates along dimension {along}: expected the features, first or last")
    return merged(call, "concat", views, by_features=by_features)


def _is_along_positions(value: ModelValue, dim: int) -> bool:
    """True if a dimension, of the batch too, is that of the positions of a sequence."""
    return len(value.shape) == 2 and dim % 3 == (1 if value.features_last else 2)


def _behind_each_other(call: TorchCall, views: Sequence[ModelValue]) -> ModelValue:
    """The positions of sequences, one after the other: in a spec, features of their transposes."""
    blueprint = call.blueprint
    last = views[0].features_last
    nodes = [blueprint.by_features(view) if last else blueprint.exact(view) for view in views]
    turned = [blueprint.transposed(blueprint.sequence(node)) for node in nodes]
    plain = [ModelValue(node, blueprint.shapes[node], blueprint.shapes[node]) for node in turned]
    node = blueprint.transposed(merged(call, "concat", plain, by_features=False).node)
    own = blueprint.shapes[node]
    return ModelValue(node, own, call.shape, turned=last)


def merged(call: TorchCall, how: str, views: Sequence[ModelValue], *, by_features: bool) -> ModelValue:
    """A merge of values; if one has its features last in the model, the others are brought to that order."""
    blueprint = call.blueprint
    name = call.named(Merge, {})
    if not by_features:
        return blueprint.merge(name, how, views)
    nodes = [blueprint.by_features(view) for view in views]
    if len({len(blueprint.shapes[node]) for node in nodes}) > 1:
        nodes = [blueprint.sequence(node) for node in nodes]
    shapes = [blueprint.shapes[node] for node in nodes]
    plain = [ModelValue(node, shape, shape) for node, shape in zip(nodes, shapes, strict=True)]
    return call.behind_positions(blueprint.merge(name, how, plain))


ARITHMETIC: Mapping[str, Callable[..., ModelValue]] = {
    "add": add,
    **dict.fromkeys(("sub", "subtract"), sub),
    "rsub": rsub,
    **dict.fromkeys(("neg", "negative"), neg),
    **dict.fromkeys(("mul", "multiply"), mul),
    **dict.fromkeys(("div", "truediv", "divide", "true_divide"), div),
    "addcmul": addcmul,
    "square": square,
    "sum": total,
    **dict.fromkeys(("pow", "power"), power),
    **dict.fromkeys(("expand", "expand_as"), expand),
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
}
"""By the names of functions, methods and operators."""
