"""`gromo-graph compare`, and the page that it writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gromo_graph import grow
from gromo_graph.render.comparison import ComparedRun
from gromo_graph.render.pages.comparison import MOST_RUNS
from gromo_graph.spec import parse_spec
from tests.cli.test_verbs import call, failed
from tests.render.test_report import Page
from tests.run.specs import DIABETES, iris

GROWTH = "{when: {until: 0.6, steps: 4}, stop: {parameters: 60}}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in a few keys; the folder of the second has an evil name."""
    folder = tmp_path_factory.mktemp("compared")
    one, other = folder / "one", folder / "<script>alert(1)<script>"
    grow(iris(growth=GROWTH), out=one, seed=5, device="cpu")
    changes = {"nodes__hidden__activation": "gelu", "train__optimizer__lr": "0.01"}
    grow(iris(growth=GROWTH, **changes), out=other, seed=6, device="cpu")
    return [one, other]


@pytest.fixture(scope="module")
def progress(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression on other data."""
    path = tmp_path_factory.mktemp("progress") / "progress"
    grow(parse_spec(DIABETES), out=path, seed=0, device="cpu")
    return path


def as_json(*arguments: object) -> dict[str, Any]:
    result = call("compare", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def page_of(tmp_path: Path, *paths: Path) -> Page:
    result = call("compare", *paths, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    return Page((tmp_path / "page.html").read_text())


def test_facts_and_differences_stand_side_by_side(runs: list[Path]) -> None:
    found = as_json(*runs)
    assert [run["run"] for run in found["runs"]] == list(map(str, runs))
    assert found["notes"] == []
    assert found["differences"] == [
        {"key": "nodes.hidden.activation", "values": ["relu", "gelu"]},
        {"key": "train.optimizer.lr", "values": [0.02, 0.01]},
    ]
    for run, path in zip(found["runs"], runs, strict=True):
        summary = json.loads((path / "summary.json").read_text())
        assert run["validation"] == summary["validation"]
        assert run["parameters"] == summary["parameters"]
    printed = call("compare", *runs).stdout
    lines = {line.partition("  ")[0]: line.split()[1:] for line in printed.splitlines()}
    assert lines["seed"] == ["5", "6"]
    assert lines["nodes.hidden.activation"] == ["relu", "gelu"]
    assert lines["train.optimizer.lr"] == ["0.02", "0.01"]
    assert "held-out accuracy" in printed
    assert "cannot be compared" not in printed


def test_a_node_that_some_lack_is_one_difference(runs: list[Path], tmp_path: Path) -> None:
    deeper = iris(growth=GROWTH)
    text = """
name: small
nodes:
  x: {kind: input, shape: [4]}
  hidden: {kind: linear, from: x, features: 1, activation: tanh}
  more: {kind: linear, from: hidden, features: 2, bias: false}
  y: {kind: linear, from: more, features: 3}
output: y
train: {data: iris, epochs: 1}
"""
    grow(parse_spec(text), out=tmp_path / "deeper", device="cpu")
    grow(deeper, out=tmp_path / "same", seed=9, device="cpu")
    found = as_json(runs[0], tmp_path / "same", tmp_path / "deeper")
    values = {each["key"]: each["values"] for each in found["differences"]}
    more = {"kind": "linear", "from": "hidden", "features": 2, "bias": False}
    assert values["nodes.more"] == [None, None, more]
    assert values["nodes.hidden.activation"] == ["relu", "relu", "tanh"]
    assert values["nodes.y.from"] == [["hidden"], ["hidden"], ["more"]]
    assert "nodes.more.features" not in values
    assert values["train.batch_size"][:2] == [32, 32]
    assert "–" in call("compare", runs[0], tmp_path / "deeper").stdout
    assert "the specs are the same" in call("compare", runs[0], tmp_path / "same").stdout


def test_other_data_and_losses_and_unfinished_runs_are_told(
    runs: list[Path], progress: Path, tmp_path: Path
) -> None:
    going = Path(shutil.copytree(runs[0], tmp_path / "going"))
    (going / "summary.json").unlink()
    notes = as_json(runs[0], progress, going)["notes"]
    assert len(notes) == 3
    assert "different data" in notes[0]
    assert "different losses" in notes[1]
    assert notes[2].endswith("after the last epoch: going.")
    printed = call("compare", runs[0], progress, going).stdout
    assert all(note in printed for note in notes)
    page = page_of(tmp_path, runs[0], progress, going)
    assert set(notes) <= set(page.text)


def test_the_page_has_a_curve_of_each_run_in_every_plot(runs: list[Path], tmp_path: Path) -> None:
    page = page_of(tmp_path, *runs)
    titles = {at["aria-label"] for tag, at in page.tags if tag == "svg"}
    assert titles == {
        "held-out loss over the epochs",
        "held-out loss against multiply-adds of training, thousands",
        "held-out accuracy over the epochs",
        *(f"held-out loss against {cost}" for cost in ("parameters", "multiply-adds")),
        *(f"held-out accuracy against {cost}" for cost in ("parameters", "multiply-adds")),
    }
    for number in (1, 2):
        assert page.html.count(f'<g class="curve run run-{number}') == len(titles)
        assert page.html.count(f'class="name run run-{number}"') == len(titles)
    radios = [at for tag, at in page.tags if tag == "input"]
    assert [at["id"] for at in radios] == ["only-0", "only-1", "only-2"]
    assert {"parameters", "growth ended because", "nodes.hidden.activation", "gelu"} <= set(page.text)


def test_the_page_runs_and_loads_nothing(runs: list[Path], tmp_path: Path) -> None:
    page = page_of(tmp_path, *runs)
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert "<script>alert(1)<script>" in page.text, "the name of a folder is a text"
    assert not re.findall(r"(?:https?:)?//[^\s<]+|url\(|@import", re.sub(r'xmlns="[^"]*"', "", page.html))
    (policy,) = (at["content"] for _, at in page.tags if at.get("http-equiv") == "Content-Security-Policy")
    style = page.html.split("<style>")[1].split("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_a_run_without_an_epoch_has_a_column_and_no_curve(runs: list[Path], tmp_path: Path) -> None:
    begun = Path(shutil.copytree(runs[0], tmp_path / "begun"))
    (begun / "summary.json").unlink()
    lines = (begun / "journal.jsonl").read_text().splitlines(keepends=True)
    (begun / "journal.jsonl").write_text(lines[0])
    found = as_json(begun, runs[0])["runs"][0]
    assert (found["parameters"], found["epochs"], found["validation"]) == (None, 0, {})
    page = page_of(tmp_path, begun, runs[0])
    assert "curve run run-2" in page.html
    assert "curve run run-1" not in page.html


def test_the_work_of_training_needs_the_number_of_samples(runs: list[Path]) -> None:
    from dataclasses import replace

    from gromo_graph.records import read_journal

    journal = read_journal(runs[0])
    work = ComparedRun("a", journal, True).training_work
    assert list(work) == [
        sum(epoch.madds for epoch in journal.epochs[: end + 1]) * 90 for end in range(len(journal.epochs))
    ]
    header = replace(journal.header, data={"fingerprint": "x", "train": None})
    assert ComparedRun("a", replace(journal, header=header), True).training_work == ()


def test_labels_of_folders_with_one_name_are_their_paths(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(runs[0], tmp_path / name / "one")
    printed = call("compare", "a/one", "b/one").stdout
    assert printed.splitlines()[0].split() == ["a/one", "b/one"]


def test_what_is_wrong_is_said(runs: list[Path], tmp_path: Path) -> None:
    assert "one run alone" in failed(call("compare", runs[0]), 2)
    assert "named twice" in failed(call("compare", runs[0], runs[1], runs[0].parent / "." / "one"), 2)
    assert "there is no such folder" in failed(call("compare", runs[0], tmp_path / "none"), 1)
    assert "this is no run" in failed(call("compare", runs[0], tmp_path), 1)
    assert "expected x.html" in failed(call("compare", *runs, "-o", tmp_path / "x.svg"), 2)
    assert "cannot be written" in failed(call("compare", *runs, "-o", tmp_path / "none" / "x.html"), 1)
    broken = Path(shutil.copytree(runs[0], tmp_path / "broken"))
    (broken / "summary.json").write_text("{")
    assert "summary.json: this file is damaged" in failed(call("compare", runs[0], broken), 1)
    refused = call("compare", runs[0], "--json")
    assert "one run alone" in json.loads(refused.stdout)["error"]["message"]
    many = [shutil.copytree(runs[0], tmp_path / f"many-{number}") for number in range(MOST_RUNS + 1)]
    assert "leave some out" in failed(call("compare", *many, "-o", tmp_path / "x.html"), 1)
    assert not list(tmp_path.glob("*.html"))
    assert call("compare", *many).exit_code == 0


def test_it_needs_no_torch(runs: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gromo_graph.cli import app\n"
        f"app(['compare', *{list(map(str, runs))!r}, '-o', {str(tmp_path / 'x.html')!r}], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.html").read_text().startswith("<!DOCTYPE html>")
