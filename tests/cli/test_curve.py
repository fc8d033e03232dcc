"""`gromo-graph curve`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gromo_graph import grow, load_run
from gromo_graph.records.sizes import Size
from gromo_graph.render.curves import size_plots_of
from tests.cli.test_verbs import call, failed
from tests.render.samples import NS
from tests.run.specs import iris

SETTINGS = {"growth": "{when: {until: 0.6, steps: 4}, stop: {parameters: 60}}", "train__epochs": "8"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    grow(iris(**SETTINGS), out=path, seed=5, device="cpu")
    return path


def test_a_row_for_each_size_and_the_last_one_is_trained_to_the_end(run: Path) -> None:
    result = call("curve", run, "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["sizes"]
    known = load_run(run)
    assert [row["to_the_end"] for row in rows] == [False] * (len(rows) - 1) + [True]
    assert rows[-1]["parameters"] == known.summary["parameters"]
    assert rows[-1]["loss"] == known.summary["validation"]["loss"]
    assert len(rows) > 3
    assert sorted(row["parameters"] for row in rows) == [row["parameters"] for row in rows]
    assert [{k: v for k, v in row.items() if k != "run"} for row in rows] == [
        size.to_dict() for size in known.curve()
    ]


def test_every_format_tells_the_same_sizes(run: Path, tmp_path: Path) -> None:
    rows = json.loads(call("curve", run, "--format", "json").stdout)["sizes"]
    table = list(csv.DictReader(io.StringIO(call("curve", run, "--format", "csv").stdout)))
    assert [row["parameters"] for row in table] == [str(row["parameters"]) for row in rows]
    text = call("curve", run).stdout
    assert text.count("until the next step") == len(rows) - 1
    assert text.count("to the end") == 1
    for name in ("x.svg", "x.csv", "x.json", "x.txt"):
        assert call("curve", run, "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "x.csv").read_text() == call("curve", run, "--format", "csv").stdout
    root = ElementTree.fromstring((tmp_path / "x.svg").read_text())
    first = root.find(f"{NS}svg")
    assert first is not None
    circles = first.findall(f".//{NS}circle")
    assert [circle.get("class") for circle in circles] == ["open"] * (len(rows) - 1) + ["settled"]


def test_several_runs_stand_in_one_table_and_one_drawing(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other<&>"
    grow(iris(**SETTINGS), out=other, seed=6, device="cpu")
    rows = json.loads(call("curve", run, other, "--json").stdout)["sizes"]
    assert {row["run"] for row in rows} == {str(run), str(other)}
    root = ElementTree.fromstring(call("curve", run, other, "--format", "svg").stdout)
    names = {text.text for text in root.iter(f"{NS}text") if "name" in text.get("class", "")}
    assert len(names) == 2


def test_what_is_wrong_is_said(run: Path, tmp_path: Path) -> None:
    assert "this is no run" in failed(call("curve", tmp_path), 1)
    assert "there is no such folder" in failed(call("curve", tmp_path / "none"), 1)
    assert "x.svg" in failed(call("curve", run, "-o", tmp_path / "x.pdf"), 2)
    refused = call("curve", run, "--json", "--format", "csv")
    assert refused.exit_code == 2
    assert "keep one of the two" in json.loads(refused.stdout)["error"]["message"]
    broken = tmp_path / "broken"
    broken.mkdir()
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (broken / "journal.jsonl").write_text(lines[0])
    assert "nothing is measured yet" in failed(call("curve", broken), 1)
    (broken / "journal.jsonl").write_text(lines[0] + lines[1].replace("1", "2", 1))
    assert "damaged line" in failed(call("curve", broken), 1)


def test_it_needs_no_torch(run: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gromo_graph.cli import app\n"
        f"app(['curve', {str(run)!r}, '--format', 'svg'], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<svg")


def test_a_network_that_comes_back_to_a_size_keeps_the_order_of_its_steps() -> None:
    widths = (10, 30, 20)
    sizes = [
        Size(step, step, size, size, 1.0 / (step + 1), None, step == 2) for step, size in enumerate(widths)
    ]
    for plot in size_plots_of({"run": sizes}):
        (curve,) = plot.curves
        assert tuple(at for at, _ in curve.points) == widths
        assert curve.settled == {20}
