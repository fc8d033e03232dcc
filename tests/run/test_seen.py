"""The displays of a run: figures, TensorBoard, and tables of plans and events."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest

from gromo_graph import (
    GrowthEvent,
    MLflowWriter,
    Plan,
    Progress,
    RunError,
    TensorBoardWriter,
    WandbWriter,
    grow,
    load_run,
    resume,
)
from gromo_graph.records import Candidate
from gromo_graph.render.drawing import style
from gromo_graph.run.run import Run
from gromo_graph.run.run_plot import plot_run
from tests.render.samples import NOTHING, WIDENED
from tests.run.specs import DIABETES, iris, parse_spec
from tests.run.test_resume import BrokenOffError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return grow(iris(), out=tmp_path_factory.mktemp("seen") / "run", device="cpu")


def test_a_figure_of_the_run(run: Run) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for shown in (run, load_run(run.path or "")):
        figure = shown.plot()
        assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "accuracy", "parameters"]
        train, validation = figure.axes[0].lines[:2]
        assert list(train.get_ydata()) == [epoch.train["loss"] for epoch in run.epochs]
        assert list(validation.get_xdata()) == [1, 2, 3, 4]
        steps = [line for line in figure.axes[0].lines[2:] if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in steps] == [e.place for e in run.events if e.decision]
        figure.canvas.draw()
        pyplot.close(figure)
    values = grow(parse_spec(DIABETES.replace("name: progress", "name: $x$_1$")), device="cpu").plot()
    assert [axis.get_ylabel() for axis in values.axes] == ["loss", "parameters"]
    values.canvas.draw()
    pyplot.close(values)


def test_steps_that_took_neurons_out_have_a_colour_and_a_name_of_their_own(run: Run) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    first, *_ = [event for event in run.events if event.decision]
    pruned = replace(first, decision=replace(first.decision, kind="prune"))
    axis = plot_run("x", run.epochs, (first, pruned, pruned)).axes[0]
    grown, removed, again = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert (grown.get_color(), removed.get_color()) == (style.GROWN, style.REMOVED)
    assert (grown.get_label(), removed.get_label()) == ("growth step", "pruning step")
    assert again.get_label().startswith("_"), "named once in the legend"
    pyplot.close("all")


def test_epochs_are_those_of_the_journal_also_after_resuming(run: Run, tmp_path: Path) -> None:
    def crash(progress: object) -> None:
        if progress.epoch == 2:  # type: ignore[attr-defined]
            raise BrokenOffError

    assert run.epochs == load_run(run.path or "").epochs
    with pytest.raises(BrokenOffError):
        grow(iris(), out=tmp_path / "run", device="cpu", on_progress=crash)
    assert resume(tmp_path / "run").epochs == run.epochs


def test_without_matplotlib_or_epochs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RunError, match=r"matplotlib is missing: pip install 'gromo_graph\[plot\]'"):
        run.plot()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_curves_widths_and_drawings(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with TensorBoardWriter(tmp_path) as writer:
        run = grow(iris(), device="cpu", on_progress=writer)
    found = accumulator.EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    found.Reload()
    values = {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert values["loss/validation"] == [
        (e.epoch, pytest.approx(e.validation["loss"], rel=1e-5)) for e in run.epochs
    ]
    assert values["parameters"][-1] == (4, run.network.graph.parameter_count)
    assert values["width/hidden"][-1][1] == run.network.graph.features("hidden")
    assert [e.step for e in found.Images("network")] == [e.step for e in run.events if e.decision]
    assert found.Images("network")[0].encoded_image_string[:4] == b"\x89PNG"


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RunError, match=r"TensorBoard is missing: pip install 'gromo_graph\[tensorboard\]'"):
        TensorBoardWriter(tmp_path)


NASTY = "<script>alert(1)</script>"


def test_a_plan_is_a_table() -> None:
    candidates = (
        Candidate("widen", NASTY, neurons=2, slope=0.25, predicted=0.5, delta_parameters=7, delta_madds=6),
        Candidate("new_edge", "a->b", reason=f"no way & {NASTY}"),
    )
    html = Plan(candidates, samples=1234, memory=10)._repr_html_()
    assert html is not None
    root = ElementTree.fromstring(f"<div>{html}</div>")
    assert root.findtext("p") == "2 candidates, measured on 1,234 samples"
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    assert rows[1][:5] == ["widen", NASTY, "2", "0.25", "0.5"]
    assert rows[2] == ["new edge", "a->b", *[""] * 5, f"no way & {NASTY}"]


@pytest.mark.parametrize("event", [WIDENED, NOTHING])
def test_an_event_tells_what_it_did(event: GrowthEvent) -> None:
    html = event._repr_html_()
    assert html is not None
    assert "<both>" not in html
    root = ElementTree.fromstring(f"<div>{html}</div>")
    words = " ".join(root.itertext())
    assert event.reason in words
    assert len(list(root.iter("tr"))) == (len(event.candidates) + 1 if event.candidates else 0)


def test_an_event_has_its_drawing(run: Run) -> None:
    html = run.events[0]._repr_html_()
    assert html is not None
    assert html.count("<svg") == 1


class _Client:
    """The functions of MLflow that MLflowWriter calls."""

    calls: ClassVar[list[Any]] = []

    def __init__(self, store: str) -> None:
        assert store.startswith("sqlite:///")

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"place of {name}"

    def create_run(self, place: str, run_name: str | None) -> Any:
        self.calls.append((place, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="7"))

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        self.calls.append((name, value, step))

    def set_terminated(self, run: str, status: str) -> None:
        self.calls.append(status)


def test_mlflow_and_wandb_get_the_numbers_of_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []
    tracked = SimpleNamespace(
        log=lambda values, step: logged.append((step, values)),
        finish=lambda exit_code: logged.append(exit_code),
    )
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=_Client))
    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=lambda **given: logged.append(given) or tracked)
    )
    with MLflowWriter(tmp_path / "a", name="first") as mlflow, WandbWriter(tmp_path / "b") as wandb:

        def both(progress: Progress) -> None:
            mlflow(progress)
            wandb(progress)

        run = grow(iris(), device="cpu", on_progress=both)
    began, *numbers, ended = _Client.calls
    assert (began, ended) == (("place of gromo_graph", "first"), "FINISHED")
    losses = [(epoch.validation["loss"], epoch.epoch) for epoch in run.epochs]
    assert [(value, step) for name, value, step in numbers if name == "loss/validation"] == losses
    options, *epochs, code = logged
    assert (options["mode"], code) == ("offline", 0)
    assert [(values["loss/validation"], step) for step, values in epochs] == losses
    assert epochs[-1][1]["width/hidden"] == run.network.graph.features("hidden")


@pytest.mark.parametrize(("writer", "module"), [(MLflowWriter, "mlflow"), (WandbWriter, "wandb")])
def test_without_a_tracker(writer: Any, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RunError, match=rf"is missing: pip install 'gromo_graph\[{module}\]'"):
        writer(tmp_path)
