"""MergeGrowingModule: the sum, product or concatenation of several modules, or the fan-out of one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.layers.channel_propagation import pass_both
from gromo_graph.layers.product import same_rank
from gromo_graph.modules import joint_delta
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.merge_links import LinkedMerge
from gromo_graph.statistics.capture import Capture, kept, stored_pre_activity
from gromo_graph.statistics.joint_moments import JointMoments
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic


class MergeGrowingModule(LinkedMerge):
    """Sum, product or concatenation of tensors, followed by a function.

    Args:
        post_merge_function: what follows, as `post_layer_function` of a GrowingModule; None is a new Identity.
        previous_modules, next_modules: linked as by `set_previous_modules` and `set_next_modules`.
        allow_growing: whether its width may grow.
        name: for messages. device: where to put the function.
        merge: "sum", "product" (a size of 1 stands for any) or "concat" (along the features).
        outside_features: width of a tensor that comes from no module (the network's input): the common
            width of a sum, the last part of a concat.

    Growth goes through it: the modules before get new outputs together (sum, product) or one by one (a concat), and
    all that read it get the inputs. The second moment of its output is shared by all who read it.

    >>> a, b = torch.ones(2, 3), torch.ones(2, 3)
    >>> MergeGrowingModule()(a, b).sum(), MergeGrowingModule(merge="concat")(a, b).shape
    (tensor(12.), torch.Size([2, 6]))
    """

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
        if merge not in _MERGES:
            raise GrowthError(f"the merge {name} is of kind {merge!r}: expected 'sum', 'product' or 'concat'")
        super().__init__(
            name if name is not None else f"a {merge} merge",
            concatenates=merge == "concat",
            outside_features=outside_features,
        )
        self.merge = merge
        self.multiplies = merge == "product"
        self.allow_growing = allow_growing
        function = torch.nn.Identity() if post_merge_function is None else post_merge_function
        self.post_merge_function = function.to(device)
        self._moments: dict[Hashable, SharedMoment] = {}
        self.joint_moments = JointMoments()
        self._last_output: weakref.ref[Tensor] | None = None
        self._last_pass: object = None
        self.store_pre_activity = False
        self.capture = Capture()
        self.set_previous_modules(previous_modules or [])
        self.set_next_modules(next_modules or [])

    def forward(self, *tensors: Tensor) -> Tensor:
        """post_merge_function(sum, product or concatenation of the tensors), one for each input in its order.

        Raises:
            GrowthError: another number of tensors, or tensors that cannot be merged.
        """
        self._check_count(len(tensors))
        merged = self._merged(tensors)
        if self.store_pre_activity:
            # Of a single tensor the sum is that tensor: what else reads it has a gradient of its own.
            merged = kept(self, self.capture, merged.view_as(merged))
        output: Tensor = self.post_merge_function(merged)
        if merged.dim() > output.dim():
            self.note_positions(output)
        if not torch.compiler.is_compiling():  # a compiled pass gathers nothing, and must stay one graph
            self._last_output, self._last_pass = weakref.ref(output), object()
        return output

    def _merged(self, tensors: tuple[Tensor, ...]) -> Tensor:
        return _MERGES[self.merge](self, tensors)

    def extended_forward(self, *pairs: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """The forward pass as it would be after the growth of what comes in; nothing is stored.

        Args:
            pairs: for each input the tensor and its further channels (None if there are none), as
                `extended_forward` of the modules before gives them.

        Returns:
            The output and its further channels, None if no input has any.
        """
        self._check_count(len(pairs))
        x = _MERGES[self.merge](self, tuple(tensor for tensor, _ in pairs))
        further = tuple(new for _, new in pairs if new is not None)
        if not further:
            return self.post_merge_function(x), None
        if self.multiplies and len(further) < len(pairs):
            raise GrowthError(
                f"{self.name} got further channels of {len(further)} of its {len(pairs)} inputs: expected of all"
            )
        new = _MERGES[self.merge](self, further)
        return pass_both(self.post_merge_function, self.post_merge_function, x, new, self.passed)

    def _check_count(self, found: int) -> None:
        expected = len(self._inputs)
        if found == 0 or (expected and found != expected):
            names = ", ".join(m.name for m in self.previous_modules if isinstance(m, Linkable))
            wanted = f"one for each of the {expected} before it ({names})" if expected else "at least one"
            raise GrowthError(
                f"{self.name} got {found or 'no'} tensor{'s' if found > 1 else ''}: expected {wanted}"
            )

    @property
    def pre_activity(self) -> Tensor:
        """The merged tensors of the last forward pass, before the function; needs `store_pre_activity` before it."""
        return stored_pre_activity(self)

    @property
    def function(self) -> torch.nn.Module:
        """The function that the output passes."""
        return self.post_merge_function

    @property
    def tensor_s(self) -> TensorStatistic:
        """S of the output as its first reader needs it (with a constant column if it has a bias)."""
        for module in self.next_modules:
            statistic = None if module.is_merge else module.tensor_s
            if isinstance(statistic, TensorStatistic):
                return statistic
        return self.shared_moment(("linear", True)).statistic

    def shared_moment(self, key: Hashable) -> SharedMoment:
        """S of the output for readers of one kind; made when first asked for."""
        return self._moments.setdefault(key, SharedMoment(f"S of {self.name}"))

    def forward_pass_of(self, x: Tensor) -> object:
        """The last forward pass if x is its output; a new identity for any other tensor."""
        is_last = self._last_output is not None and self._last_output() is x
        return self._last_pass if is_last else object()

    # The joint delta of the layers that enter a sum

    def init_computation(self) -> None:
        """Start the statistics of the layers that enter this sum, so that their deltas can be solved for together.

        Those are the growing modules before it without a function of their own: what they add up to has one gradient.
        If there are none (a concat, or a merge that only hands one module on to several) nothing is to be done.
        """
        joint_delta.start(self)

    def update_computation(self) -> None:
        """Count the last forward and backward pass in their statistics, and in those of this merge."""
        joint_delta.update(self)

    def reset_computation(self) -> None:
        """Empty the statistics and keep nothing of forward passes any more."""
        joint_delta.stop(self)

    @property
    def previous_tensor_s(self) -> Tensor:
        """S of all that the layers entering this sum read, side by side, (columns, columns)."""
        return joint_delta.joint_s(self)

    @property
    def previous_tensor_m(self) -> Tensor:
        """M of the same against the gradient of the sum, (columns, out)."""
        return joint_delta.joint_m(self)

    def compute_optimal_delta(
        self,
        update: bool = True,
        dtype: torch.dtype = torch.float32,
        force_pseudo_inverse: bool = False,
        *,
        ridge: float = 0.0,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """The best change of the weights of all layers that enter this sum, solved for together
        (docs/maths.md, "Optimal delta").

        Args:
            update: keep it as their `optimal_delta_layer`, each with its share of the decrease.
            dtype: in which to solve; results have the layers' dtype.
            force_pseudo_inverse: even if S is regular.
            ridge: added to the diagonal of S, relative to its mean.

        Returns:
            δ of the weight and of the bias of each layer, in the order of `joint_modules`.
        """
        return joint_delta.compute_delta(
            self, update=update, dtype=dtype, force_pseudo_inverse=force_pseudo_inverse, ridge=ridge
        )

    @property
    def joint_modules(self) -> tuple[GrowingModule, ...]:
        """The growing modules that enter this sum without a function of their own."""
        return joint_delta.modules_of(self)

    # Being a neighbour, being moved

    def extra_repr(self) -> str:
        """Name and kind, for `repr`."""
        return f"name={self.name!r}, merge={self.merge!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MergeGrowingModule:
        parent: Any = super()  # torch has no types for it
        parent._apply(fn, recurse)
        for statistic in (
            *self.joint_moments.blocks.values(),
            *(m.statistic for m in self._moments.values()),
        ):
            statistic.apply(fn)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be pickled, and the last forward pass means nothing elsewhere.
        return {**self.__dict__, "_last_output": None, "_last_pass": None}


def _sum(merge: MergeGrowingModule, tensors: tuple[Tensor, ...]) -> Tensor:
    first = tensors[0].shape
    if any(tensor.shape != first for tensor in tensors):
        shapes = sorted({tuple(tensor.shape) for tensor in tensors})
        raise GrowthError(f"{merge.name} cannot sum tensors of shapes {shapes}: expected one shape")
    return reduce(torch.add, tensors)


def _product(merge: MergeGrowingModule, tensors: tuple[Tensor, ...]) -> Tensor:
    try:
        return reduce(torch.mul, same_rank(tensors))
    except RuntimeError as error:
        shapes = sorted({tuple(tensor.shape) for tensor in tensors})
        raise GrowthError(
            f"{merge.name} cannot multiply tensors of shapes {shapes}: expected one shape, or sizes of 1"
        ) from error


def _concat(merge: MergeGrowingModule, tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(tensors, dim=merge.feature_dim)


_MERGES: dict[str, Callable[[MergeGrowingModule, tuple[Tensor, ...]], Tensor]] = {
    "concat": _concat,
    "sum": _sum,
    "product": _product,
}
