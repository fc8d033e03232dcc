from __future__ import annotations

import pytest
import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules import (
    Conv2dMergeGrowingModule,
    GrowingModule,
    LinearGrowingModule,
    LinearMergeGrowingModule,
    MergeGrowingModule,
)
from tests import reference

F64 = torch.float64


def linear(inputs: int, outputs: int, name: str, bias: bool = True) -> LinearGrowingModule:
    return LinearGrowingModule(inputs, outputs, bias, name=name, dtype=F64)


def test_sum_and_concat() -> None:
    a, b, c = (torch.randn(4, 3) for _ in range(3))
    torch.testing.assert_close(MergeGrowingModule()(a, b, c), a + b + c)
    concat = MergeGrowingModule(torch.nn.ReLU(), merge="concat")
    torch.testing.assert_close(concat(a, b), torch.relu(torch.cat((a, b), dim=1)))
    assert torch.equal(MergeGrowingModule()(a), a)


def test_concat_is_along_the_features() -> None:
    merge = MergeGrowingModule(previous_modules=[linear(2, 3, "a"), linear(2, 3, "b")], merge="concat")
    assert merge(torch.ones(4, 5, 3), torch.ones(4, 5, 3)).shape == (4, 5, 6)
    assert merge.out_features == 6


def test_nothing_given_is_changed() -> None:
    a, b = torch.ones(2, 3), torch.ones(2, 3)
    MergeGrowingModule()(a, b)
    assert torch.equal(a, torch.ones(2, 3))


def test_links_go_both_ways() -> None:
    a, b, c, d = linear(2, 3, "a"), linear(5, 3, "b"), linear(3, 1, "c"), linear(3, 2, "d", bias=False)
    merge = MergeGrowingModule(name="join", previous_modules=[a], next_modules=[c])
    merge.add_previous_module(b)
    merge.add_next_module(d)
    assert merge.previous_modules == [a, b]
    assert merge.next_modules == [c, d]
    assert a.next_module is b.next_module is merge
    assert c.previous_module is d.previous_module is merge
    assert merge.out_features == 3
    merge.set_previous_modules([b])
    assert a.next_module is None
    merge.set_next_modules([])
    assert c.previous_module is None
    assert len(list(merge.modules())) == 2
    assert not merge.state_dict()


def test_merge_after_merge() -> None:
    a, b = linear(2, 3, "a"), linear(2, 3, "b")
    inner = MergeGrowingModule(name="inner", previous_modules=[a, b])
    outer = MergeGrowingModule(name="outer", previous_modules=[inner], outside_features=4, merge="concat")
    inner.add_next_module(outer)
    assert outer.out_features == 7


def test_sizes_are_checked() -> None:
    a, b = linear(2, 3, "a"), linear(2, 4, "b")
    merge = MergeGrowingModule(name="join", previous_modules=[a])
    with pytest.raises(GrowthError, match=r"join cannot sum a \(3\), b \(4\): expected equal widths"):
        merge.add_previous_module(b)
    assert merge.previous_modules == [a]
    with pytest.raises(GrowthError, match="join gives 3 features and r reads 7"):
        merge.add_next_module(linear(7, 1, "r"))
    assert merge.next_modules == []
    concat = MergeGrowingModule(name="cat", merge="concat", next_modules=[linear(5, 1, "r")])
    concat.add_previous_module(a)  # still too narrow
    with pytest.raises(GrowthError, match=r"cat would give 7 features from a \(3\), b \(4\): expected 5"):
        concat.add_previous_module(b)
    concat.add_previous_module(linear(2, 2, "c"))
    assert concat.out_features == 5


def test_misuse() -> None:
    with pytest.raises(GrowthError, match="kind 'mean': expected 'sum', 'product' or 'concat'"):
        MergeGrowingModule(merge="mean", name="join")
    merge = MergeGrowingModule(name="join")
    with pytest.raises(GrowthError, match="join got no tensor"):
        merge()
    with pytest.raises(GrowthError, match="join cannot sum tensors of shapes"):
        merge(torch.ones(2, 1), torch.ones(2, 3))
    with pytest.raises(GrowthError, match="join cannot be linked to a ReLU"):
        merge.add_next_module(torch.nn.ReLU())  # type: ignore[arg-type]
    with pytest.raises(GrowthError, match="width of join is not known"):
        _ = merge.out_features


class Fan(torch.nn.Module):
    """stem -> merge(relu) -> two readers, one without a bias; their sum is the output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = linear(5, 3, "stem")
        self.left, self.right, self.third = (
            linear(3, 2, "left"),
            linear(3, 2, "right", False),
            linear(3, 2, "t"),
        )
        self.merge = MergeGrowingModule(torch.nn.ReLU(), [self.stem], [self.left, self.right, self.third])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.merge(self.stem(x))
        return self.left(h) + torch.tanh(self.right(h)) + self.third(h)


def test_readers_of_a_merge_share_its_moment_and_solve_their_own_delta() -> None:
    net, generator = Fan(), torch.Generator().manual_seed(1)
    readers: list[GrowingModule] = [net.left, net.right, net.third]
    for module in readers:
        module.init_computation()
    inputs, gradients = [], []
    for _ in range(2):
        x = torch.randn(30, 5, generator=generator, dtype=F64)
        net(x).square().sum().backward()
        for module in readers:
            module.update_computation()
        inputs.append(net.left.input)
        gradients.append([module.pre_activity.grad for module in readers])
    assert net.left.tensor_s is net.third.tensor_s is net.merge.tensor_s
    assert net.right.tensor_s is not net.left.tensor_s  # no constant column there
    assert net.left.tensor_s.samples == net.right.tensor_s.samples == 60  # counted once a batch
    x = torch.cat(inputs)
    for place, module in enumerate(readers):
        g = torch.cat([batch[place] for batch in gradients])
        b = reference.rows_of(x, constant=module.use_bias)
        s = reference.mean_of_outer(b, b, 60)
        m = reference.mean_of_outer(b, reference.rows_of(g, constant=False), 60)
        torch.testing.assert_close(module.tensor_s(), s)
        torch.testing.assert_close(module.tensor_m(), m)
        module.compute_optimal_delta(dtype=F64)
        torch.testing.assert_close(module.optimal_delta_layer.weight, reference.delta(s, m)[:, :3])
    net.float()
    assert net.left.tensor_s().dtype == torch.float32


def test_activation_before_a_reader_is_that_of_the_merge() -> None:
    net = Fan()
    assert net.left.activation_gradient == 1
    net.merge.post_merge_function = torch.nn.GELU()
    assert net.left.activation_gradient.item() == pytest.approx(0.5)


def test_one_tensor_merged_twice_is_counted_twice() -> None:
    net = Fan()
    x = torch.randn(10, 3, dtype=F64)
    merge = MergeGrowingModule(next_modules=[net.left], outside_features=3)
    net.left.init_computation()
    for _ in range(2):
        net.left(merge(x)).sum().backward()
        net.left.update_computation()
    assert net.left.tensor_s.samples == net.left.tensor_m.samples == 20


def test_delta_behind_a_merge_can_be_applied() -> None:
    net = Fan()
    x = torch.randn(30, 5, dtype=F64)
    net.left.init_computation()
    net(x).square().sum().backward()
    net.left.update_computation()
    net.left.compute_optimal_delta(dtype=F64)
    net.left.set_scaling_factor(0.1)
    h = net.merge(net.stem(x))
    predicted, _ = net.left.extended_forward(h)
    net.left.apply_change()
    torch.testing.assert_close(net.left(h), predicted)
    net.left.delete_update()
    assert net.left.optimal_delta_layer is None


@pytest.mark.parametrize("make", [LinearMergeGrowingModule, Conv2dMergeGrowingModule])
def test_merges_by_the_names_of_others(make: type[MergeGrowingModule]) -> None:
    before = GrowingModule(torch.nn.Linear(2, 3), name="before")
    assert make(3, previous_modules=[before], merge="concat").own_width == 3
    with pytest.raises(GrowthError, match=r"join is made for 4 .* have 3: expected as many"):
        make(4, previous_modules=[before], name="join")
