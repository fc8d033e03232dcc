"""What a growing module measures, and what it solves for from that."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra import with_constant
from gromo_graph.errors import GrowthError
from gromo_graph.modules import measuring, solving
from gromo_graph.modules.layer import LayerModule
from gromo_graph.modules.links import previous_of, source_of
from gromo_graph.modules.statistic import TensorStatistic


class MeasuredModule(LayerModule):
    """A layer with statistics of its input and gradient, and the closed-form solutions they give."""

    # Statistics

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
    def tensor_s_growth(self) -> TensorStatistic:
        """S of the previous module's input: the very object, for layers that read every position once."""
        return source_of(self).tensor_s

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
            source_of(self)  # refuse before anything is pending
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
