"""GrowingModule: a layer that measures how it should grow, and grows.

The class is a thin face in five parts, each of which hands over to the files that have the idea: `LayerModule` holds
the layer and its state, `MeasuredModule` its statistics, `SolvingModule` solves for its growth, `ScaledModule` scales
what is pending, and `GrowingModule` makes it real. The adapter knows the kind of the layer, the formulas are in
`gromo_graph.algebra`, and the symbols are those of docs/maths.md, "Notation": b input rows, g gradient of the summed
loss at the pre-activity, δ delta, α and ω fan-in and fan-out weights of new neurons, λ singular values, s scaling
factor.

The scheduler uses the layer, its statistics and its links. Only the public API and the tests reach the pending growth,
its scaling and selection, the surgery by hand and the target widths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gromo_graph.algebra.initialization import copy_uniform, copy_variance
from gromo_graph.layers import Kernel
from gromo_graph.modules import apply_pending, extensions, scaling, target_widths, update_statistics
from gromo_graph.modules.scaled_module import ScaledModule
from gromo_graph.statistics.measured_group import MeasuredGroup


class GrowingModule(ScaledModule):
    """A layer with its statistics and its pending growth.

    Args:
        layer: torch.nn.Linear, Conv1d or Conv2d (one group, zeros as padding), or whatever an adapter is registered
            for.
        tensor_s_shape, tensor_m_shape: checked against the layer if given; never needed.
        post_layer_function: what follows the layer, one operation or a torch.nn.Sequential of them: activations,
            pools, dropout, norms, depthwise convolutions, a flatten; None is a new Identity. It grows with the layer.
        extended_post_layer_function: what follows the output extension; None is `post_layer_function`.
        allow_growing: whether its input may be widened.
        previous_module, next_module: neighbours (GrowingModule, MergeGrowingModule); assignable later.
        device: where to put the layer; None leaves it where it is.
        name: for messages.
        target_in_neurons, initial_in_neurons: widths for `missing_neurons` and `number_of_neurons_to_add`;
            the initial width defaults to the present one.
        growth_kernel: "full" or "centre", the kernels new inputs of a convolution get.
        allow_jump: grow even through a layer norm, which changes its old outputs at once.

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
        growth_kernel: Kernel = "full",
        allow_jump: bool = False,
    ) -> None:
        super().__init__(
            layer if device is None else layer.to(device),
            function=None if post_layer_function is None else post_layer_function.to(device),
            extended_function=extended_post_layer_function,
            allow_growing=allow_growing,
            name=name,
            growth_kernel=growth_kernel,
            allow_jump=allow_jump,
        )
        self.target_in_neurons = target_in_neurons
        if initial_in_neurons is not None:
            self.initial_in_neurons = initial_in_neurons
        self._check_shapes(tensor_s_shape, tensor_m_shape)
        self.previous_module = previous_module
        self.next_module = next_module

    # Surgery

    def apply_change(
        self,
        scaling_factor: float | Tensor | None = None,
        apply_previous: bool = True,
        apply_delta: bool = True,
        apply_extension: bool = True,
        extension_size: int | None = None,
        *,
        optimal_delta_scaling: float | Tensor | None = None,
        input_extension_scaling: float | Tensor | None = None,
        output_extension_scaling: float | Tensor | None = None,
    ) -> None:
        """Make pending growth real: W ← W − s²δ, inputs s·ω appended, outputs s·α of the previous module.

        The forward pass then equals what `extended_forward` predicted. What was pending stays until
        `delete_update()`, which should follow. Weights whose shape changes are new parameters with the
        old values bit for bit; statistics of the old widths are emptied. With s = 0, or with nothing
        pending, nothing changes.

        Args:
            scaling_factor: s, set as by `set_scaling_factor`; None takes the current one.
            apply_previous: extend the previous module's output too; False also on a module without a previous one.
            apply_delta: change the old weights. apply_extension: append the new ones.
            extension_size: number of new neurons, checked; None takes what is pending.
            optimal_delta_scaling, input_extension_scaling, output_extension_scaling: as of `set_scaling_factor`.

        Raises:
            GrowthError: no scaling factor was ever set, or the pending parts do not fit together.
        """
        if scaling_factor is not None:
            scaling.set_factor(self, scaling_factor)
        scaling.set_factors(
            self,
            delta=optimal_delta_scaling,
            input_extension=input_extension_scaling,
            output_extension=output_extension_scaling,
        )
        apply_pending.apply_change(
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
        return extensions.layer_of_tensor(self, weight, bias, force_bias)

    def layer_in_extension(self, weight: Tensor) -> None:
        """Append inputs with this weight, (out_features, k)."""
        extensions.extend_in(self, weight)

    def layer_out_extension(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Append outputs with this weight, (k, in_features), and bias (k,); a layer without a bias needs none."""
        extensions.extend_out(self, weight, bias)

    def add_parameters(
        self,
        matrix_extension: Tensor | None = None,
        bias_extension: Tensor | None = None,
        added_in_features: int = 0,
        added_out_features: int = 0,
    ) -> None:
        """Append inputs or outputs (one of the two), zeros if no values are given.

        The neighbours are not changed: that is up to the caller.
        """
        extensions.add_parameters(
            self, matrix_extension, bias_extension, added_in_features, added_out_features
        )

    def parameter_step(self, delta_weights: Tensor, delta_biases: Tensor | None = None) -> None:
        """Add to weight and bias in place; None leaves the bias."""
        extensions.parameter_step(self, delta_weights, delta_biases)

    def create_layer_in_extension(self, extension_size: int) -> None:
        """Make a pending input extension of this size, with "copy_uniform" values."""
        extensions.create_in_extension(self, extension_size)

    def create_layer_out_extension(self, extension_size: int) -> None:
        """Make a pending output extension of this size, with "copy_uniform" values."""
        extensions.create_out_extension(self, extension_size)

    def create_layer_extensions(
        self,
        extension_size: int,
        output_extension_size: int | None = None,
        input_extension_size: int | None = None,
        output_extension_init: str = "copy_uniform",
        input_extension_init: str = "copy_uniform",
        *,
        producer: GrowingModule | None = None,
    ) -> None:
        """Make pending extensions of the previous module's output and of this module's input.

        Through merges: of all layers that would gain outputs, and of all that read them.

        Args:
            extension_size: number of neurons; of a side with a size of its own it says nothing.
            output_extension_size: of the outputs, by default as many.
            input_extension_size: of this module's input, by default what the neurons become there (more behind a
                flatten).
            output_extension_init, input_extension_init: one of `gromo_graph.algebra.initialization`: "copy_uniform",
                "copy_variance", "copy_normal", "kaiming_uniform", "kaiming_normal", "orthogonal", "zeros".
            producer: which of the layers behind a concat gets the neurons; by default the first that can grow.
        """
        extensions.create_extensions(
            self,
            neurons=extension_size,
            output_size=output_extension_size,
            input_size=input_extension_size,
            output_init=output_extension_init,
            input_init=input_extension_init,
            producer=producer,
        )

    def copy_uniform_initialization(
        self, tensor: Tensor, reference_tensor: Tensor, fan_in: int, *, equal_std: bool = False
    ) -> None:
        """Fill a tensor uniformly in ±√std(reference), or ±1/√fan_in if the reference is constant.

        Args:
            equal_std: in ±√3·std(reference) instead, which gives the values the spread of the reference. The documented
                bounds do not: of a 400×400 layer with torch's first values they give 3.4 times its spread.
        """
        make = copy_variance if equal_std else copy_uniform
        with torch.no_grad():
            tensor.copy_(make(tensor.shape, reference_tensor, fan_in))

    # Targets

    def missing_neurons(self) -> int:
        """Input neurons that are missing to `target_in_neurons`."""
        return target_widths.missing_neurons(self)

    def number_of_neurons_to_add(
        self, method: str = "fixed_proportional", number_of_growth_steps: int = 1
    ) -> int:
        """Neurons to add in the next of so many equal steps from the initial width to the target.

        The division is an integer one: a few neurons may remain for `complete_growth`.
        """
        return target_widths.neurons_to_add(self, method, number_of_growth_steps)

    def complete_growth(self, extension_kwargs: dict[str, Any]) -> None:
        """Grow to the target width at once with created extensions, at scale 1; the delta is not applied.

        Args:
            extension_kwargs: arguments for `create_layer_extensions` beside the size.
        """
        missing = target_widths.missing_channels(self)
        if missing > 0:
            self.create_layer_extensions(missing, **extension_kwargs)
            self.apply_change(scaling_factor=1.0, apply_delta=False, extension_size=missing)
            self.delete_update()

    def update_input_size(
        self,
        input_size: tuple[int, ...] | None = None,
        compute_from_previous: bool = False,
        force_update: bool = True,
    ) -> tuple[int, ...] | None:
        """Set `input_size`, the size of one sample of the input, and return it.

        Args:
            input_size: taken if given. Of a linear layer its last entry must be the layer's width; of a convolution
                it is (channels, height, width), or (height, width) alone.
            compute_from_previous: take the width of the previous module's output.
            force_update: False keeps a size that is known already.

        Returns:
            The size: given, from the previous module, or of the stored input; None if there is none.
        """
        if self._input_size is not None and not force_update:
            return self._input_size
        found: tuple[int, ...] | None = None
        if input_size is not None:
            found = self.adapter.with_channels(self.layer, tuple(input_size))
        elif compute_from_previous:
            found = target_widths.size_from_previous(self)
        elif self.capture.input is not None:
            found = self.adapter.input_size(self.layer, self.capture.input)
        if found is not None:
            with update_statistics.naming(self):
                self.adapter.check_input_size(self.layer, found)
            self._input_size = found
        return found

    @property
    def input_size(self) -> tuple[int, ...] | None:
        """Size of one sample of the input, None while it is not known (see `update_input_size`)."""
        return self._input_size or self.update_input_size()


LinkedGroup = MeasuredGroup[GrowingModule]
