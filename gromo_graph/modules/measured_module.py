"""The statistics of a growing module, and the solutions that they give."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.modules import own_delta, update_statistics
from gromo_graph.modules.group_links import all_links, growing_link, growing_links
from gromo_graph.modules.layer_module import LayerModule, previous_of
from gromo_graph.modules.pending import put
from gromo_graph.statistics import group_problem, solve_neurons
from gromo_graph.statistics.linearised_paths import linear_paths_of
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import TensorStatistic
from gromo_graph.statistics.solve_neurons import Criterion


class MeasuredModule(LayerModule):
    """A layer with statistics of its input and gradient, and the closed-form solutions they give."""

    # Statistics

    @property
    def input_extended(self) -> Tensor:
        """The stored input with a last feature (channel) of ones if the layer has a bias."""
        return self.adapter.with_constant(self.layer, self.input) if self.use_bias else self.input

    @property
    def activation_gradient(self) -> Tensor:
        """Derivative at 0⁺ of what stands before this layer, a scalar; measured anew each time, so never stale.

        Through merges it is the largest factor of a path from the layers before them.
        """
        previous_of(self)
        return self.weight.new_tensor(links_gain(self)).detach()

    def init_computation(self, *, dtype: torch.dtype | None = None) -> None:
        """Empty the statistics and keep input and pre-activity of the forward passes that follow.

        Call it on all modules of interest before the first batch: it also empties `tensor_s` of the
        previous module, which growth shares.

        Args:
            dtype: in which sums are kept; None takes that of the layer, at least single precision.
        """
        update_statistics.start(self, dtype)

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
                if they are at hand: M then costs nothing.
        """
        update_statistics.update(self, desired_activation, weight_gradient, bias_gradient)

    def reset_computation(self) -> None:
        """Empty the statistics and keep nothing of forward passes any more."""
        update_statistics.stop(self)

    @property
    def tensor_s_growth(self) -> TensorStatistic:
        """S of what the layers before read, (columns₋₂, columns₋₂).

        If every position is read once it is `tensor_s` of the previous module, the very object; else it is
        counted by reads. Through merges it holds all layers that would gain outputs, side by side, summed over the
        places where their outputs are read (docs/maths.md, "Width groups").
        """
        return growing_link(self).s_growth.statistic

    @property
    def tensor_m_prev(self) -> TensorStatistic:
        """M_prev = E[b₋₂ gᵀ], (columns₋₂, out · readings): a column for each output and each time it reads a new
        channel.

        A convolution reads one through each tap of its kernel, a linear layer behind a flatten at each position.
        """
        links = all_links(self)
        return links[0].m_prev if links else TensorStatistic(f"M_prev of {self.name}")

    @property
    def cross_covariance(self) -> TensorStatistic:
        """C: (raw inputs₋₂, columns) for a linear layer, (columns₋₂, readings, columns) for a convolution."""
        links = all_links(self)
        return links[0].cross if links else TensorStatistic(f"the cross covariance of {self.name}")

    @property
    def tensor_n(self) -> Tensor:
        """N = −M_prev + C δᵀ, shaped like M_prev, with the delta computed last."""
        return group_problem.tensor_n(self, growing_link(self))

    def compute_s_update(self) -> tuple[Tensor, int]:
        """Σ b bᵀ of the stored input, (columns, columns), and the number of samples."""
        return update_statistics.s_update(self)

    def compute_m_update(self, desired_activation: Tensor | None = None) -> tuple[Tensor, int]:
        """Σ b gᵀ of the stored batch, (columns, out), and the number of samples."""
        return update_statistics.m_update(self, desired_activation)

    def compute_m_prev_update(self, desired_activation: Tensor | None = None) -> tuple[Tensor, int]:
        """Σ b₋₂ gᵀ of the stored batch, shaped like M_prev, and the number of samples."""
        return update_statistics.m_prev_update(self, desired_activation)

    def compute_cross_covariance_update(self) -> tuple[Tensor, int]:
        """Σ b₋₂ bᵀ of the stored batch, shaped like C, and the number of samples."""
        return update_statistics.cross_covariance_update(self)

    def compute_n_update(self) -> Tensor:
        """−Σ b₋₂ (g − δ b)ᵀ of the stored batch, shaped like M_prev, with the pending delta."""
        return update_statistics.n_update(self)

    def projected_v_goal(self, input_vector: Tensor) -> Tensor:
        """g − δ(input_vector) with the pending delta, shaped like the pre-activity.

        Args:
            input_vector: (n, ..., in_features), the input the stored pre-activity was computed from.
        """
        return update_statistics.projected_gradient(self, input_vector)

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
        producer: MeasuredModule | None = None,
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
        *,
        ridge: float = 0.0,
        criterion: Criterion = "tiny",
        generator: torch.Generator | None = None,
        producer: MeasuredModule | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """`compute_optimal_delta`, then `compute_optimal_added_parameters` with these arguments.

        Deltas of other layers that read the same group are solved for too where they are needed; they only project.

        Returns:
            α weight and α bias; (None, None) for a module without a previous one, which gets its delta
            alone.
        """
        links = (
            growing_links(self) if self.previous_module is not None else []
        )  # refuse before anything is pending
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
            ridge=ridge,
            criterion=criterion,
            generator=generator,
            producer=producer,
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


def links_gain(module: MeasuredModule) -> float:
    """The largest factor of a linearised path to a module, measured anew."""
    gains = [linear_paths_of(link.group).gain for link in all_links(module)]
    return max(gains, default=1.0)


LinkedGroup = MeasuredGroup[MeasuredModule]
