"""A layer with its statistics: the second half of what a GrowingModule stands on, before anything is solved for."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.modules import update_statistics
from gromo_graph.modules.group_links import all_links, growing_link
from gromo_graph.modules.layer_module import LayerModule, previous_of
from gromo_graph.statistics import group_problem
from gromo_graph.statistics.linearised_paths import linear_paths_of
from gromo_graph.statistics.running_mean import TensorStatistic


class MeasuredModule(LayerModule):
    """A layer that gathers S, M, M_prev and C of the batches that pass it (docs/maths.md, "Notation")."""

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
        gains = [linear_paths_of(link.group).gain for link in all_links(self)]
        return self.weight.new_tensor(max(gains, default=1.0)).detach()

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
