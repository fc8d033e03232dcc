"""The verbs: what they print, where, and with which exit code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gromo_graph import __version__
from gromo_graph.cli import app
from gromo_graph.records.journal import read_journal
from gromo_graph.run import load_run
from gromo_graph.spec import parse_spec
from gromo_graph.spec.starter import STARTERS
from gromo_graph.spec.train_settings import MEASURES
from tests.run.specs import DIABETES, IRIS


def call(*arguments: object) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failed(result: Result, code: int) -> str:
    """The stderr of a command that failed: no traceback, nothing on stdout."""
    assert result.exit_code == code, result.stderr
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result.stderr


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(IRIS)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.yaml").write_text(IRIS)
    assert call("grow", folder / "small.yaml", "--out", folder / "run", "--quiet").exit_code == 0
    return folder / "run"


def test_version() -> None:
    assert call("--version").stdout == f"gromo-graph {__version__}\n"


@pytest.mark.parametrize("kind", STARTERS)
def test_new_gives_a_sound_spec(tmp_path: Path, kind: str) -> None:
    assert call("new").stdout == call("new", "mlp").stdout
    (tmp_path / "my.yaml").write_text(call("new", kind).stdout)
    result = call("validate", tmp_path / "my.yaml")
    assert result.exit_code == 0
    assert "sound" in result.stdout


@pytest.mark.parametrize("kind", STARTERS)
def test_starters_have_the_clock_of_today(kind: str) -> None:
    assert not parse_spec(STARTERS[kind]).growth.counts_epochs


def test_new_of_no_kind() -> None:
    assert "did you mean 'mlp'" in failed(call("new", "mlpp"), 2)


def test_validate(spec: Path) -> None:
    result = call("validate", spec, "--json")
    assert json.loads(result.stdout) == []
    assert "small has 3 nodes, 11 parameters and 7 multiply-adds" in call("validate", spec).stdout


def test_validate_tells_every_problem_with_its_line(spec: Path) -> None:
    spec.write_text(IRIS.replace("relu", "rleu").replace("kind: input", "kind: inptu"))
    message = failed(call("validate", spec), 2)
    assert f"{spec}:3:" in message
    assert f"{spec}:4:" in message
    assert "did you mean `relu`" in message
    assert "2 problems" in message
    lines = message.splitlines()
    caret = next(line for line in lines if line.strip() == "^")
    source = lines[lines.index(caret) - 1]
    assert source[caret.index("^") :].startswith("inptu")
    result = call("validate", spec, "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert [problem["line"] for problem in found] == [3, 4]
    assert all(list(problem) == ["file", "line", "column", "path", "message"] for problem in found)


def test_what_a_spec_holds_cannot_command_the_terminal(spec: Path) -> None:
    spec.write_bytes(IRIS.replace("relu", '"\\e[31mx"').encode() + b"# \x1b]0;title\x07\n")
    assert "\x1b" not in call("validate", spec).stderr


@pytest.mark.parametrize("form", ["svg", "png", "pdf", "dot"])
def test_render(spec: Path, run: Path, tmp_path: Path, form: str) -> None:
    start = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[form]
    for target in (spec, run):
        out = tmp_path / f"x.{form}"
        result = call("render", target, "-o", out)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == ""
        assert start in out.read_bytes()[:400]


def test_render_on_stdout(spec: Path) -> None:
    assert call("render", spec).stdout.startswith("<svg")


def test_render_refused(spec: Path, tmp_path: Path) -> None:
    assert "expected the folder of a run" in failed(call("render", spec, "-o", tmp_path / "x.gif"), 1)
    assert "'.bmp' names no drawing format" in failed(call("render", spec, "-o", tmp_path / "x.bmp"), 1)
    assert "into a folder" in failed(call("render", spec, "--steps"), 2)
    assert "no block `bodi`" in failed(call("render", spec, "--collapse", "bodi"), 1)


def test_render_looks_and_steps(spec: Path, run: Path, tmp_path: Path) -> None:
    plain = call("render", spec).stdout
    dark = call("render", spec, "--dark", "--colour", "kind").stdout
    assert "#14181d" in dark
    assert "#14181d" not in plain
    done = call("render", run, "--steps", "-o", tmp_path / "steps", "--format", "png", "--down")
    assert done.exit_code == 0
    files = sorted(path.name for path in (tmp_path / "steps").iterdir())
    assert files[0] == "000.png"
    assert f"drawn: {tmp_path / 'steps' / '000.png'} to {files[-1]}" in done.stderr
    assert call("render", run, "-o", tmp_path / "x.gif", "--seconds", "0.1").exit_code == 0
    assert (tmp_path / "x.gif").read_bytes()[:3] == b"GIF"
    assert "no such file" in failed(call("render", tmp_path / "none.yaml", "-o", tmp_path / "x.svg"), 2)
    assert "this is no run" in failed(call("render", tmp_path, "-o", tmp_path / "x.svg"), 1)


def test_grow_ends_with_a_summary(spec: Path, tmp_path: Path) -> None:
    result = call("grow", spec, "--out", tmp_path / "run", "--seed", 3)
    assert result.exit_code == 0, result.stderr
    for word in ("accuracy", "test", "growth steps", "report.html", "steps"):
        assert word in result.stdout
    assert "epoch 4/4" in result.stderr
    assert "step 1: hidden: +" in result.stderr
    assert load_run(tmp_path / "run").summary["steps"] >= 1


def test_grow_as_json(spec: Path, tmp_path: Path) -> None:
    result = call("grow", spec, "--out", tmp_path / "run", "--json", "--set", "train.epochs=2")
    summary = json.loads(result.stdout)
    assert list(summary) == ["run", "steps", "reason", "parameters", "train", "validation", "test", "report"]
    assert Path(summary["report"]).is_file()
    assert summary == {**load_run(tmp_path / "run").summary, "report": summary["report"]}
    assert "epoch 2/2" in result.stderr
    quiet = call("grow", spec, "--out", tmp_path / "quiet", "--json", "--quiet", "--set", "train.epochs=2")
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["test"] == summary["test"]


def test_grow_names_its_folder_after_the_spec(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec.write_text(IRIS.replace("name: small", "name: ../small").replace("epochs: 4", "epochs: 1"))
    for number in (1, 2):
        assert call("grow", spec, "--quiet").exit_code == 0
        assert (tmp_path / "runs" / f"small-{number}" / "spec.yaml").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "small.yaml"]


def test_grow_refused(spec: Path, run: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    out = tmp_path / "new"
    assert "holds another run" in failed(call("grow", spec, "--out", run), 1)
    assert "other files" in failed(call("grow", spec, "--out", tmp_path, "--force"), 1)
    assert "no such file" in failed(call("grow", tmp_path / "none.yaml", "--out", out), 2)
    assert "train.epochs" in failed(call("grow", spec, "--set", "train.epoch=3", "--out", out), 2)
    assert "did you mean `iris`" in failed(call("grow", spec, "--data", "irs", "--out", out), 1)
    assert "cannot be imported" in failed(call("grow", spec, "--data", "no_module:load", "--out", out), 1)
    assert "classification" in failed(call("grow", spec, "--data", "diabetes", "--out", out), 1)
    assert "--data" in failed(call("grow", spec, "--set", "train.data=os:getcwd", "--out", out), 2)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in failed(call("grow", spec, "--out", tmp_path / "file" / "run"), 1)
    assert not out.exists()
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_bad_data_are_named(spec: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    good = [f"{i},{i % 5},{i % 7},1.5,{i % 3}" for i in range(30)]
    for wrong, message in (
        ("1,2,nan,4,0", "1 value that is missing, NaN or infinite, the first in row 31, column 3"),
        (
            "1,2,3,4,3",
            "labels outside the classes: found 3 in 1 of 31 samples, expected whole numbers from 0 to 2",
        ),
        ("1,2,three,4,0", f"{data}:31: column 3 holds 'three': expected a number"),
        ("1,2,3", f"{data}:31: 3 cells: expected 5"),
    ):
        data.write_text("\n".join([*good, wrong]) + "\n")
        assert message in failed(call("grow", spec, "--data", data, "--out", tmp_path / "run"), 1)
    data.write_text("")
    assert "the file is empty" in failed(call("grow", spec, "--data", data, "--out", tmp_path / "run"), 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gorw"], "Did you mean 'grow'"),
        (["grow", "a.yaml", "--sede", "3"], "--seed"),
        (["grow", "a.yaml", "--seed", "three"], "--seed"),
        (["grow", "a.yaml", "--seed", "-1"], "--seed"),
        (["grow", "a.yaml", "--device", "tpu"], "'auto', 'cpu', 'cuda'"),
        (["grow"], "SPEC"),
        (["predict", "run"], "--data"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    assert message in failed(call(*arguments), 2)


def test_evaluate(run: Path, tmp_path: Path) -> None:
    found = json.loads(call("evaluate", run, "--json").stdout)
    summary = load_run(run).summary
    assert found == {
        "run": str(run),
        **summary["test"],
        **{p: summary[p] for p in ("train", "validation", "test")},
    }
    table = call("evaluate", run, "--data", "iris")
    assert "validation" in table.stdout
    rows = tmp_path / "rows.csv"
    rows.write_text("5.1,3.5,1.4,0.2,setosa\n7,3.2,4.7,1.4,versicolor\n")
    measured = json.loads(call("evaluate", run, "--data", rows, "--json").stdout)
    assert set(measured) == {"run", "loss", "majority_rate", *MEASURES["classification"]} - {"roc_auc"}
    rows.write_text("5.1,3.5,1.4,0.2,rose\n")
    assert "labels outside the classes: found rose" in failed(call("evaluate", run, "--data", rows), 1)
    assert "this is no run" in failed(call("evaluate", tmp_path), 1)


def test_evaluate_of_a_regression_tells_r2_and_rmse_in_units_of_the_target(tmp_path: Path) -> None:
    from sklearn.metrics import r2_score, root_mean_squared_error

    spec = tmp_path / "diabetes.yaml"
    spec.write_text(DIABETES)
    made = tmp_path / "made"
    assert call("grow", spec, "--out", made, "--quiet").exit_code == 0
    rows = (
        np.random.default_rng(0).normal(size=(40, 10)),
        np.random.default_rng(1).normal(150.0, 70.0, size=40),
    )
    np.savez(tmp_path / "rows.npz", x=rows[0], y=rows[1])
    found = json.loads(call("evaluate", made, "--data", tmp_path / "rows.npz", "--json").stdout)
    predicted = load_run(made).predict(rows[0])
    assert found["r2"] == pytest.approx(r2_score(rows[1], predicted), abs=1e-5)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(rows[1], predicted), rel=1e-5)
    own = call("evaluate", made).stdout
    assert "R²" in own
    assert "RMSE, in units of the target" in own
    parts = json.loads(call("evaluate", made, "--json").stdout)
    assert parts["test"]["rmse"] == parts["rmse"] > 30.0


def test_predict(run: Path, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    x = [[5.1, 3.5, 1.4, 0.2], [6.5, 3.0, 5.5, 1.8]]
    rows.write_text("".join(",".join(map(str, row)) + "\n" for row in x))
    result = call("predict", run, "--data", rows, "-o", out)
    assert result.exit_code == 0, result.stderr
    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [
        "prediction",
        *(f"probability_{name}" for name in ("setosa", "versicolor", "virginica")),
    ]
    loaded = load_run(run)
    assert [row["prediction"] for row in found] == loaded.predict(x).tolist()
    np.testing.assert_allclose(
        [[float(row[f"probability_{name}"]) for name in loaded.preparation.classes] for row in found],
        loaded.probabilities(x),
        rtol=1e-5,
    )
    rows.write_text("".join(",".join(map(str, row)) + ",\n" for row in x))  # a target column without targets
    assert call("predict", run, "--data", rows).stdout == out.read_text()


def test_predict_keeps_a_file_that_is_there(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    assert "--force" in failed(call("predict", run, "--data", "iris", "-o", out), 1)
    assert out.read_text() == "mine"
    assert call("predict", run, "--data", "iris", "-o", out, "--force").exit_code == 0
    assert out.read_text().count("\n") == 151


def test_predict_refused(run: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2\n3,4\n")
    assert "[2], but the input of the spec has [4]" in failed(call("predict", run, "--data", rows), 1)
    rows.write_text("1,2,3,nan\n")
    assert "the first in row 1, column 4" in failed(call("predict", run, "--data", rows), 1)


def test_predictions_of_a_regression(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(DIABETES)
    assert call("grow", tmp_path / "spec.yaml", "--out", tmp_path / "run", "--quiet").exit_code == 0
    lines = call("predict", tmp_path / "run", "--data", "diabetes").stdout.splitlines()
    assert lines[0] == "prediction"
    assert 25 < np.mean([float(line) for line in lines[1:]]) < 346


def test_a_label_is_no_formula(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(IRIS)
    labels = ["=cmd()", "@x", "+1 a"]
    rows = "".join(f"{i % 3},{i},{i % 5},{i % 7},{labels[i % 3]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text(rows)
    result = call("grow", tmp_path / "spec.yaml", "--data", tmp_path / "rows.csv", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    out = call("predict", tmp_path / "run", "--data", tmp_path / "rows.csv").stdout
    cells = [cell for row in csv.reader(out.splitlines()) for cell in row]
    assert all(not cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_validate_says_what_will_not_grow(tmp_path: Path) -> None:
    from gromo_graph.spec.starter import starter

    path = tmp_path / "residual.yaml"
    path.write_text(
        starter("residual").replace('features: "${width}"}', 'features: "${width}", grow: false}')
    )
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0
    assert "`stem`, `mix` will not grow: `mix` says `grow: false`" in result.stdout
    assert "logits" not in result.stdout


def test_diff(spec: Path, run: Path, tmp_path: Path) -> None:
    assert call("diff", spec, spec).exit_code == 0
    assert json.loads(call("diff", run, run, "--json").stdout)["nodes"] == []
    wider = tmp_path / "wider.yaml"
    wider.write_text(spec.read_text().replace("features: 1", "features: 5"))
    result = call("diff", spec, wider, "-o", tmp_path / "diff.svg")
    assert result.exit_code == 1
    assert "1 → 5" in result.stdout
    assert "parameters 11 → 43 (+32)" in result.stdout
    assert "+4 features" in (tmp_path / "diff.svg").read_text()
    found = json.loads(call("diff", spec, wider, "--json").stdout)
    assert (found["delta_parameters"], found["nodes"][0]["after"]) == (32, [5])


def test_diff_of_two_steps_of_a_run(run: Path) -> None:
    journal = read_journal(run)
    last = len(journal.applied)
    assert last >= 1
    result = call("diff", f"{run}@0", f"{run}@{last}", "--json")
    assert result.exit_code == 1
    grown = sum(event.decision.delta_parameters for event in journal.applied)
    assert json.loads(result.stdout)["delta_parameters"] == grown
    assert call("diff", f"{run}@{last}", run).exit_code == 0
    there = f"there is no step {last + 1}: the run has steps 1 to {last}, and 0 is before any growth"
    assert there in " ".join(failed(call("diff", run, f"{run}@{last + 1}"), 2).split())
    failed(call("diff", run, "missing.yaml"), 2)


def test_a_step_of_a_run_is_shown_and_drawn(run: Path) -> None:
    before = json.loads(call("show", f"{run}@0", "--json").stdout)["nodes"]
    after = json.loads(call("show", f"{run}@1", "--json").stdout)["nodes"]
    assert before != after
    assert "step 1" in call("render", f"{run}@1").stdout


def test_history(run: Path) -> None:
    journal = read_journal(run)
    result = call("history", run)
    assert result.exit_code == 0
    for event in journal.applied:
        assert f"{event.parameters:,}" in result.stdout
    assert f"{len(journal.epochs)} epochs, {len(journal.applied)} growth steps applied" in result.stdout
    told = json.loads(call("history", run, "--json").stdout)
    assert [event["step"] for event in told["events"]] == [event.step for event in journal.events]
    assert len(told["epochs"]) == len(journal.epochs)


def test_history_shows_what_a_budget_in_multiply_adds_allows(spec: Path, tmp_path: Path) -> None:
    budget = ("--set", "growth.stop={madds: 300}", "--set", "train.epochs=4")
    assert call("grow", spec, "--out", tmp_path / "run", "--data", "iris", *budget).exit_code == 0
    told = call("history", tmp_path / "run").stdout
    assert "multiply-adds" in told
    applied = read_journal(tmp_path / "run").applied
    assert applied
    assert all(f"{event.madds:,}" in told for event in applied)


def test_history_verifies_every_line(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines))
    assert f"{len(lines)} lines are as they were written" in call("history", copy, "--verify").stdout
    (copy / "journal.jsonl").write_text("".join(lines) + lines[-1][:30])
    assert "cut off while it was written" in call("history", copy, "--verify").stdout
    lines[2] = lines[2].replace('"epoch": 1', '"epoch": 7', 1)
    (copy / "journal.jsonl").write_text("".join(lines))
    assert "journal.jsonl:3: damaged line: its checksum" in failed(call("history", copy, "--verify"), 1)


def test_resume_of_a_run_that_is_over(run: Path) -> None:
    result = call("resume", run, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {**load_run(run).summary, "report": str(run / "report.html")}
    assert "there is no such folder" in failed(call("resume", run / "nowhere"), 1)
