"""The layer inside a growing module: what it is, its forward passes, its neighbours, its state.

State that belongs to growth and not to the network (pending weights, statistics, stored activations,
neighbours) is kept out of `state_dict()`, `parameters()` and `modules()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.algebra import summed_second_moment
from gromo_graph.errors import GrowthError
from gromo_graph.layers import Kernel, adapter_for, operation_adapter, operations_of
from gromo_graph.layers.channel_propagation import as_factor, pass_both, pass_old
from gromo_graph.modules.linkable import Linkable
from gromo_graph.statistics.capture import (
    Capture,
    observed_forward,
    stored_input,
    stored_pre_activity,
    stored_rows,
)
from gromo_graph.statistics.growth_link import GrowthLink
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic

_PENDING_LAYERS = ("optimal_delta_layer", "extended_input_layer", "extended_output_layer")
_PENDING_TENSORS = ("eigenvalues_extension", "parameter_update_decrease", "delta_raw")


class LayerModule(Linkable):
    """A layer with its function, its neighbours and the state of its growth, before it measures anything.

    Args:
        layer: the torch layer. function, extended_function: behind it, and behind its output extension if that is
            another. The others are those of `GrowingModule`.
    """

    unregistered: ClassVar[frozenset[str]] = frozenset(
        (
            "previous_module",
            "next_module",
            "explicit_extended_function",
            "scaling_factor",
            "input_factor",
            "delta_factor",
            "growth_links",
            "network_groups",
            "joint_partners",
            *_PENDING_LAYERS,
            *_PENDING_TENSORS,
        )
    )

    def __init__(
        self,
        layer: torch.nn.Module,
        *,
        function: torch.nn.Module | None,
        extended_function: torch.nn.Module | None,
        allow_growing: bool,
        name: str | None,
        growth_kernel: Kernel,
        allow_jump: bool,
    ) -> None:
        super().__init__()
        self.name = f"a growing {type(layer).__name__}" if name is None else name
        self.adapter = adapter_for(layer)
        if growth_kernel not in ("full", "centre"):
            raise GrowthError(f"{self.name}: growth_kernel is {growth_kernel!r}: expected 'full' or 'centre'")
        self.growth_kernel: Kernel = growth_kernel
        self.layer: torch.nn.Module = layer
        # A new Identity for each module: a default shared by all would be changed by all.
        self.post_layer_function = function or torch.nn.Identity()
        self.explicit_extended_function = extended_function
        self.allow_growing = allow_growing
        self.allow_jump = allow_jump
        self.previous_module: torch.nn.Module | None = None
        self.next_module: torch.nn.Module | None = None
        self.target_in_neurons: int | None = None
        self.initial_in_neurons = self.in_neurons
        self.joint_partners: tuple[LayerModule, ...] = ()
        self.store_input = self.store_pre_activity = self.needed_by_next = False
        self.capture = Capture()
        self._input_size: tuple[int, ...] | None = None
        self._input_moment = SharedMoment(f"S of {self.name}")
        self.tensor_m = TensorStatistic(f"M of {self.name}")
        self.growth_links: Sequence[GrowthLink[LayerModule]] | None = None
        self.network_groups: NetworkGroups | None = None  # of the network that was compiled with this module
        self._forget_growth()

    def _forget_growth(self) -> None:
        self.optimal_delta_layer: torch.nn.Module | None = None
        self.extended_input_layer: torch.nn.Module | None = None
        self.extended_output_layer: torch.nn.Module | None = None
        self.eigenvalues_extension: Tensor | None = None
        self.parameter_update_decrease: Tensor | None = None
        self.delta_raw: Tensor | None = None  # the δ solved for last, (out, columns), never scaled
        self.extension_applied = False  # what is pending has become weights already
        self.delta_solver: str | None = None
        self.extension_solver: str | None = None
        self.extension_decomposition: str | None = None
        self.input_factor: Tensor | None = None
        self.delta_factor: Tensor | None = None  # None: the square of the input's

    def _check_shapes(self, s: tuple[int, int] | None, m: tuple[int, int] | None) -> None:
        columns, out = self.adapter.columns(self.layer), self.pre_activations
        for what, found, expected in (("S", s, (columns, columns)), ("M", m, (columns, out))):
            if found is not None and tuple(found) != expected:
                raise GrowthError(f"{self.name}: the shape of {what} is {found}: expected {expected}")

    # The layer

    @property
    def weight(self) -> Parameter:
        """Weight of the layer."""
        return self.layer.weight  # type: ignore[return-value]  # every layer with an adapter has one

    @property
    def bias(self) -> Parameter | None:
        """Bias of the layer, None without one."""
        return self.layer.bias  # type: ignore[return-value]

    @property
    def use_bias(self) -> bool:
        """True if the layer has a bias."""
        return self.adapter.has_bias(self.layer)

    @property
    def in_neurons(self) -> int:
        """Width of the input, the one that growth changes (channels for convolutions)."""
        return self.adapter.in_neurons(self.layer)

    @property
    def out_neurons(self) -> int:
        """Width of the output."""
        return self.adapter.out_neurons(self.layer)

    @property
    def pre_activations(self) -> int:
        """Values of the layer's output at one position: as many as outputs, or as their gates."""
        return self.adapter.pre_activations(self.layer)

    in_features = in_neurons
    own_width = out_neurons

    @property
    def device(self) -> torch.device:
        """The device of the weight."""
        return self.weight.device

    def extra_repr(self) -> str:
        """The name, for `repr`."""
        return f"name={self.name!r}"

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of the layer, and with `recurse` those of its post-layer function.

        Pending growth is never among them.
        """
        yield from self.layer.parameters(recurse)
        if recurse:
            yield from self.post_layer_function.parameters()

    def number_of_parameters(self) -> int:
        """Number of weights and biases of the layer."""
        return self.adapter.parameter_count(self.layer)

    @staticmethod
    def get_fan_in_from_layer(layer: torch.nn.Module) -> int:
        """Number of weights into one output of a layer, the bias not counted.

        >>> LayerModule.get_fan_in_from_layer(torch.nn.Linear(3, 2))
        3
        """
        return adapter_for(layer).fan_in(layer)

    # Forward

    def forward(self, x: Tensor) -> Tensor:
        """post_layer_function(layer(x)); keeps input and pre-activity while statistics are gathered."""
        a = observed_forward(self, x)
        output = pass_old(self.post_layer_function, a)
        if a.dim() > output.dim():
            self.note_positions(output)
        return output

    def extended_forward(
        self,
        x: Tensor,
        x_ext: Tensor | None = None,
        use_optimal_delta: bool = True,
        use_extended_input: bool = True,
        use_extended_output: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """The forward pass as it would be after `apply_change`; nothing is stored.

        Args:
            x: input, (n, ..., in_features) or (n, in_channels, ...).
            x_ext: output extension of the previous module, k features or channels; needed exactly where the
                input is extended.
            use_optimal_delta: subtract s²·δ(x), or δ(x) times the factor that was set for it.
            use_extended_input: add s·ω(x_ext).
            use_extended_output: also compute the outputs that the next module would gain.

        Returns:
            The output, and the further outputs (None without an output extension).
        """
        s = as_factor(self.input_factor, self.weight)
        a = self.adapter.outputs(self.layer, x)
        if use_optimal_delta and self.optimal_delta_layer is not None:
            a = a - self.delta_scale * self.adapter.outputs(self.optimal_delta_layer, x)
        if use_extended_input:
            if (self.extended_input_layer is None) != (x_ext is None):
                raise GrowthError(
                    f"{self.name} has {'no' if self.extended_input_layer is None else 'an'} input extension "
                    f"and got {'no x_ext' if x_ext is None else 'an x_ext'}: expected x_ext exactly where the "
                    "input is extended (the second result of the previous module's extended_forward)"
                )
            if self.extended_input_layer is not None and x_ext is not None:
                a = a + s * self.adapter.outputs(self.extended_input_layer, x_ext)
        if not use_extended_output or self.extended_output_layer is None:
            return pass_old(self.post_layer_function, a), None
        new = self.passed[0].factor_like(a) * self.adapter.outputs(self.extended_output_layer, x)
        return pass_both(self.post_layer_function, self.extended_post_layer_function, a, new, self.passed)

    @property
    def extended_post_layer_function(self) -> torch.nn.Module:
        """The function behind the output extension."""
        if self.explicit_extended_function is None:
            return self.post_layer_function
        return self.explicit_extended_function.train(self.training)

    @property
    def input(self) -> Tensor:
        """Input of the last forward pass, detached; needs `store_input` before it."""
        return stored_input(self)

    @property
    def pre_activity(self) -> Tensor:
        """Pre-activity of the last forward pass, for `torch.autograd.grad`; needs `store_pre_activity`."""
        return stored_pre_activity(self)

    @property
    def input_moment(self) -> SharedMoment:
        """The S that is counted here, or in the merge before for all who read it."""
        previous = self.previous_module
        if isinstance(previous, Linkable):
            shared = previous.shared_moment(self.adapter.moment_key(self.layer))
            if shared is not None:
                return shared
        return self._input_moment

    @property
    def tensor_s(self) -> TensorStatistic:
        """S = E[b bᵀ], (columns, columns); behind a merge that of the merge. Call it for its value."""
        return self.input_moment.statistic

    # Being a neighbour, being moved

    def inputs(self) -> Sequence[Linkable | int]:
        """No inputs: a layer makes its own features."""
        return ()

    def readers(self) -> Iterable[torch.nn.Module]:
        """The next module, if there is one."""
        return () if self.next_module is None else (self.next_module,)

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """The previous and the next module, if there are any."""
        return [module for module in (self.previous_module, self.next_module) if module is not None]

    @property
    def partners(self) -> tuple[LayerModule, ...]:
        """The layers whose delta is solved for together with this one's, itself among them."""
        return self.joint_partners or (self,)

    @property
    def function(self) -> torch.nn.Module:
        """The function that the output passes."""
        return self.post_layer_function

    @property
    def extension_function(self) -> torch.nn.Module:
        """The function that new outputs pass."""
        return self.extended_post_layer_function

    @property
    def output_factor(self) -> float | Tensor | None:
        """The scaling factor of the output extension, None while it has not been set."""
        return self.passed[0].factor

    @property
    def delta_scale(self) -> Tensor:
        """The factor of δ, a scalar: s², or what was set for it."""
        if self.delta_factor is not None:
            return as_factor(self.delta_factor, self.weight)
        return as_factor(self.input_factor, self.weight) ** 2

    def update_input_moment(self) -> None:
        """Count the stored batch in S of the input, once for each forward pass."""
        x = stored_input(self)
        self.input_moment.update_once(
            self.capture.forward_pass,
            lambda: (summed_second_moment(stored_rows(self)), x.shape[0]),
        )

    @property
    def feature_dim(self) -> int:
        """The dimension of the output that holds the features."""
        return self.adapter.feature_dim

    @property
    def output_sizes(self) -> tuple[int, ...] | None:
        """Sizes of the output beside the channels, if the input size is known and no operation changes them."""
        size, axes = self._input_size, self.adapter.axes(self.layer)
        if (
            size is None
            or axes is None
            or any(operation_adapter(o).slides for o in operations_of(self.function))
        ):
            return None
        own = axes[-(len(size) - 1) :]
        return tuple(axis.outputs(length) for axis, length in zip(own, size[1:], strict=True))

    def forward_pass_of_input(self, x: Tensor) -> object:
        """An identity of the forward pass, shared with others behind the same merge."""
        previous = self.previous_module
        return previous.forward_pass_of(x) if isinstance(previous, Linkable) else object()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LayerModule:
        """Move or cast, with pending growth and statistics; stored activations are dropped."""
        parent: Any = super()  # torch has no types for it
        parent._apply(fn, recurse)
        for name in _PENDING_LAYERS:
            layer = getattr(self, name)
            if layer is not None:
                layer._apply(fn)
        if self.explicit_extended_function is not None:
            self.explicit_extended_function._apply(fn)
        for name in _PENDING_TENSORS:
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(self, name, fn(tensor))
        self._input_moment.statistic.apply(fn)
        self.tensor_m.apply(fn)
        for link in self.growth_links or ():
            for statistic in (link.m_prev, link.cross, link.group.second_moment.statistic):
                statistic.apply(fn)
        self.capture.clear()
        return self


Group = MeasuredGroup[LayerModule]


class NetworkGroups(Protocol):
    """The groups of a network, for its modules."""

    def read_by(self, consumer: LayerModule) -> Sequence[Group] | None:
        """The groups that a layer reads, as they stand in its input; None if modules have been linked anew."""


def previous_of(module: LayerModule) -> Linkable:
    """The module before this one.

    Raises:
        GrowthError: there is none, or it is of a kind that growth does not know.
    """
    previous = module.previous_module
    if previous is None:
        raise GrowthError(
            f"{module.name} has no previous module, so nothing can widen its input: assign "
            "previous_module (a GrowingModule or MergeGrowingModule) first"
        )
    if not isinstance(previous, Linkable):
        raise GrowthError(
            f"the previous module of {module.name} is a {type(previous).__name__}: expected a "
            "GrowingModule or MergeGrowingModule"
        )
    return previous
