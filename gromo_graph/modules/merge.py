"""MergeGrowingModule: where several modules meet, or where one is read by several."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.modules import joint
from gromo_graph.modules.adapters import operation_adapter, operations_of
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.passing import pass_both
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic

if TYPE_CHECKING:
    from gromo_graph.modules.measured import MeasuredModule


class MergeGrowingModule(Linkable):
    """Sum or concatenation of tensors, followed by a function.

    Args:
        post_merge_function: what follows, elementwise; None is a new Identity.
        previous_modules, next_modules: linked as by `set_previous_modules` and `set_next_modules`.
        allow_growing: whether its width may grow.
        name: for messages. device: where to put the function.
        merge: "sum" or "concat" (along the features).
        outside_features: width of a tensor that comes from no module (the network's input): the common
            width of a sum, the last part of a concat.

    Growth goes through it: the modules before get new outputs together (a sum) or one by one (a concat), and all that
    read it get the inputs. The second moment of its output is shared by all who read it.

    >>> a, b = torch.ones(2, 3), torch.ones(2, 3)
    >>> MergeGrowingModule()(a, b).sum(), MergeGrowingModule(merge="concat")(a, b).shape
    (tensor(12.), torch.Size([2, 6]))
    """

    unregistered: ClassVar[frozenset[str]] = frozenset(("_inputs", "next_modules"))
    is_merge: ClassVar[bool] = True

    def __init__(
        self,
        post_merge_function: torch.nn.Module | None = None,
        previous_modules: Sequence[Linkable] | None = None,
        next_modules: Sequence[Linkable] | None = None,
        allow_growing: bool = True,
        device: torch.device | None = None,
        name: str | None = None,
        merge: str = "sum",
        outside_features: int | None = None,
    ) -> None:
        super().__init__()
        if merge not in _MERGES:
            raise GrowthError(f"the merge {name} is of kind {merge!r}: expected 'sum' or 'concat'")
        self.name = name if name is not None else f"a {merge} merge"
        self.merge = merge
        self.outside_features = outside_features
        self.allow_growing = allow_growing
        function = torch.nn.Identity() if post_merge_function is None else post_merge_function
        self.post_merge_function = function.to(device)
        self._inputs: list[Linkable | int] = []
        self.next_modules: list[Linkable] = []
        self._moments: dict[Hashable, SharedMoment] = {}
        self.joint_blocks: dict[tuple[int, int], TensorStatistic] = {}
        self._last_output: weakref.ref[Tensor] | None = None
        self._last_pass: object = None
        self.set_previous_modules(previous_modules or [])
        self.set_next_modules(next_modules or [])

    def forward(self, *tensors: Tensor) -> Tensor:
        """post_merge_function(sum or concatenation of the tensors)."""
        if not tensors:
            raise GrowthError(f"{self.name} got no tensor: expected at least one")
        merged = _MERGES[self.merge](self, tensors)
        output: Tensor = self.post_merge_function(merged)
        if merged.dim() > output.dim():
            self.note_positions(output)
        self._last_output, self._last_pass = weakref.ref(output), object()
        return output

    def extended_forward(self, *pairs: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """The forward pass as it would be after the growth of what comes in; nothing is stored.

        Args:
            pairs: for each input the tensor and its further channels (None where there are none), as `extended_forward` of
                the modules before gives them.

        Returns:
            The output and its further channels, None where no input has any.
        """
        if not pairs:
            raise GrowthError(f"{self.name} got no tensor: expected at least one")
        x = _MERGES[self.merge](self, tuple(tensor for tensor, _ in pairs))
        further = tuple(new for _, new in pairs if new is not None)
        if not further:
            return self.post_merge_function(x), None
        new = _MERGES[self.merge](self, further)
        return pass_both(self.post_merge_function, self.post_merge_function, x, new, self.passed)

    @property
    def concatenates(self) -> bool:  # type: ignore[override]  # it depends on the kind of merge
        """Whether inputs stand side by side."""
        return self.merge == "concat"

    @property
    def function(self) -> torch.nn.Module:
        """What the output passes."""
        return self.post_merge_function

    @property
    def tensor_s(self) -> TensorStatistic:
        """S of the output as its first reader needs it (with a constant column where it has a bias)."""
        for module in self.next_modules:
            statistic = None if module.is_merge else module.tensor_s
            if isinstance(statistic, TensorStatistic):
                return statistic
        return self.shared_moment(("linear", True)).statistic

    def shared_moment(self, key: Hashable) -> SharedMoment:
        """S of the output for readers of one kind; made when first asked for."""
        return self._moments.setdefault(key, SharedMoment(f"S of {self.name}"))

    def forward_pass_of(self, x: Tensor) -> object:
        """The last forward pass where x is its output; a new identity for any other tensor."""
        is_last = self._last_output is not None and self._last_output() is x
        return self._last_pass if is_last else object()

    # Widths

    @property
    def own_width(self) -> int:
        """Width of what is merged, before the function.

        Raises:
            GrowthError: neither modules before nor `outside_features` nor modules after tell.
        """
        width = self._width_of(self._inputs, checked=False)
        if width is None:
            readers = self._reader_widths()
            if not readers:
                raise GrowthError(
                    f"the width of {self.name} is not known: expected previous modules, next modules or "
                    "outside_features"
                )
            return readers[0]
        return width

    def _width_of(self, inputs: Sequence[Linkable | int], *, checked: bool = True) -> int | None:
        """Width of what these inputs merge to; None where it cannot be told.

        A sum is as wide as its first input: the widths of the others were compared when they were linked.
        """
        if not inputs:
            return None
        if self.concatenates:
            return sum(_width(source) for source in inputs)
        if checked and len({_width(source) for source in inputs}) > 1:
            raise GrowthError(f"{self.name} cannot sum {_listed(inputs)}: expected equal widths")
        return _width(inputs[0])

    def _reader_widths(self) -> list[int]:
        widths = (_in_features(module) for module in self.next_modules)
        return [width for width in widths if width is not None]

    @property
    def feature_dim(self) -> int:
        """The dimension that holds the features, as in the modules before (1 where there are none)."""
        module: Linkable = self
        while module.is_merge:
            previous = [source for source in module.inputs() if isinstance(source, Linkable)]
            if not previous:
                return 1
            module = previous[0]
        return module.feature_dim

    # Links

    @property
    def previous_modules(self) -> list[Linkable]:
        """The modules whose output comes in, in the order of the tensors."""
        return [source for source in self._inputs if isinstance(source, Linkable)]

    def add_previous_module(self, module: Linkable) -> None:
        """Link a module whose output comes in, in both directions."""
        self.set_previous_modules([*self.previous_modules, module])

    def set_previous_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules whose output comes in, linked in both directions.

        Raises:
            GrowthError: widths that cannot be merged, or that readers do not expect; nothing changes then.
        """
        outside = [] if self.outside_features is None else [self.outside_features]
        self.set_inputs([*modules, *outside])

    def set_inputs(self, inputs: Sequence[Linkable | int]) -> None:
        """Replace what comes in: modules, linked in both directions, and widths of tensors that come from none.

        Raises:
            GrowthError: as `set_previous_modules`.
        """
        inputs = list(inputs)
        self._check_kinds([source for source in inputs if not isinstance(source, int)])
        width, readers = self._width_of(inputs), self._reader_widths()
        if width is not None and readers:
            width *= self._positions or 1
            # A concat that is being put together one by one may still be too narrow.
            unfinished = self.concatenates and width < min(readers)
            flattens = self._positions is None and not _keeps_features(self.post_merge_function)
            if not unfinished and not flattens and any(reader != width for reader in readers):
                raise GrowthError(
                    f"{self.name} would give {width} features from {_listed(inputs)}: expected {readers[0]}, "
                    "as its readers do"
                )
        for module in self.previous_modules:
            _unlink(module, "next_module", self)
        self._inputs = inputs
        for module in self.previous_modules:
            _link(module, "next_module", self)

    def add_next_module(self, module: Linkable) -> None:
        """Link a module that reads the output, in both directions."""
        self.set_next_modules([*self.next_modules, module])

    def set_next_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules that read the output, linked in both directions.

        Raises:
            GrowthError: a width that is not the output's; nothing changes then.
        """
        modules = list(modules)
        self._check_kinds(modules)
        width = self._width_of(self._inputs)
        if width is not None and (self._positions is not None or _keeps_features(self.post_merge_function)):
            width *= self._positions or 1
            for module in modules:
                expected = _in_features(module)
                if expected is not None and expected != width:
                    raise GrowthError(
                        f"{self.name} gives {width} features and {module.name} reads {expected}: "
                        "expected the same width"
                    )
        for module in self.next_modules:
            _unlink(module, "previous_module", self)
        self.next_modules = modules
        for module in modules:
            _link(module, "previous_module", self)

    def _check_kinds(self, modules: list[Linkable]) -> None:
        for module in modules:
            if not isinstance(module, Linkable):
                raise GrowthError(
                    f"{self.name} cannot be linked to a {type(module).__name__}: expected a GrowingModule "
                    "or MergeGrowingModule"
                )

    # The joint delta of the layers that enter a sum

    def init_computation(self) -> None:
        """Start the statistics of the layers that enter this sum, so that their deltas can be solved for together.

        Those are the growing modules before it without a function of their own: what they add up to has one gradient.

        Raises:
            GrowthError: it is no sum, or no such module enters it.
        """
        joint.start(self)

    def update_computation(self) -> None:
        """Count the last forward and backward pass in their statistics, and in those of this merge."""
        joint.update(self)

    def reset_computation(self) -> None:
        """Empty the statistics and keep nothing of forward passes any more."""
        joint.stop(self)

    @property
    def previous_tensor_s(self) -> Tensor:
        """S of all that the layers entering this sum read, side by side, (columns, columns)."""
        return joint.joint_s(self)

    @property
    def previous_tensor_m(self) -> Tensor:
        """M of the same against the gradient of the sum, (columns, out)."""
        return joint.joint_m(self)

    def compute_optimal_delta(
        self,
        update: bool = True,
        dtype: torch.dtype = torch.float32,
        force_pseudo_inverse: bool = False,
        *,
        ridge: float = 0.0,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """The best change of the weights of all layers that enter this sum, solved for together (MATH.md, optimal delta).

        Args:
            update: keep it as their `optimal_delta_layer`, each with its share of the decrease.
            dtype: in which to solve; results have the layers' dtype.
            force_pseudo_inverse: even where S is regular.
            ridge: added to the diagonal of S, relative to its mean.

        Returns:
            δ of the weight and of the bias of each layer, in the order of `joint_modules`.
        """
        return joint.compute_delta(
            self, update=update, dtype=dtype, force_pseudo_inverse=force_pseudo_inverse, ridge=ridge
        )

    @property
    def joint_modules(self) -> tuple[MeasuredModule, ...]:
        """The growing modules that enter this sum without a function of their own."""
        return joint.modules_of(self)

    # Being a neighbour, being moved

    def inputs(self) -> Sequence[Linkable | int]:
        """What comes in, in the order of the tensors."""
        return self._inputs

    def readers(self) -> Iterable[torch.nn.Module]:
        """The modules that read the output."""
        return self.next_modules

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """All linked modules."""
        return [*self.previous_modules, *self.next_modules]

    def extra_repr(self) -> str:
        """Name and kind, for `repr`."""
        return f"name={self.name!r}, merge={self.merge!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MergeGrowingModule:
        parent: Any = super()  # torch has no types for it
        parent._apply(fn, recurse)
        for statistic in (*self.joint_blocks.values(), *(m.statistic for m in self._moments.values())):
            statistic.apply(fn)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be pickled, and the last forward pass means nothing elsewhere.
        return {**self.__dict__, "_last_output": None, "_last_pass": None}


def _sum(merge: MergeGrowingModule, tensors: tuple[Tensor, ...]) -> Tensor:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise GrowthError(f"{merge.name} cannot sum tensors of shapes {sorted(shapes)}: expected one shape")
    return reduce(torch.add, tensors)


def _concat(merge: MergeGrowingModule, tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(tensors, dim=merge.feature_dim)


_MERGES: dict[str, Callable[[MergeGrowingModule, tuple[Tensor, ...]], Tensor]] = {
    "concat": _concat,
    "sum": _sum,
}


def _listed(inputs: Sequence[Linkable | int]) -> str:
    named = [f"{source.name} ({source.out_features})" for source in inputs if isinstance(source, Linkable)]
    return ", ".join([*named, *(f"{width} from outside" for width in inputs if isinstance(width, int))])


def _width(source: Linkable | int) -> int:
    return source if isinstance(source, int) else source.out_features


def _keeps_features(function: torch.nn.Module) -> bool:
    return not any(operation_adapter(operation).flattens for operation in operations_of(function))


def _in_features(module: Linkable) -> int | None:
    width = getattr(module, "in_features", None)
    return width if isinstance(width, int) else None


def _link(module: Linkable, attribute: str, merge: MergeGrowingModule) -> None:
    """Growing modules have one neighbour on each side; merges keep lists, which their owner fills."""
    if hasattr(module, attribute):
        setattr(module, attribute, merge)


def _unlink(module: Linkable, attribute: str, merge: MergeGrowingModule) -> None:
    if getattr(module, attribute, None) is merge:
        setattr(module, attribute, None)
