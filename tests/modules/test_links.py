"""Neighbours are known but not owned; copies and moves take growth along."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.chains import chain

F64 = torch.float64


def test_neighbours_can_be_assigned_and_are_not_registered() -> None:
    first, second = (GrowingModule(torch.nn.Linear(2, 2)) for _ in range(2))
    second.previous_module = first
    first.next_module = second
    second.previous_module = None
    second.previous_module = first
    assert len(list(second.modules())) == 3
    assert list(second.state_dict()) == ["layer.weight", "layer.bias"]
    assert "Linear" in repr(first)


def test_deepcopy_keeps_links_inside_the_copy_and_pending_growth() -> None:
    found = chain(5, 3, 4, 2)
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates(dtype=F64)
        module.set_scaling_factor(0.2)
    predicted = found.predicted_output()
    clone = copy.deepcopy(found)
    for before, after in zip(clone.modules, clone.modules[1:], strict=False):
        assert after.previous_module is before
        assert before.next_module is after
        assert after.tensor_s_growth is before.tensor_s
    assert not set(map(id, clone.net.modules())) & set(map(id, found.net.modules()))
    torch.testing.assert_close(clone.predicted_output(), predicted)
    for module in clone.modules:
        module.apply_change()
    torch.testing.assert_close(clone.net(clone.x), predicted)
    assert found.modules[0].out_neurons == 3


def test_deepcopy_of_one_module_takes_its_neighbours_with_it() -> None:
    first, second = chain(5, 3, 4).modules
    copied = copy.deepcopy(second)
    assert copied.previous_module is not first
    assert copied.previous_module.next_module is copied


def test_deepcopy_of_a_long_chain_and_of_merges() -> None:
    found = chain(*([2] * 1201))
    clone = copy.deepcopy(found.net)
    torch.testing.assert_close(clone(found.x), found.net(found.x))
    merge = MergeGrowingModule(previous_modules=[found.modules[0]], name="merge")
    merge(found.x)
    both = copy.deepcopy(torch.nn.ModuleList([found.modules[0], merge]))
    assert both[1].previous_modules == [both[0]]
    assert both[0].next_module is both[1]


def test_deepcopy_in_the_middle_of_training() -> None:
    found = chain(5, 3, 4)
    for module in found.modules:
        module.init_computation()
    found.total_loss().backward()
    clone = copy.deepcopy(found.net)
    assert clone[0].capture.input is None
    torch.testing.assert_close(clone(found.x), found.net(found.x))


def test_moving_takes_pending_growth_and_statistics_along() -> None:
    found = chain(5, 3, 4)
    found.gather()
    first, second = found.modules
    second.compute_optimal_updates(dtype=F64)
    second.set_scaling_factor(0.5)
    decrease = second.first_order_improvement
    found.net.float()
    assert second.optimal_delta_layer.weight.dtype == torch.float32
    assert second.extended_input_layer.weight.dtype == torch.float32
    assert first.extended_output_layer.weight.dtype == torch.float32
    assert second.eigenvalues_extension.dtype == torch.float32
    assert second.first_order_improvement.item() == pytest.approx(decrease.item(), rel=1e-6)
    assert second.tensor_s().dtype == first.tensor_s().dtype == second.tensor_m_prev().dtype == torch.float32
    assert second.scaling_factor.dtype == torch.float32
    out, _ = second.extended_forward(*first.extended_forward(found.x.float()))
    found.net.double()
    second.apply_change()
    torch.testing.assert_close(found.net(found.x).float(), out, rtol=1e-4, atol=1e-5)


def test_pickled_modules_come_back_linked() -> None:
    found = chain(5, 3, 4)
    found.gather()
    merge = MergeGrowingModule(previous_modules=[found.modules[1]])
    merge(found.x)
    clone, joined = pickle.loads(pickle.dumps((found.net, merge)))  # noqa: S301
    assert clone[1].previous_module is clone[0]
    assert joined.previous_modules == [clone[1]]
    torch.testing.assert_close(clone[1].tensor_s(), found.modules[1].tensor_s())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_growth_on_a_gpu_is_growth_on_the_cpu() -> None:
    found, there = chain(5, 3, 4), chain(5, 3, 4)
    there.net.cuda()
    there.x, there.y = there.x.cuda(), there.y.cuda()
    for each in (found, there):
        each.gather()
        for module in each.modules:
            module.compute_optimal_updates(dtype=F64)
            module.apply_change(scaling_factor=0.1)
    torch.testing.assert_close(there.net(there.x).cpu(), found.net(found.x))


def relinked() -> tuple[GrowingModule, GrowingModule, MergeGrowingModule]:
    """Two layers with a merge between, and statistics of the second."""
    first = GrowingModule(torch.nn.Linear(3, 4), name="first")
    merge = MergeGrowingModule(name="join", previous_modules=[first])
    second = GrowingModule(torch.nn.Linear(4, 2), previous_module=merge, name="second")
    merge.set_next_modules([second])
    for module in (first, second):
        module.init_computation()
    second(merge(first(torch.randn(10, 3)))).square().sum().backward()
    for module in (first, second):
        module.update_computation()
    return first, second, merge


def test_modules_that_are_linked_anew_while_statistics_are_gathered_are_refused() -> None:
    _, second, merge = relinked()
    merge.add_next_module(GrowingModule(torch.nn.Linear(4, 2), name="third"))
    with pytest.raises(
        GrowthError, match=r"around second have been linked anew .* call init_computation\(\)"
    ):
        second.compute_optimal_updates()
    second.init_computation()
    second.create_layer_extensions(2)
    assert all(reader.extended_input_layer.in_features == 2 for reader in merge.next_modules)


def test_links_elsewhere_change_nothing() -> None:
    first, second, _ = relinked()
    GrowingModule(torch.nn.Linear(4, 4), previous_module=MergeGrowingModule(), name="elsewhere")
    second.compute_optimal_updates(maximum_added_neurons=1, use_projected_gradient=False)
    assert first.extended_output_layer is not None
