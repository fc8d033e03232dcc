"""`grow`: from a spec to a run, twice the same, and sound whatever happens."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gromo_graph.errors import RunError, SpecError
from gromo_graph.graph import build_graph
from gromo_graph.records.journal import read_journal
from gromo_graph.run import Progress, grow, load_run
from gromo_graph.run.data.tensor_loader import Batch, TensorLoader
from gromo_graph.run.interrupt import Interruption
from gromo_graph.spec import dump_spec, load_spec, parse_spec
from tests.run.specs import DIABETES, IRIS, iris


def _timeless(path: Path) -> list[str]:
    """The journal's lines as they are written, the clocks taken out."""
    lines = []
    for line in (path / "journal.jsonl").read_text().splitlines():
        values = json.loads(line)
        clocks = json.dumps(values["time"], ensure_ascii=False)
        assert f'"time": {clocks}' in line
        lines.append(line.replace(f'"time": {clocks}', ""))
    return lines


def test_one_seed_gives_one_journal(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        torch.rand(3)  # the caller's random numbers do not matter
        grow(iris(), out=tmp_path / name, seed=seed)
    assert _timeless(tmp_path / "a") == _timeless(tmp_path / "b")
    assert _timeless(tmp_path / "a") != _timeless(tmp_path / "c")
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert str(tmp_path) not in (tmp_path / "a" / "journal.jsonl").read_text()


def test_dropout_follows_the_seed_and_the_caller_keeps_its_generator() -> None:
    spec = parse_spec(
        IRIS.replace(
            "  y: {kind: linear, from: hidden",
            "  drop: {kind: dropout, from: hidden, p: 0.5}\n  y: {kind: linear, from: drop",
        )
    )
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    first = grow(spec, seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert grow(spec, seed=2).summary == first.summary


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    run = grow(iris(), out=tmp_path / "run")
    assert run.path is not None
    steps = run.summary["steps"]
    assert steps >= 1
    names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    assert names == {
        "command.json", "data.json", "journal.jsonl", "report.html", "spec.yaml", "summary.json", "weights.safetensors",
        *(f"steps/{step:03d}.svg" for step in range(steps + 1)),
    }  # fmt: skip
    assert load_spec(run.path / "spec.yaml") == run.spec == load_run(run.path).spec
    assert dump_spec(run.spec) == run.events[-1].spec or run.events[-1].decision is None
    journal = read_journal(run.path)
    assert [epoch.epoch for epoch in journal.epochs] == [1, 2, 3, 4]
    assert journal.events == run.events
    assert parse_spec(journal.header.spec) == iris()


def test_the_spec_equals_the_tensors_after_every_epoch() -> None:
    sizes: list[Progress] = []
    run = grow(iris(), on_progress=sizes.append)
    assert [progress.epoch for progress in sizes] == [1, 2, 3, 4]
    assert sizes[-1].parameters == sum(p.numel() for p in run.network.parameters())
    assert sizes[-1].features == {"hidden": run.spec.nodes["hidden"].features}  # type: ignore[attr-defined]
    assert run.summary["parameters"] == build_graph(run.spec).parameter_count


def test_summary_and_training_do_something() -> None:
    run = grow(iris(train__epochs="20"))
    assert list(run.summary) == ["run", "steps", "reason", "parameters", "train", "validation", "test"]
    assert run.summary["run"] is None
    assert run.summary["reason"].startswith("growth ends after 15 of 20 epochs")
    for part in ("train", "validation", "test"):
        assert {"loss", "accuracy", "balanced_accuracy", "f1_macro", "log_loss"} <= set(run.summary[part])
        assert run.summary[part]["accuracy"] > 0.8


def test_regression_has_no_accuracy(tmp_path: Path) -> None:
    run = grow(parse_spec(DIABETES), out=tmp_path / "run")
    assert run.summary["test"]["accuracy"] is None
    assert json.loads(json.dumps(run.summary)) == load_run(tmp_path / "run").summary
    assert "accuracy" not in read_journal(tmp_path / "run").epochs[0].train


def test_named_outputs_of_one_node() -> None:
    run = grow(parse_spec(IRIS.replace("output: y", "outputs: [y]")))
    assert run.predict([[5.1, 3.5, 1.4, 0.2]]).shape == (1,)


def test_a_run_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert grow(iris()).path is None
    assert not list(tmp_path.iterdir())


def test_files_that_a_spec_names_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    rows = "".join(f"{i % 3},{i},{i % 5},{i % 7},{i % 3}\n" for i in range(60))
    (folder / "rows.csv").write_text(rows)
    (folder / "spec.yaml").write_text(IRIS.replace("data: iris", "data: rows.csv"))
    monkeypatch.chdir(tmp_path)
    run = grow("there/spec.yaml", out="run")
    assert grow(load_spec("there/spec.yaml")).fingerprint == run.fingerprint
    monkeypatch.chdir("/")
    assert load_run(tmp_path / "run").evaluate() == run.summary["test"]


def test_a_spec_never_names_code() -> None:
    with pytest.raises(SpecError, match="--data"):
        iris(train__data="os:getcwd")


def test_nothing_is_written_before_the_run_is_sound(tmp_path: Path) -> None:
    grow(iris(), out=tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="holds another run"):
        grow(iris(), out=tmp_path / "run")
    with pytest.raises(RunError, match="unknown data"):
        grow(iris(), data="irs", out=tmp_path / "run", force=True)
    with pytest.raises(RunError, match="3 classes"):
        grow(iris(nodes__y__features="2"), out=tmp_path / "run", force=True)
    wide = iris(
        nodes__hidden__features="1000000",
        nodes__y__features="1000000",
        train__allow_unused_outputs="true",
    )
    with (
        pytest.warns(UserWarning, match="1,000,000 features for 3 classes"),
        pytest.raises(RunError, match="does not fit into memory"),
    ):
        grow(wide, out=tmp_path / "new")
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before
    assert not (tmp_path / "new").exists()
    grow(iris(), out=tmp_path / "run", force=True, seed=1)
    assert load_run(tmp_path / "run").summary["steps"] >= 1


def test_a_loss_that_is_not_finite_leaves_a_readable_run(tmp_path: Path) -> None:
    spec = parse_spec(
        DIABETES, overrides={"train.optimizer": "{name: sgd, lr: 1000000.0}", "train.epochs": "40"}
    )
    with (
        pytest.warns(
            UserWarning,
            match=r"the training loss is (nan|inf) .*: epoch \d+ is done again at half the learning rate",
        ),
        pytest.raises(
            RunError,
            match=r"the training loss is (nan|inf) in epoch \d+, batch \d+, at learning rate .*lower it",
        ),
    ):
        grow(spec, out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.summary["reason"].startswith("not finished")
    assert run.summary["test"] == {"loss": None, "accuracy": None}
    assert np.isfinite(run.predict(np.zeros((1, 10)))).all()


def test_ctrl_c_keeps_what_is_there(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        grow(iris(), out=tmp_path / "run", on_progress=stop)
    assert signal.getsignal(signal.SIGINT) is before
    run = load_run(tmp_path / "run")
    assert run.summary["reason"] == "not finished: 2 epochs done"
    assert len(read_journal(tmp_path / "run").epochs) == 2
    assert (tmp_path / "run" / "report.html").is_file()


def test_growing_in_another_thread() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(grow(iris()).summary))
    thread.start()
    thread.join()
    assert found == [grow(iris()).summary]


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    grow(iris())
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu': expected auto, cpu or cuda"),
        ({"seed": -1}, "seed -1"),
        ({"overrides": ["train.epochs=1"]}, "overrides are for the path of a spec"),
    ],
)
def test_options_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        grow(iris(), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu() -> None:
    with pytest.raises(RunError, match="sees no GPU"):
        grow(iris(), device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tmp_path: Path) -> None:
    run = grow(iris(train__epochs="20"), out=tmp_path / "run", device="cuda")
    assert run.summary["steps"] >= 1
    assert run.summary["test"]["accuracy"] > 0.8
    found = load_run(tmp_path / "run").evaluate()
    assert found["loss"] == pytest.approx(run.summary["test"]["loss"], rel=1e-3)


def test_each_epoch_has_its_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[float]] = []
    real = TensorLoader.weighted

    def spy(loader: TensorLoader) -> Iterator[Batch]:
        batches = list(real(loader))
        if loader.seed is not None:
            orders.append([value for batch in batches for value in batch.x[:, 0].tolist()])
        return iter(batches)

    monkeypatch.setattr(TensorLoader, "weighted", spy)
    grow(iris(growth__when__until="0.01", train__epochs="3"))
    assert len({tuple(order) for order in orders}) == 3
    assert len({tuple(sorted(order)) for order in orders}) == 1


def test_a_run_that_breaks_off_can_be_loaded_as_it_last_grew(tmp_path: Path) -> None:
    def crash(progress: Progress) -> None:
        if any(event.decision is not None for event in progress.events):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        grow(iris(), out=tmp_path / "run", on_progress=crash)
    run = load_run(tmp_path / "run")
    assert run.events[-1].spec == dump_spec(run.spec) != dump_spec(iris())
    assert (tmp_path / "run" / "steps" / "001.svg").is_file()


def test_the_first_ctrl_c_waits_for_a_safe_place_and_the_second_does_not() -> None:
    with Interruption() as interruption:
        interruption.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
