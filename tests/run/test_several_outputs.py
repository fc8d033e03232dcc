"""`grow` trains a network with several outputs: a loss, a preparation and measures for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gromo_graph import GrowthScheduler, compile_network, grow, load_run, parse_spec, resume
from gromo_graph.cli import app
from gromo_graph.errors import RunError
from gromo_graph.growth.losses import mean_loss
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.measured_plan import plan
from gromo_graph.run.training.objective import prepared_objective
from tests.run.test_resume import BrokenOffError, same_runs

TEXT = """
name: two
nodes:
  x: {kind: input, shape: [4]}
  body: {kind: linear, from: x, features: 2, activation: tanh}
  kind: {kind: linear, from: body, features: 2}
  price: {kind: linear, from: body, features: 1}
outputs: [kind, price]
growth: {when: {until: 0.5, steps: 3}, neurons: {per_step: 2}}
train: {loss: {kind: cross_entropy, price: {name: huber, weight: 0.5}}, class_weight: balanced, epochs: 12,
  batch_size: 16, optimizer: {lr: 0.05}}
"""
SPEC = parse_spec(TEXT)


def data() -> dict[str, Any]:
    x = np.random.default_rng(0).normal(size=(150, 4))
    kind = np.where(x[:, 0] + 0.1 * x[:, 1] > 0.5, "large", "small")
    return {"x": x, "y": {"price": 1000.0 + 50.0 * x[:, 1], "kind": kind}}


def test_each_output_is_trained_judged_and_predicted(tmp_path: Path) -> None:
    run = grow(SPEC, data=data(), out=tmp_path / "run", device="cpu")
    assert run.summary["steps"] > 0
    test = run.summary["test"]
    assert test["accuracy"] is None
    assert test["kind.accuracy"] > 0.85 > test["kind.majority_rate"]
    assert test["price.r2"] > 0.8
    assert 1.0 < test["price.rmse"] < 25.0, "in units of the target"
    loaded = load_run(tmp_path / "run")
    assert loaded.summary == run.summary
    assert loaded.measure(data())["test"] == test
    predicted = loaded.predict(data()["x"][:5])
    assert list(predicted) == ["kind", "price"]
    assert set(predicted["kind"]) <= {"large", "small"}
    assert 800.0 < predicted["price"].mean() < 1200.0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "price.rmse" in page
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=data()["x"][:3])
    printed = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), "--data", str(rows)]).stdout
    assert printed.splitlines()[0] == "prediction_kind,prediction_price"
    assert len(printed.splitlines()) == 4
    assert (
        "kind accuracy"
        in CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--data", _saved(tmp_path)]).stdout
    )


def _saved(folder: Path) -> str:
    given = data()
    np.savez(folder / "all.npz", x=given["x"], **{f"y.{name}": values for name, values in given["y"].items()})
    return str(folder / "all.npz")


def test_slopes_are_those_of_the_sum_of_the_losses() -> None:
    found = load_data(data(), SPEC)
    network = compile_network(SPEC, seed=0).double()
    objective = prepared_objective(SPEC.train, found.preparation, weighted=False)
    x, y = found.train.x.double(), found.train.y.double()  # type: ignore[union-attr]
    cut = list(zip(x.split(7), y.split(7), strict=True))
    scheduler = GrowthScheduler(network, objective, epochs=9)
    candidate = next(each for each in scheduler.plan(cut).candidates if each.slope)
    before = mean_loss(network, objective, cut)
    outputs = network(x)
    weights = torch.tensor(found.preparation.several[0].class_weight, dtype=torch.float64)
    of_kind = torch.nn.functional.cross_entropy(
        outputs["kind"], y[:, 0].long(), weight=weights, reduction="none"
    )
    expected = of_kind.mean() + 0.5 * torch.nn.functional.huber_loss(outputs["price"], y[:, 1:])
    assert before == pytest.approx(float(expected.detach()), rel=1e-6)
    assert candidate.slope is not None
    scheduler.apply(candidate, 1e-7, loader=cut)
    assert (before - mean_loss(network, objective, cut)) / 1e-7 == pytest.approx(candidate.slope, rel=1e-3)
    assert plan(SPEC, data=data()).candidates


def test_it_is_resumed_to_the_bit(tmp_path: Path) -> None:
    def crash(progress: Any) -> None:
        if progress.epoch == 5:
            raise BrokenOffError

    path = _saved(tmp_path)
    grow(SPEC, data=path, out=tmp_path / "whole", device="cpu")
    with pytest.raises(BrokenOffError):
        grow(SPEC, data=path, out=tmp_path / "broken", device="cpu", on_progress=crash)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "broken", tmp_path / "whole")


def test_targets_that_do_not_fit_are_named() -> None:
    given = data()
    with pytest.raises(
        RunError, match=r"a target for each output, kind, price, found one target without a name"
    ):
        load_data((given["x"], given["y"]["kind"]), SPEC)
    with pytest.raises(RunError, match=r"expected a target for each output, kind, price, found kind:"):
        load_data({"x": given["x"], "y": {"kind": given["y"]["kind"]}}, SPEC)
    swapped = {"kind": given["y"]["price"], "price": given["y"]["kind"]}
    with pytest.raises(RunError, match="`kind`: the target holds"):
        load_data({"x": given["x"], "y": swapped}, SPEC)
