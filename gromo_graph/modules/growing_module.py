"""GrowingModule: a layer that measures how it should grow, and grows.

The class is a thin face. `LayerModule` holds the layer and its state, `MeasuredModule` its statistics; each member here
hands over to the file that has the idea. The adapter knows the kind of the layer, the formulas are in
`gromo_graph.algebra`, and the symbols are those of docs/maths.md, "Notation": b input rows, g gradient of the summed
loss at the pre-activity, δ delta, α and ω fan-in and fan-out weights of new neurons, λ singular values, s scaling
factor.

The scheduler uses the layer, its statistics and its links. Only the public API and the tests reach the pending growth,
its scaling and selection, the surgery by hand and the target widths.
"""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from gromo_graph.algebra.initialization import copy_uniform, copy_variance
from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.layers import Kernel
from gromo_graph.layers.channel_propagation import as_factor
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.modules import (
    apply_pending,
    extensions,
    own_delta,
    scaling,
    target_widths,
    update_statistics,
)
from gromo_graph.modules.group_links import growing_link, growing_links
from gromo_graph.modules.measured_module import MeasuredModule
from gromo_graph.modules.pending import put
from gromo_graph.statistics import solve_neurons
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.solve_neurons import Criterion


class SearchOptions(TypedDict, total=False):
    """Further arguments of a search for new neurons (`GrowingModule.compute_optimal_added_parameters`)."""

    ridge: float
    criterion: Criterion
    generator: torch.Generator | None
    producer: GrowingModule | None


class GrowingModule(MeasuredModule):
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
            force_pseudo_inverse: even if S is regular (it is used by itself if S is singular).
            ridge: added to the diagonal of S, relative to its mean.

        Returns:
            δ of the weight, δ of the bias (None without one), and the decrease tr(M δ) per unit of γ.
            `delta_solver` tells how it was solved.
        """
        return own_delta.compute_delta(
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
        criterion: Criterion = "tiny",
        generator: torch.Generator | None = None,
        producer: GrowingModule | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Find new neurons between the modules before and this one.

        Through merges they are found for everything that grows together: all layers whose outputs would widen, and all
        that read them, which must have gathered statistics and (for the projected gradient) a delta too.

        Args:
            numerical_threshold: eigenvalues of S up to this count as zero.
            statistical_threshold: singular values below this count as zero.
            maximum_added_neurons: keep at most so many.
            update_previous: also keep α as `extended_output_layer` of the layers before.
            dtype: in which to solve; results have the layer's dtype.
            use_projected_gradient: use `tensor_n`; else −M_prev, which needs no delta.
            ridge: added to the diagonal of S, relative to its mean.
            criterion: "tiny" solves for the best, "gradmax" follows the gradient from a fan-in of zero, "random"
                draws with a fan-out of zero, "variance_transfer" draws pairs that cancel.
            generator: for criteria that draw; None takes torch's default one.
            producer: which of the layers behind a concat gets the neurons; by default the one that promises most.

        Returns:
            α weight (k, ...), α bias (k,) or None, of the first layer before; ω of this one; λ (k,), zeros if
            nothing was solved; k may be 0. `extension_solver` and `extension_decomposition` tell how they were
            found.
        """
        search = solve_neurons.Search(
            criterion,
            maximum_added_neurons,
            dtype,
            ridge,
            numerical_threshold,
            statistical_threshold,
            use_projected_gradient,
            generator,
        )
        links = growing_links(self) if producer is None else [growing_link(self, producer)]
        with update_statistics.naming(self):
            group, neurons = solve_neurons.find_best(links, search)
        put(group, neurons, producers=update_previous, consumers=None if update_previous else [self])
        fan_in, fan_out = neurons.fan_in[0], neurons.fan_out[group.consumers.index(self)]
        values = neurons.values
        if values is None:
            values = fan_in.weight.new_zeros(neurons.size)
        return fan_in.weight, fan_in.bias, fan_out.weight, values

    def compute_optimal_updates(
        self,
        numerical_threshold: float = 1e-10,
        statistical_threshold: float = 1e-5,
        maximum_added_neurons: int | None = None,
        update_previous: bool = True,
        dtype: torch.dtype = torch.float32,
        use_projected_gradient: bool = True,
        **options: Unpack[SearchOptions],
    ) -> tuple[Tensor | None, Tensor | None]:
        """`compute_optimal_delta`, then `compute_optimal_added_parameters` with these arguments.

        Deltas of other layers that read the same group are solved for too if they are needed; they only project.

        Args:
            options: ridge, criterion, generator and producer. The ridge is that of the deltas too.

        Returns:
            α weight and α bias; (None, None) for a module without a previous one, which gets its delta
            alone.
        """
        # Refuse before anything is pending.
        links = [] if self.previous_module is None else growing_links(self)
        ridge = options.get("ridge", 0.0)
        self.compute_optimal_delta(dtype=dtype, ridge=ridge)
        if not links:
            return None, None
        for consumer in {c: None for link in links for c in link.group.consumers}:
            if consumer.delta_raw is None and use_projected_gradient:
                own_delta.compute_delta(
                    consumer, update=False, dtype=dtype, force_pseudo_inverse=False, ridge=ridge
                )
        alpha_weight, alpha_bias, _, _ = self.compute_optimal_added_parameters(
            numerical_threshold,
            statistical_threshold,
            maximum_added_neurons,
            update_previous,
            dtype,
            use_projected_gradient,
            **options,
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
            alpha_weight: (k, ...) as the previous layer's weight. alpha_bias: (k,) if it has a bias.
            omega: as this layer's weight, with the inputs that k neurons become. eigenvalues: (k,), λ, if there
                are any.
                All are copied.

        Raises:
            GrowthError: shapes that do not fit, or several layers that would have to grow together.
        """
        link = growing_link(self)
        group = link.group
        if len(group.producers) > 1 or len(group.consumers) > 1:
            raise GrowthError(
                f"{self.name} grows together with {len(group.producers) + len(group.consumers) - 1} other layers "
                f"({group.name} before it): expected one layer before and none beside it; use "
                "compute_optimal_added_parameters() or create_layer_extensions()"
            )
        fan_out = FanOut(omega, repeats_of(group, self))
        put(group, GroupNeurons((FanIn(alpha_weight, alpha_bias),), (fan_out,), eigenvalues))

    @property
    def first_order_improvement(self) -> Tensor:
        """Predicted decrease of the loss per sample and unit of γ: tr(M δ) + σ'(0⁺) Σ λ², a scalar.

        Exact if the neurons were solved for the raw gradient (`use_projected_gradient=False`) and no function on the
        way bends at 0; else a prediction (docs/maths.md, "Optimal new neurons").
        Through merges λ is that of everything that grows together.
        """
        if self.parameter_update_decrease is None:
            raise GrowthError(f"{self.name} has no pending delta: call compute_optimal_delta() first")
        if self.eigenvalues_extension is None:
            return self.parameter_update_decrease
        neurons = self.eigenvalues_extension.to(self.parameter_update_decrease).square().sum()
        return self.parameter_update_decrease + self.activation_gradient * neurons

    @property
    def improvement_of_neurons(self) -> Tensor:
        """The share of each pending neuron in `first_order_improvement`, σ'(0⁺) λ², (k,); empty without any."""
        if self.eigenvalues_extension is None:
            return self.weight.new_zeros(0)
        return self.activation_gradient * self.eigenvalues_extension.square()

    # Pending growth

    @property
    def scaling_factor(self) -> Tensor:
        """s as a scalar tensor, 0 while it has not been set; assigning calls `set_scaling_factor`.

        A tensor that was set is returned itself: if it requires a gradient, `.grad` is there after a backward pass
        through `extended_forward`. A number is kept as a tensor, of which `requires_grad_()` can be asked.
        """
        return self._kept_or_cast(self.input_factor)

    @scaling_factor.setter
    def scaling_factor(self, factor: float | Tensor) -> None:
        scaling.set_factor(self, factor)

    def _kept_or_cast(self, factor: Tensor | None) -> Tensor:
        """A factor itself, if its gradient is asked for or it is like the weight; else a copy that is."""
        like = self.weight
        if factor is not None and (
            factor.requires_grad or (factor.dtype, factor.device) == (like.dtype, like.device)
        ):
            return factor
        return as_factor(factor, like)

    def set_scaling_factor(self, factor: float | Tensor) -> None:
        """Set s for this module's delta (s²) and input extension (s), and the previous module's output.

        Args:
            factor: a number or a tensor of one entry (gradients flow into it through `extended_forward`).
                A negative one turns the sign of the new neurons, never that of the delta.

        Raises:
            GrowthError: it is no finite number.
        """
        scaling.set_factor(self, factor)

    def set_scaling_factors(
        self,
        *,
        optimal_delta_scaling: float | Tensor | None = None,
        input_extension_scaling: float | Tensor | None = None,
        output_extension_scaling: float | Tensor | None = None,
    ) -> None:
        """Set factors apart from each other; what is left out keeps the one that it has.

        Args:
            optimal_delta_scaling: the factor of the delta itself, in the place of s².
            input_extension_scaling: of ω of this module, in the place of s.
            output_extension_scaling: of α of all layers before that would widen, in the place of s.

        Raises:
            GrowthError: one is no finite number, or no layer before the module has an output extension.
        """
        scaling.set_factors(
            self,
            delta=optimal_delta_scaling,
            input_extension=input_extension_scaling,
            output_extension=output_extension_scaling,
        )

    @property
    def optimal_delta_scaling(self) -> Tensor:
        """The factor of the delta: s², or what was set for it; 0 while nothing has been set."""
        return self.delta_scale if self.delta_factor is None else self._kept_or_cast(self.delta_factor)

    @property
    def input_extension_scaling(self) -> Tensor:
        """The factor of ω of this module, another name of s for those who set factors apart."""
        return self.scaling_factor

    @property
    def output_extension_scaling(self) -> Tensor:
        """The factor of α of this module, which the next module sets; 0 while it has not been set."""
        return self.passed[0].factor_like(self.weight)

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
        """Multiply α by scale_output and ω by scale_input, both by scale if it is given.

        `eigenvalues_extension` takes √(scale_input · scale_output), because it enters squared.
        """
        scaling.scale_extension(self, scale, scale_output, scale_input)

    def normalize_optimal_updates(
        self,
        std_target: float | None = None,
        normalization_type: str = "legacy_normalization",
        *,
        gradmax_scale: float = 1.0,
    ) -> None:
        """Scale pending growth to a standard deviation of the weights.

        Args:
            std_target: None takes that of the layer's weight, or 1/√fan_in if there is none.
            normalization_type: "legacy_normalization", "equalize_second_layer", "equalize_extensions";
                "match_extending_layer": each part takes the spread of the layer that it becomes part of;
                `gromo_graph.algebra.rescaling` says what each does. "gradmax_normalization": ω of each neuron takes
                the mean norm of this layer's columns, and the rest stays.
            gradmax_scale: times which "gradmax_normalization" takes that norm.

        Raises:
            GrowthError: an unknown kind, a target that is not positive, or nothing whose norm could be taken.
        """
        if normalization_type == "gradmax_normalization":
            scaling.normalize_columns(self, gradmax_scale)
        else:
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
        apply_pending.delete_update(
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
