"""MergeGrowingModule: where several modules meet, or where one is read by several."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gromo_graph.algebra import Tangent, tangent_of
from gromo_graph.errors import GrowthError
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


class MergeGrowingModule(Linkable):
    """Sum or concatenation of tensors, followed by a function.

    Args:
        post_merge_function: what follows, elementwise; None is a new Identity.
        previous_modules, next_modules: linked as by `set_previous_modules` and `set_next_modules`.
        allow_growing: whether its width may grow.
        name: for messages. device: where to put the function.
        merge: "sum" or "concat" (along the features).
        outside_features: width of the tensors that come from no module (the network's input): the common
            width of a sum, the total of those tensors in a concat.

    The second moment of its output is shared by all who read it.

    >>> a, b = torch.ones(2, 3), torch.ones(2, 3)
    >>> MergeGrowingModule()(a, b).sum(), MergeGrowingModule(merge="concat")(a, b).shape
    (tensor(12.), torch.Size([2, 6]))
    """

    unregistered: ClassVar[frozenset[str]] = frozenset(("previous_modules", "next_modules"))

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
        self.previous_modules: list[Linkable] = []
        self.next_modules: list[Linkable] = []
        self._moments: dict[Hashable, SharedMoment] = {}
        self._last_output: weakref.ref[Tensor] | None = None
        self._last_pass: object = None
        self.set_previous_modules(previous_modules or [])
        self.set_next_modules(next_modules or [])

    def forward(self, *tensors: Tensor) -> Tensor:
        """post_merge_function(sum or concatenation of the tensors)."""
        if not tensors:
            raise GrowthError(f"{self.name} got no tensor: expected at least one")
        output: Tensor = self.post_merge_function(_MERGES[self.merge](self, tensors))
        self._last_output, self._last_pass = weakref.ref(output), object()
        return output

    @property
    def tensor_s(self) -> TensorStatistic:
        """S of the output as its first reader needs it (with a constant column where it has a bias)."""
        for module in self.next_modules:
            source = module.direct_source()
            if source is not None:
                return source.tensor_s
        return self.shared_moment(("linear", True)).statistic

    def shared_moment(self, key: Hashable) -> SharedMoment:
        """S of the output for readers of one kind; made when first asked for."""
        return self._moments.setdefault(key, SharedMoment(f"S of {self.name}"))

    def forward_pass_of(self, x: Tensor) -> object:
        """The last forward pass where x is its output; a new identity for any other tensor."""
        is_last = self._last_output is not None and self._last_output() is x
        return self._last_pass if is_last else object()

    @property
    def out_features(self) -> int:
        """Width of the output.

        Raises:
            GrowthError: neither modules before nor `outside_features` nor modules after tell.
        """
        merge = self._first_of_sums()
        if merge.outside_features is not None or merge.previous_modules:
            width = merge.width_of_inputs()
        else:
            width = next(iter(merge._reader_widths()), None)
        if width is None:
            raise GrowthError(
                f"the width of {self.name} is not known: expected previous modules, next modules or "
                "outside_features"
            )
        return width

    def _first_of_sums(self) -> MergeGrowingModule:
        """Where a chain of sums begins: they are all as wide as their first input.

        A walk instead of a recursion into every input, which would take exponential time in a residual network.
        """
        merge = self
        while merge.merge == "sum" and merge.outside_features is None and merge.previous_modules:
            first = merge.previous_modules[0]
            if not isinstance(first, MergeGrowingModule):
                break
            merge = first
        return merge

    def width_of_inputs(self) -> int | None:
        """Width from what comes in alone; the widths of a sum were compared when it was linked."""
        if self.merge == "concat":
            return self._width_of(self.previous_modules)
        if self.outside_features is not None:
            return self.outside_features
        return self.previous_modules[0].out_features

    @property
    def feature_dim(self) -> int:
        """The dimension that holds the features, as in the modules before (1 where there are none)."""
        module: Linkable = self
        while isinstance(module, MergeGrowingModule):
            if not module.previous_modules:
                return 1
            module = module.previous_modules[0]
        return module.feature_dim

    # Links

    def add_previous_module(self, module: Linkable) -> None:
        """Link a module whose output comes in, in both directions."""
        self._link_previous([*self.previous_modules, module])

    def set_previous_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules whose output comes in, linked in both directions.

        Raises:
            GrowthError: widths that cannot be merged, or that readers do not expect; nothing changes then.
        """
        self._link_previous(list(modules))

    def add_next_module(self, module: Linkable) -> None:
        """Link a module that reads the output, in both directions."""
        self._link_next([*self.next_modules, module])

    def set_next_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules that read the output, linked in both directions.

        Raises:
            GrowthError: a width that is not the output's; nothing changes then.
        """
        self._link_next(list(modules))

    def _link_previous(self, modules: list[Linkable]) -> None:
        self._check_kinds(modules)
        width = self._width_of(modules)
        readers = self._reader_widths()
        # A concat that is being put together one by one may still be too narrow.
        too_narrow_yet = self.merge == "concat" and width is not None and width < min(readers, default=0)
        if width is not None and not too_narrow_yet and any(reader != width for reader in readers):
            raise GrowthError(
                f"{self.name} would give {width} features from {_listed(modules)}: expected {readers[0]}, "
                "as its readers do"
            )
        for module in self.previous_modules:
            _unlink(module, "next_module", self)
        self.previous_modules = modules
        for module in modules:
            _link(module, "next_module", self)

    def _link_next(self, modules: list[Linkable]) -> None:
        self._check_kinds(modules)
        width = self._width_of(self.previous_modules)
        for module in modules:
            expected = _in_features(module)
            if width is not None and expected is not None and expected != width:
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

    def _width_of(self, modules: list[Linkable]) -> int | None:
        """Width of the output if these came in; None where it cannot be told."""
        widths = [module.out_features for module in modules]
        if self.outside_features is not None:
            widths.append(self.outside_features)
        if not widths:
            return None
        if self.merge == "concat":
            return sum(widths)
        if len(set(widths)) > 1:
            raise GrowthError(
                f"{self.name} cannot sum {_listed(modules)}"
                + (f" and {self.outside_features} from outside" if self.outside_features else "")
                + ": expected equal widths"
            )
        return widths[0]

    def _reader_widths(self) -> list[int]:
        widths = (_in_features(module) for module in self.next_modules)
        return [width for width in widths if width is not None]

    # Being a neighbour, being moved

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """All linked modules."""
        return [*self.previous_modules, *self.next_modules]

    def output_tangent(self) -> Tangent:
        """Tangent of the post-merge function at 0."""
        return tangent_of(self.post_merge_function)

    def direct_source(self) -> LayerModule | None:
        """None: a merge stands for several modules (growth through it comes with width groups)."""
        return None

    def extra_repr(self) -> str:
        """Name and kind, for `repr`."""
        return f"name={self.name!r}, merge={self.merge!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MergeGrowingModule:
        parent: Any = super()  # torch has no types for it
        parent._apply(fn, recurse)
        for moment in self._moments.values():
            moment.statistic.apply(fn)
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


def _listed(modules: list[Linkable]) -> str:
    return ", ".join(f"{module.name} ({module.out_features})" for module in modules)


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
