"""A layer that solves for its delta and for new neurons: the third part of a GrowingModule."""

from __future__ import annotations

from typing import TypedDict, Unpack

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.modules import own_delta, update_statistics
from gromo_graph.modules.group_links import growing_link, growing_links
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.modules.measured_module import MeasuredModule
from gromo_graph.modules.pending import put
from gromo_graph.statistics import solve_neurons
from gromo_graph.statistics.solve_neurons import Criterion


class SearchOptions(TypedDict, total=False):
    """Further arguments of a search for new neurons (`SolvingModule.compute_optimal_added_parameters`)."""

    ridge: float
    criterion: Criterion
    generator: torch.Generator | None
    producer: LayerModule | None


class SolvingModule(MeasuredModule):
    """A layer that solves for δ, its best own change, and for α and ω, the weights of new neurons.

    The results are pending growth: nothing changes before `GrowingModule.apply_change`.
    """

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
        producer: LayerModule | None = None,
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
