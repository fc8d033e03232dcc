"""The neurons that are missed least, and the refit of the others, against dense least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad, unfold

from gromo_graph import GrowingNetwork
from gromo_graph.surgery.prune import relative_ridge
from tests.growth.paths import F64, Data, compiled, data_of, outputs, planned
from tests.growth.test_pruning import Case, each_case, pruning

close = torch.testing.assert_close


@dataclass
class Fit:
    """The least squares of a consumer, with the tiny ridge as rows of their own."""

    rows: Tensor
    weight: Tensor
    power: float

    def without(self, gone: list[int]) -> tuple[Tensor, float]:
        """The weights that come nearest without some columns, and the share that is lost."""
        stay = [column for column in range(self.weight.shape[1]) if column not in gone]
        target = self.rows @ self.weight.T
        found = torch.linalg.lstsq(self.rows[:, stay], target).solution
        weight = torch.zeros_like(self.weight)
        weight[:, stay] = found.T
        return weight, float((self.rows[:, stay] @ found - target).square().sum()) / self.power


def fits_of(network: GrowingNetwork, each: Case, data: Data) -> dict[str, Fit]:
    """From the rows that a hook sees."""
    found = {}
    for name in each.reads:
        module = network.growing(name)
        seen: list[Tensor] = []
        handle = module.layer.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
        outputs(network, data)
        handle.remove()
        rows = torch.cat(seen)
        if name in each.windows:
            kernel, margin = each.windows[name]
            rows = unfold(pad(rows, (margin,) * 4), kernel).transpose(1, 2).flatten(0, 1)
        weight = module.layer.weight.detach().flatten(1)
        if module.use_bias:
            rows = torch.cat((rows, rows.new_ones(len(rows), 1)), dim=1)
            weight = torch.cat((weight, module.layer.bias.detach()[:, None]), dim=1)
        rows = rows / math.sqrt(sum(len(x) for x, _ in data))
        power = float((rows @ weight.T).square().sum())
        ridge = relative_ridge(F64) * rows.square().sum() / rows.shape[1]
        together = torch.cat((rows, ridge.sqrt() * torch.eye(rows.shape[1], dtype=F64)))
        found[name] = Fit(together, weight, power)
    return found


@each_case
def test_neurons_go_in_the_order_in_which_they_are_missed_least(each: Case) -> None:
    """Each step against all refits from the start, over all channels that are left."""
    network = compiled(each.nodes)
    data = data_of(network)
    removal = planned(pruning(network), data, each.target).removal
    fits = fits_of(network, each, data)
    gone: list[int] = []
    for channel, error in zip(removal.order, removal.errors, strict=True):
        lost = {
            other: sum(
                fit.without([c for k in (*gone, other) for c in each.columns(name, k)])[1]
                for name, fit in fits.items()
            )
            for other in range(6)
            if other not in gone
        }
        assert channel == min(lost, key=lost.__getitem__)
        assert error == pytest.approx(lost[channel], rel=1e-6)
        gone.append(channel)


@each_case
def test_the_others_take_their_place_by_least_squares(each: Case) -> None:
    network = compiled(each.nodes)
    data = data_of(network)
    removal = planned(pruning(network), data, each.target).removal
    for name, fit in fits_of(network, each, data).items():
        close(removal.changes[0][name], torch.zeros_like(fit.weight))
        for count in range(1, 4):
            gone = [c for k in removal.order[:count] for c in each.columns(name, k)]
            close(fit.weight + removal.changes[count][name], fit.without(gone)[0], rtol=1e-6, atol=1e-8)
