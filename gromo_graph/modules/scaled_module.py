"""A layer whose pending growth can be scaled, selected from and forgotten: the fourth part of a GrowingModule."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.layers.channel_propagation import as_factor
from gromo_graph.modules import apply_pending, scaling
from gromo_graph.modules.solving_module import SolvingModule


class ScaledModule(SolvingModule):
    """A layer with the factors of its pending growth: s of new neurons, s² of the delta."""

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
