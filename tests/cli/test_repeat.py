"""`grow --repeat`: runs that differ in their seeds alone, and one summary."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gromo_graph.cli import app
from gromo_graph.run import grow, load_run
from tests.run.specs import IRIS, iris


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_five_runs_and_one_summary(tmp_path: Path) -> None:
    spec, out = tmp_path / "small.yaml", tmp_path / "five"
    spec.write_text(IRIS.replace("epochs: 4", "epochs: 2"))
    code, printed, _ = call("grow", spec, "--repeat", 5, "--seed", 3, "--out", out, "--json", "--quiet")
    assert code == 0
    found = json.loads(printed)
    folders = [out / f"seed-{seed}" for seed in range(3, 8)]
    assert found["runs"] == [str(folder) for folder in folders]
    summaries = [load_run(folder).summary for folder in folders]
    accuracies = [summary["test"]["accuracy"] for summary in summaries]
    told = found["test"]["accuracy"]
    assert told["values"] == accuracies
    assert told["mean"] == pytest.approx(statistics.fmean(accuracies))
    assert told["standard_error"] == pytest.approx(statistics.stdev(accuracies) / 5**0.5)
    assert found["parameters"]["values"] == [summary["parameters"] for summary in summaries]
    alone = grow(iris(train__epochs="2"), seed=4).summary
    assert alone["test"] == summaries[1]["test"], "each run is that of its seed"
    kept = json.loads((out / "repeated.json").read_text())
    assert {key: kept[key] for key in found} == found
    code, _, told_on_stderr = call("grow", spec, "--repeat", 5, "--seed", 7, "--out", out)
    assert code == 1
    assert "seed-7: the folder holds another run" in told_on_stderr
    assert not (out / "seed-8").exists(), "nothing is trained if one of the folders is taken"


def test_a_table_of_means(tmp_path: Path) -> None:
    spec = tmp_path / "small.yaml"
    spec.write_text(IRIS.replace("epochs: 4", "epochs: 1"))
    code, printed, _ = call("grow", spec, "--repeat", 2, "--out", tmp_path / "two", "--quiet")
    assert code == 0
    assert "mean ± standard error" in printed
    assert "balanced accuracy" in printed
    assert f"2 runs in {tmp_path / 'two'}" in printed
    code, _, told = call("grow", spec, "--repeat", 2, "--write-back")
    assert code == 2
    assert "several runs grow to several sizes" in told
