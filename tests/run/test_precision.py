"""Accumulated gradients are those of the larger batch; bfloat16 is for training alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gromo_graph import grow, resume
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.run.trainer import train_epoch
from gromo_graph.run.training.objective import Objective
from gromo_graph.run.training.output_losses import Classes
from tests.run.specs import iris
from tests.run.test_resume import BrokenOffError, same_runs


def trained(batch_size: int, accumulate: int) -> torch.nn.Module:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    x = torch.randn(22, 3, dtype=torch.float64)
    loader = TensorLoader(Part(x, (x[:, 0] > 0).long()), batch_size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
    for _ in range(3):
        train_epoch(
            network, Objective(Classes()), loader, [optimizer], rate=lambda _: 0.3, accumulate=accumulate
        )
    return network


@pytest.mark.parametrize(("small", "accumulate"), [(2, 4), (4, 2), (1, 8)])
def test_several_batches_are_one(small: int, accumulate: int) -> None:
    """Also a last step of fewer batches, the last of them shorter: 22 samples are steps of 8, 8 and 6."""
    one, many = trained(8, 1), trained(small, accumulate)
    for expected, found in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_a_run_that_accumulates_is_that_of_larger_batches() -> None:
    whole = grow(iris(train__batch_size="32"), device="cpu")
    parts = grow(iris(train__batch_size="8", train__accumulate="4"), device="cpu")
    assert parts.summary["train"]["loss"] == pytest.approx(whole.summary["train"]["loss"], rel=1e-3)
    assert [event.decision for event in parts.events] == [event.decision for event in whole.events]


def test_bfloat16_in_training_alone(tmp_path: Path) -> None:
    text = iris()
    plain = grow(text, device="cpu")
    seen: set[torch.dtype] = set()
    handle = None

    def watch(progress: object) -> None:
        if progress.epoch == 2:  # type: ignore[attr-defined]
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        grow(text, out=tmp_path / "broken", amp=True, device="cpu", on_progress=watch)
    assert json.loads((tmp_path / "broken" / "command.json").read_text())["amp"] is True
    resume(tmp_path / "broken")
    run = grow(text, out=tmp_path / "whole", amp=True, device="cpu")
    same_runs(tmp_path / "broken", tmp_path / "whole")
    assert run.summary["train"]["loss"] != plain.summary["train"]["loss"]
    assert run.summary["train"]["loss"] == pytest.approx(plain.summary["train"]["loss"], rel=0.2)
    assert all(parameter.dtype == torch.float32 for parameter in run.network.parameters())
    handle = run.network.register_forward_hook(lambda *given: seen.add(given[2].dtype))
    x = torch.randn(8, 4)
    loader = [(x, torch.arange(8) % 3)]
    optimizer = torch.optim.SGD(run.network.parameters(), lr=0.0)
    train_epoch(run.network, Objective(Classes()), loader, [optimizer], rate=lambda _: 0.0, amp=True)
    handle.remove()
    assert seen == {torch.bfloat16}
