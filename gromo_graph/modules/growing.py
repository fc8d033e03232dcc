"""GrowingModule: a layer that measures how it should grow, and grows.

The class is a thin facade: each member hands over to the file that has the idea. What differs between
layer kinds is in the adapter, the formulas are in `gromo_graph.algebra`, and the words are those of
MATH.md: b input rows, g gradient of the summed loss at the pre-activity, δ delta, α and ω fan-in and
fan-out weights of new neurons, λ singular values, s scaling factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.algebra import Tangent, tangent_of, with_constant
from gromo_graph.algebra.initialization import copy_uniform
from gromo_graph.errors import GrowthError
from gromo_graph.modules import measuring, scaling, solving, surgery, targets
from gromo_graph.modules.adapters import adapter_for
from gromo_graph.modules.capture import (
    Capture,
    observed_forward,
    stored_input,
    stored_pre_activity,
)
from gromo_graph.modules.links import Linkable, previous_of
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic

_PENDING_LAYERS = ("optimal_delta_layer", "extended_input_layer", "extended_output_layer")
_PENDING_TENSORS = ("eigenvalues_extension", "parameter_update_decrease", "delta_raw")
_FACTORS = ("input_factor", "output_factor")


class GrowingModule(Linkable):
    """A layer with its statistics and its pending growth.

    Args:
        layer: any layer an adapter is registered for (torch.nn.Linear).
        tensor_s_shape, tensor_m_shape: checked against the layer where given; never needed.
        post_layer_function: what follows the layer, elementwise; None is a new Identity.
        extended_post_layer_function: what follows the output extension; None is `post_layer_function`.
        allow_growing: whether its input may be widened.
        previous_module, next_module: neighbours (GrowingModule, MergeGrowingModule); assignable later.
        device: where to put the layer; None leaves it where it is.
        name: for messages.
        target_in_neurons, initial_in_neurons: widths for `missing_neurons` and `number_of_neurons_to_add`;
            the initial width defaults to the present one.
        growth_kernel: "full" or "centre", the kernels new inputs of a convolution get.

    Pending growth (`optimal_delta_layer`, `extended_input_layer`, `extended_output_layer`,
    `eigenvalues_extension`, `parameter_update_decrease`, `scaling_factor`) and the neighbours are no part
    of `state_dict()`, `parameters()` or `modules()`, but follow `.to()` and `copy.deepcopy`.

    >>> first = GrowingModule(torch.nn.Linear(3, 2), post_layer_function=torch.nn.ReLU(), name="first")
    >>> second = GrowingModule(torch.nn.Linear(2, 1), previous_module=first, name="second")
    >>> second.create_layer_extensions(4)
    >>> second.apply_change(scaling_factor=1.0)
    >>> first.out_neurons, second.in_neurons
    (6, 6)
    """

    unregistered: ClassVar[frozenset[str]] = frozenset(
        (
            "previous_module",
            "next_module",
            "explicit_extended_function",
            "scaling_factor",
            *_PENDING_LAYERS,
            *_PENDING_TENSORS,
            *_FACTORS,
        )
    )

    def __init__(
        self,
        layer: torch.nn.Module,
        tensor_s_shape: tuple[int, int] | None = None,
        tensor_m_shape: tuple[int, int] | None = None,
        post_layer_function: torch.nn.Module | None = None,
        extended_post_layer_function: torch.nn.Module | None = None,
        allow_growing: bool = True,
        previous_module: torch.nn.Module | None = None,
        next_module: torch.nn.Module | None = None,
        device: torch.device | None = None,
        name: str | None = None,
        target_in_neurons: int | None = None,
        initial_in_neurons: int | None = None,
        growth_kernel: str = "full",
    ) -> None:
        super().__init__()
        self.name = name if name is not None else f"a growing {type(layer).__name__}"
        self.adapter = adapter_for(layer)
        if growth_kernel not in ("full", "centre"):
            raise GrowthError(f"{self.name}: growth_kernel is {growth_kernel!r}: expected 'full' or 'centre'")
        self.growth_kernel = growth_kernel
        self.layer: Any = layer if device is None else layer.to(device)
        # A new Identity for each module: a default shared by all would be changed by all.
        self.post_layer_function = (post_layer_function or torch.nn.Identity()).to(device)
        self.explicit_extended_function = extended_post_layer_function
        self.allow_growing = allow_growing
        self.previous_module = previous_module
        self.next_module = next_module
        self.target_in_neurons = target_in_neurons
        self.initial_in_neurons = self.in_neurons if initial_in_neurons is None else initial_in_neurons
        self.store_input = self.store_pre_activity = self.needed_by_next = False
        self.capture = Capture()
        self._input_size: tuple[int, ...] | None = None
        self._check_shapes(tensor_s_shape, tensor_m_shape)
        self._input_moment = SharedMoment(f"S of {self.name}")
        self.tensor_m = TensorStatistic(f"M of {self.name}")
        self.tensor_m_prev = TensorStatistic(f"M_prev of {self.name}")
        self.cross_covariance = TensorStatistic(f"the cross covariance of {self.name}")
        self._forget_growth()

    def _forget_growth(self) -> None:
        self.optimal_delta_layer: torch.nn.Module | None = None
        self.extended_input_layer: torch.nn.Module | None = None
        self.extended_output_layer: torch.nn.Module | None = None
        self.eigenvalues_extension: Tensor | None = None
        self.parameter_update_decrease: Tensor | None = None
        self.delta_raw: Tensor | None = None  # the δ solved for last, (out, columns), never scaled
        self.delta_solver: str | None = None
        self.extension_solver: str | None = None
        self.input_factor: float | Tensor | None = None
        self.output_factor: float | Tensor | None = None

    def _check_shapes(self, s: tuple[int, int] | None, m: tuple[int, int] | None) -> None:
        columns, out = self.adapter.columns(self.layer), self.out_neurons
        for what, found, expected in (("S", s, (columns, columns)), ("M", m, (columns, out))):
            if found is not None and tuple(found) != expected:
                raise GrowthError(f"{self.name}: the shape of {what} is {found}: expected {expected}")

    # What the layer is

    @property
    def weight(self) -> Parameter:
        """Weight of the layer."""
        return self.layer.weight  # type: ignore[no-any-return]

    @property
    def bias(self) -> Parameter | None:
        """Bias of the layer, None without one."""
        return self.layer.bias  # type: ignore[no-any-return]

    @property
    def use_bias(self) -> bool:
        """Whether the layer has a bias."""
        return self.adapter.has_bias(self.layer)

    @property
    def in_neurons(self) -> int:
        """Width of the input, the one that growth changes (channels for convolutions)."""
        return self.adapter.in_neurons(self.layer)

    @property
    def out_neurons(self) -> int:
        """Width of the output."""
        return self.adapter.out_neurons(self.layer)

    in_features = in_neurons
    out_features = out_neurons  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:
        """Where the weight is."""
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

        >>> GrowingModule.get_fan_in_from_layer(torch.nn.Linear(3, 2))
        3
        """
        return adapter_for(layer).fan_in(layer)

    def update_input_size(
        self,
        input_size: tuple[int, ...] | None = None,
        compute_from_previous: bool = False,
        force_update: bool = True,
    ) -> tuple[int, ...] | None:
        """Set `input_size`, the size of one sample of the input, and return it.

        Args:
            input_size: taken where given; its last entry must be the layer's width.
            compute_from_previous: take the width of the previous module's output.
            force_update: False keeps a size that is known already.

        Returns:
            The size: given, from the previous module, or of the stored input; None where there is none.
        """
        if self._input_size is not None and not force_update:
            return self._input_size
        found: tuple[int, ...] | None = None
        if input_size is not None:
            found = tuple(input_size)
        elif compute_from_previous:
            found = (previous_of(self).out_features,)
        elif self.capture.input is not None:
            found = self.adapter.input_size(self.layer, self.capture.input)
        if found is not None:
            with measuring.naming(self):
                self.adapter.check_input_size(self.layer, found)
            self._input_size = found
        return found

    @property
    def input_size(self) -> tuple[int, ...] | None:
        """Size of one sample of the input, None while it is not known (see `update_input_size`)."""
        return self._input_size or self.update_input_size()

    # Forward

    def forward(self, x: Tensor) -> Tensor:
        """post_layer_function(layer(x)); keeps input and pre-activity while statistics are gathered."""
        return self.post_layer_function(observed_forward(self, x))  # type: ignore[no-any-return]

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
            x: input, (n, ..., in_features).
            x_ext: output extension of the previous module, (n, ..., k); needed exactly where the input
                is extended.
            use_optimal_delta: subtract s²·δ(x).
            use_extended_input: add s·ω(x_ext).
            use_extended_output: also compute the outputs that the next module would gain.

        Returns:
            The output, and the further outputs (None without an output extension).
        """
        s = self.scaling_factor
        a = self.layer(x)
        if use_optimal_delta and self.optimal_delta_layer is not None:
            a = a - s**2 * self.optimal_delta_layer(x)
        if use_extended_input:
            if (self.extended_input_layer is None) != (x_ext is None):
                raise GrowthError(
                    f"{self.name} has {'no' if self.extended_input_layer is None else 'an'} input extension "
                    f"and got {'no x_ext' if x_ext is None else 'an x_ext'}: expected x_ext exactly where the "
                    "input is extended (the second result of the previous module's extended_forward)"
                )
            if self.extended_input_layer is not None:
                a = a + s * self.extended_input_layer(x_ext)
        further: Tensor | None = None
        if use_extended_output and self.extended_output_layer is not None:
            factor = self._as_factor(self.output_factor)
            further = self.extended_post_layer_function(factor * self.extended_output_layer(x))
        return self.post_layer_function(a), further

    @property
    def extended_post_layer_function(self) -> torch.nn.Module:
        """What follows the output extension."""
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
    def input_extended(self) -> Tensor:
        """The stored input with a last column of ones where the layer has a bias, (n, ..., columns)."""
        x = self.input
        if not self.use_bias:
            return x
        rows = with_constant(self.adapter.input_rows(self.layer, x))
        return rows.reshape(*x.shape[:-1], rows.shape[-1])

    @property
    def activation_gradient(self) -> Tensor:
        """σ'(0⁺) of the function before this layer, a scalar; measured anew each time, so never stale."""
        tangent = previous_of(self).output_tangent()
        return torch.tensor(tangent.right, dtype=self.weight.dtype, device=self.device)

    # Statistics

    def init_computation(self) -> None:
        """Empty the statistics and keep input and pre-activity of the forward passes that follow.

        Call it on all modules of interest before the first batch: it also empties `tensor_s` of the
        previous module, which growth shares.
        """
        measuring.start(self)

    def update_computation(
        self,
        desired_activation: Tensor | None = None,
        weight_gradient: Tensor | None = None,
        bias_gradient: Tensor | None = None,
    ) -> None:
        """Count the last forward pass in all statistics.

        Args:
            desired_activation: g, the gradient of the **sum** of the per-sample losses at `pre_activity`,
                shaped like it. None takes what backward() left there.
            weight_gradient, bias_gradient: gradients of the same sum at weight and bias of this batch,
                where they are at hand: M then costs nothing.
        """
        measuring.update(self, desired_activation, weight_gradient, bias_gradient)

    def reset_computation(self) -> None:
        """Empty the statistics and keep nothing of forward passes any more."""
        measuring.stop(self)

    @property
    def input_moment(self) -> SharedMoment:
        """Where S is counted: here, or in the merge before, for all who read it."""
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

    @property
    def tensor_s_growth(self) -> TensorStatistic:
        """S of the previous module's input: the very object, for layers that read every position once."""
        return solving.source_of(self).tensor_s

    @property
    def tensor_n(self) -> Tensor:
        """N = −M_prev + C δᵀ, (columns₋₂, out), with the delta computed last."""
        return solving.tensor_n(self)

    def compute_s_update(self) -> tuple[Tensor, int]:
        """Σ b bᵀ of the stored input, (columns, columns), and the number of samples."""
        return measuring.s_update(self)

    def compute_m_update(self, desired_activation: Tensor | None = None) -> tuple[Tensor, int]:
        """Σ b gᵀ of the stored batch, (columns, out), and the number of samples."""
        return measuring.m_update(self, desired_activation)

    def compute_m_prev_update(self, desired_activation: Tensor | None = None) -> tuple[Tensor, int]:
        """Σ b₋₂ gᵀ of the stored batch, (columns₋₂, out), and the number of samples."""
        return measuring.m_prev_update(self, desired_activation)

    def compute_cross_covariance_update(self) -> tuple[Tensor, int]:
        """Σ b₋₂ bᵀ of the stored batch, (columns₋₂, columns), and the number of samples."""
        return measuring.cross_covariance_update(self)

    def compute_n_update(self) -> Tensor:
        """−Σ b₋₂ (g − δ b)ᵀ of the stored batch, (columns₋₂, out), with the pending delta."""
        return measuring.n_update(self)

    def projected_v_goal(self, input_vector: Tensor) -> Tensor:
        """g − δ(input_vector) with the pending delta, shaped like the pre-activity.

        Args:
            input_vector: (n, ..., in_features), the input the stored pre-activity was computed from.
        """
        return measuring.projected_gradient(self, input_vector)

    # Solving

    def compute_optimal_delta(
        self,
        update: bool = True,
        dtype: torch.dtype = torch.float32,
        force_pseudo_inverse: bool = False,
        *,
        ridge: float = 0.0,
    ) -> tuple[Tensor, Tensor | None, Tensor | float]:
        """Solve S δᵀ = M: the best change of the layer's own weights, W ← W − γ δ.

        Args:
            update: keep it as `optimal_delta_layer` with its `parameter_update_decrease`.
            dtype: in which to solve; results have the layer's dtype.
            force_pseudo_inverse: even where S is regular (it is used by itself where S is not).
            ridge: added to the diagonal of S, relative to its mean.

        Returns:
            δ of the weight, δ of the bias (None without one), and the decrease tr(M δ) per unit of γ.
            `delta_solver` tells how it was solved.
        """
        return solving.compute_delta(
            self, update=update, dtype=dtype, force_pseudo_inverse=force_pseudo_inverse, ridge=ridge
        )

    def compute_optimal_added_parameters(
        self,
        numerical_threshold: float = 1e-15,
        statistical_threshold: float = 1e-3,
        maximum_added_neurons: int | None = None,
        update_previous: bool = True,
        dtype: torch.dtype = torch.float32,
        use_projected_gradient: bool = True,
        *,
        ridge: float = 0.0,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Solve for the best new neurons between the previous module and this one.

        Args:
            numerical_threshold: eigenvalues of S up to this count as zero.
            statistical_threshold: singular values below this count as zero.
            maximum_added_neurons: keep at most so many.
            update_previous: also keep α as the previous module's `extended_output_layer`.
            dtype: in which to solve; results have the layer's dtype.
            use_projected_gradient: use `tensor_n`; else −M_prev, which needs no delta.
            ridge: added to the diagonal of S, relative to its mean.

        Returns:
            α weight (k, ...), α bias (k,) or None, ω (out, k), λ (k,); k may be 0.
            `extension_solver` tells how S was factored.
        """
        return solving.compute_extension(
            self,
            numerical_threshold=numerical_threshold,
            statistical_threshold=statistical_threshold,
            maximum_added_neurons=maximum_added_neurons,
            update_previous=update_previous,
            dtype=dtype,
            use_projected_gradient=use_projected_gradient,
            ridge=ridge,
        )

    def compute_optimal_updates(
        self,
        numerical_threshold: float = 1e-10,
        statistical_threshold: float = 1e-5,
        maximum_added_neurons: int | None = None,
        update_previous: bool = True,
        dtype: torch.dtype = torch.float32,
        use_projected_gradient: bool = True,
        *,
        ridge: float = 0.0,
    ) -> tuple[Tensor | None, Tensor | None]:
        """`compute_optimal_delta`, then `compute_optimal_added_parameters` with these arguments.

        Returns:
            α weight and α bias; (None, None) for a module without a previous one, which gets its delta
            alone.
        """
        if self.previous_module is not None:
            solving.source_of(self)  # refuse before anything is pending
        self.compute_optimal_delta(dtype=dtype, ridge=ridge)
        if self.previous_module is None:
            return None, None
        alpha_weight, alpha_bias, _, _ = self.compute_optimal_added_parameters(
            numerical_threshold,
            statistical_threshold,
            maximum_added_neurons,
            update_previous,
            dtype,
            use_projected_gradient,
            ridge=ridge,
        )
        return alpha_weight, alpha_bias

    def set_extension(
        self,
        alpha_weight: Tensor,
        alpha_bias: Tensor | None,
        omega: Tensor,
        eigenvalues: Tensor | None = None,
    ) -> None:
        """Make chosen neurons the pending growth of this module and the previous one.

        Args:
            alpha_weight: (k, in_features of the previous module). alpha_bias: (k,) where it has a bias.
            omega: (out_features, k). eigenvalues: (k,), λ, where there are any. All are copied.
        """
        solving.put_extension(self, alpha_weight, alpha_bias, omega, eigenvalues)

    @property
    def first_order_improvement(self) -> Tensor:
        """Predicted decrease of the loss per unit of γ: tr(M δ) + σ'(0⁺) Σ λ², a scalar."""
        if self.parameter_update_decrease is None:
            raise GrowthError(f"{self.name} has no pending delta: call compute_optimal_delta() first")
        if self.eigenvalues_extension is None:
            return self.parameter_update_decrease
        neurons = self.eigenvalues_extension.square().sum()
        return self.parameter_update_decrease + self.activation_gradient * neurons

    # Pending growth

    @property
    def scaling_factor(self) -> Tensor:
        """s as a scalar tensor, 0 while it has not been set; assigning calls `set_scaling_factor`."""
        return self._as_factor(self.input_factor)

    @scaling_factor.setter
    def scaling_factor(self, factor: float | Tensor) -> None:
        scaling.set_factor(self, factor)

    def _as_factor(self, factor: float | Tensor | None) -> Tensor:
        value = torch.as_tensor(0.0 if factor is None else factor)
        return value.reshape(()).to(self.weight)

    def set_scaling_factor(self, factor: float) -> None:
        """Set s for this module's delta (s²) and input extension (s), and the previous module's output.

        Args:
            factor: a number or a tensor of one entry (gradients flow into it through `extended_forward`).
                A negative one turns the sign of the new neurons, never that of the delta.
        """
        scaling.set_factor(self, factor)

    @staticmethod
    def scale_layer(layer: torch.nn.Module, scale: float) -> torch.nn.Module:
        """Multiply weight and bias of a layer in place and return it."""
        return scaling.scale_layer(layer, scale)

    def scale_parameter_update(self, scale: float) -> None:
        """Multiply the pending delta and `parameter_update_decrease`."""
        scaling.scale_update(self, scale)

    def scale_layer_extension(
        self, scale: float | None, scale_output: float | None, scale_input: float | None
    ) -> None:
        """Multiply α by scale_output and ω by scale_input, both by scale where it is given.

        `eigenvalues_extension` takes √(scale_input · scale_output), because it enters squared.
        """
        scaling.scale_extension(self, scale, scale_output, scale_input)

    def normalize_optimal_updates(
        self, std_target: float | None = None, normalization_type: str = "legacy_normalization"
    ) -> None:
        """Scale pending growth to a standard deviation of the weights.

        Args:
            std_target: None takes that of the layer's weight, or 1/√fan_in where there is none.
            normalization_type: "legacy_normalization", "equalize_second_layer" or "equalize_extensions";
                `gromo_graph.algebra.rescaling` says what each does.
        """
        scaling.normalize(self, std_target, normalization_type)

    def sub_select_optimal_added_parameters(
        self,
        keep_neurons: int | None = None,
        threshold: float | None = None,
        sub_select_previous: bool = True,
        zeros_if_not_enough: bool = False,
        zeros_fan_in: bool = True,
        zeros_fan_out: bool = False,
    ) -> None:
        """Keep the first pending neurons.

        Args:
            keep_neurons: how many; None counts the singular values of at least `threshold`.
            sub_select_previous: select α of the previous module too.
            zeros_if_not_enough: keep all neurons, but set the others' λ and weights to zero:
            zeros_fan_in: their α. zeros_fan_out: their ω.
        """
        scaling.sub_select(
            self,
            keep_neurons=keep_neurons,
            threshold=threshold,
            sub_select_previous=sub_select_previous,
            zeros_if_not_enough=zeros_if_not_enough,
            zeros_fan_in=zeros_fan_in,
            zeros_fan_out=zeros_fan_out,
        )

    def delete_update(
        self,
        include_previous: bool = True,
        delete_delta: bool = True,
        delete_input: bool = True,
        delete_output: bool = False,
    ) -> None:
        """Forget pending growth, and the scaling factor with the last of it.

        Args:
            include_previous: with the input extension also the previous module's output extension.
            delete_delta: the delta. delete_input: the input extension. delete_output: the output
                extension of this module, which the next module may still need.

        Raises:
            TypeError: include_previous, and the previous module is of a foreign kind.
        """
        surgery.delete_update(
            self,
            include_previous=include_previous,
            delete_delta=delete_delta,
            delete_input=delete_input,
            delete_output=delete_output,
        )

    # Surgery

    def apply_change(
        self,
        scaling_factor: float | Tensor | None = None,
        apply_previous: bool = True,
        apply_delta: bool = True,
        apply_extension: bool = True,
        extension_size: int | None = None,
    ) -> None:
        """Make pending growth real: W ← W − s²δ, inputs s·ω appended, outputs s·α of the previous module.

        The forward pass then equals what `extended_forward` predicted. What was pending stays until
        `delete_update()`, which should follow. Weights whose shape changes are new parameters with the
        old values bit for bit; statistics of the old widths are emptied. With s = 0, or with nothing
        pending, nothing changes.

        Args:
            scaling_factor: s, set as by `set_scaling_factor`; None takes the current one.
            apply_previous: extend the previous module's output too.
            apply_delta: change the old weights. apply_extension: append the new ones.
            extension_size: number of new neurons, checked; None takes what is pending.

        Raises:
            GrowthError: no scaling factor was ever set, or the pending parts do not fit together.
        """
        if scaling_factor is not None:
            scaling.set_factor(self, scaling_factor)
        surgery.apply_change(
            self,
            apply_previous=apply_previous,
            apply_delta=apply_delta,
            apply_extension=apply_extension,
            extension_size=extension_size,
        )

    def layer_of_tensor(
        self, weight: Tensor, bias: Tensor | None = None, force_bias: bool = True
    ) -> torch.nn.Module:
        """A layer like this one with copies of these parameters; force_bias: a bias exactly as here."""
        return surgery.layer_of_tensor(self, weight, bias, force_bias)

    def layer_in_extension(self, weight: Tensor) -> None:
        """Append inputs with this weight, (out_features, k)."""
        surgery.extend_in(self, weight)

    def layer_out_extension(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Append outputs with this weight, (k, in_features), and bias (k,) where the layer has one."""
        surgery.extend_out(self, weight, bias)

    def add_parameters(
        self,
        matrix_extension: Tensor | None = None,
        bias_extension: Tensor | None = None,
        added_in_features: int = 0,
        added_out_features: int = 0,
    ) -> None:
        """Append inputs or outputs (one of the two), zeros where no values are given.

        The neighbours are not changed: that is up to the caller.
        """
        surgery.add_parameters(self, matrix_extension, bias_extension, added_in_features, added_out_features)

    def parameter_step(self, delta_weights: Tensor, delta_biases: Tensor | None = None) -> None:
        """Add to weight and bias in place; None leaves the bias."""
        surgery.parameter_step(self, delta_weights, delta_biases)

    def create_layer_in_extension(self, extension_size: int) -> None:
        """Make a pending input extension of this size, with "copy_uniform" values."""
        surgery.create_in_extension(self, extension_size)

    def create_layer_out_extension(self, extension_size: int) -> None:
        """Make a pending output extension of this size, with "copy_uniform" values."""
        surgery.create_out_extension(self, extension_size)

    def create_layer_extensions(
        self,
        extension_size: int,
        output_extension_size: int | None = None,
        input_extension_size: int | None = None,
        output_extension_init: str = "copy_uniform",
        input_extension_init: str = "copy_uniform",
    ) -> None:
        """Make pending extensions of the previous module's output and of this module's input.

        Args:
            extension_size: number of neurons; the two sizes that follow default to it.
            output_extension_init, input_extension_init: "copy_uniform" or "zeros".
        """
        surgery.create_extensions(
            self,
            output_size=extension_size if output_extension_size is None else output_extension_size,
            input_size=extension_size if input_extension_size is None else input_extension_size,
            output_init=output_extension_init,
            input_init=input_extension_init,
        )

    def copy_uniform_initialization(self, tensor: Tensor, reference_tensor: Tensor, fan_in: int) -> None:
        """Fill a tensor uniformly in ±√std(reference), or ±1/√fan_in where the reference is constant."""
        with torch.no_grad():
            tensor.copy_(copy_uniform(tensor.shape, reference_tensor, fan_in))

    # Targets

    def missing_neurons(self) -> int:
        """Input neurons that are missing to `target_in_neurons`."""
        return targets.missing_neurons(self)

    def number_of_neurons_to_add(
        self, method: str = "fixed_proportional", number_of_growth_steps: int = 1
    ) -> int:
        """Neurons to add in the next of so many equal steps from the initial width to the target.

        The division is an integer one: a few neurons may remain for `complete_growth`.
        """
        return targets.neurons_to_add(self, method, number_of_growth_steps)

    def complete_growth(self, extension_kwargs: dict[str, Any]) -> None:
        """Grow to the target width at once with created extensions, at scale 1; the delta is not applied.

        Args:
            extension_kwargs: arguments for `create_layer_extensions` beside the size.
        """
        missing = self.missing_neurons()
        if missing > 0:
            self.create_layer_extensions(missing, **extension_kwargs)
            self.apply_change(scaling_factor=1.0, apply_delta=False, extension_size=missing)
            self.delete_update()

    # Being a neighbour, being moved

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """The previous and the next module, where there are any."""
        return [module for module in (self.previous_module, self.next_module) if module is not None]

    @property
    def feature_dim(self) -> int:
        """The dimension of the output that holds the features."""
        return self.adapter.feature_dim

    def output_tangent(self) -> Tangent:
        """Tangent of the post-layer function at 0."""
        return tangent_of(self.extended_post_layer_function)

    def direct_source(self) -> GrowingModule:
        """This module: its outputs are what the next one reads."""
        return self

    def forward_pass_of_input(self, x: Tensor) -> object:
        """An identity of the forward pass, shared with others behind the same merge."""
        previous = self.previous_module
        return previous.forward_pass_of(x) if isinstance(previous, Linkable) else object()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GrowingModule:
        """Move or cast, with pending growth and statistics; stored activations are dropped."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in _PENDING_LAYERS:
            layer = getattr(self, name)
            if layer is not None:
                layer._apply(fn)
        if self.explicit_extended_function is not None:
            self.explicit_extended_function._apply(fn)  # type: ignore[no-untyped-call]
        for name in _PENDING_TENSORS:
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(self, name, fn(tensor))
        self._input_moment.statistic.apply(fn)
        for statistic in (self.tensor_m, self.tensor_m_prev, self.cross_covariance):
            statistic.apply(fn)
        self.capture.clear()
        return self


class LinearGrowingModule(GrowingModule):
    """A GrowingModule around a new torch.nn.Linear.

    Args:
        in_features, out_features, use_bias: of the layer. device, dtype: where and how to make it.
        options: any other argument of `GrowingModule`.

    >>> LinearGrowingModule(3, 2, name="stem").number_of_parameters()
    8
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        use_bias: bool = True,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        layer = torch.nn.Linear(in_features, out_features, bias=use_bias, device=device, dtype=dtype)
        super().__init__(layer, device=device, **options)
