"""Following a run: the panel of a terminal, plain lines, and the log file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from gromo_graph import grow
from gromo_graph.cli.progress import Panel, Several
from gromo_graph.run.epoch_progress import Progress, Watcher, pace
from gromo_graph.run.speed import Speed
from tests.cli.test_verbs import call
from tests.run.specs import IRIS, iris


def shown(panel: Panel) -> str:
    """The panel as text."""
    console = Console(width=120)
    with console.capture() as capture:
        console.print(panel)
    return capture.get()


def test_the_panel_shows_the_work_of_the_moment_and_the_time_that_is_left() -> None:
    panel, seen = Panel("small"), []

    class Following:
        def __call__(self, progress: Progress) -> None:
            assert progress.speed.samples_per_second is not None
            assert progress.speed.seconds > 0.0
            assert (progress.speed.seconds_left == 0.0) == (progress.epoch == progress.epochs)

        def doing(self, words: str) -> None:
            seen.append((words, shown(panel)))

    assert "reading the data" in shown(panel)
    assert isinstance(Several([panel]), Watcher)
    grow(iris(train__epochs="2", growth__when__until="1.0"), on_progress=Several([panel, Following()]))
    words = [each for each, _ in seen]
    assert words[:3] == ["batch 1 of 3", "batch 2 of 3", "batch 3 of 3"]
    assert "statistics 1 of 3 batches" in words
    assert any(re.search(r"now +slopes \d of 3 batches", text) for _, text in seen[6:])
    assert re.search(r"epoch 1/2 +[\d,]+ samples/s, under 1 s left", seen[-1][1])
    assert re.search(r"growth +epoch 1, step 1: hidden: \+2 features", seen[-1][1])
    assert "measuring the results" in shown(panel)


def test_a_watcher_that_is_a_function_is_called_after_each_epoch_alone() -> None:
    seen: list[Progress] = []
    grow(iris(train__epochs="2"), on_progress=Several([seen.append]))
    assert [progress.epoch for progress in seen] == [1, 2]


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (Speed(1.0, 12345.6, 3725.0), "12,300 samples/s, 1 h 2 min left"),
        (Speed(1.0, None, 59.7), "1 min 0 s left"),
    ],
)
def test_pace_in_words(speed: Speed, words: str) -> None:
    progress = Progress(1, 3, {}, {}, 9, {}, (), (), None, speed)
    assert pace(progress) == words


def test_progress_is_printed_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    grow(iris(train__epochs="2"), on_progress=print)
    first, second = capsys.readouterr().out.splitlines()
    assert re.match(
        r"epoch 1/2: training loss [\d.]+, accuracy .*; [\d,]+ parameters; hidden \d+; .* left$", first
    )
    assert second.startswith("epoch 2/2: ")


def test_log_has_every_epoch_and_step_with_the_time_also_if_nothing_is_shown(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(IRIS)
    log = tmp_path / "run.log"
    options = ("--out", tmp_path / "run", "--log", log, "--quiet")
    result = call("grow", tmp_path / "small.yaml", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    assert [line for line in lines if "epoch 2/4: training loss" in line]
    assert [line for line in lines if re.search(r"epoch 1, step 1: hidden: .*; 11 → \d+ parameters", line)]
    assert lines[-1].endswith("done")
    assert call("grow", tmp_path / "small.yaml", *options, "--set", "train.data=nowhere.csv").exit_code
    assert (
        call("grow", tmp_path / "small.yaml", *options, "--force", "--set", "train.epochs=1").exit_code == 0
    )
    more = log.read_text().splitlines()
    assert more[: len(lines)] == lines
    assert "epoch 1/1" in more[-2]


@pytest.mark.filterwarnings("default")
def test_log_tells_warnings_and_errors(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(IRIS)
    log = tmp_path / "run.log"
    sets = [
        "--set",
        "train.optimizer.lr=1e30",
        "--set",
        "train.optimizer.name=sgd",
        "--set",
        "train.retries=1",
    ]
    result = call("grow", tmp_path / "small.yaml", "--out", tmp_path / "run", "--log", log, *sets)
    assert result.exit_code == 1
    text = log.read_text()
    assert "is done again at half the learning rate" in text
    assert " warning: " in text
    assert " error: " in text.splitlines()[-1]


def test_the_budget_that_the_data_set_is_the_first_line(tmp_path: Path) -> None:
    open_spec = IRIS.replace("growth: {when: {every: 1, until: 0.75}, neurons: {per_step: 2}}\n", "")
    (tmp_path / "small.yaml").write_text(open_spec)
    log, out = tmp_path / "run.log", tmp_path / "run"
    options = ("--out", out, "--force", "--set", "train.epochs=1", "--json")
    words = "budget: 900 parameters, 10 for each of 90 training samples (`growth.stop.parameters_per_sample`)"
    result = call("grow", tmp_path / "small.yaml", *options, "--log", log)
    assert result.stderr.splitlines()[0] == words
    assert "budget:" not in result.stdout
    assert sum(line.endswith(words) for line in log.read_text().splitlines()) == 1
    quiet = call("grow", tmp_path / "small.yaml", *options, "--quiet")
    assert (quiet.stderr, quiet.stdout) == ("", result.stdout)


def test_the_panel_shows_the_budget_that_the_data_set() -> None:
    panel, seen = Panel("small"), []
    grow(
        iris(growth="{stop: {parameters_per_sample: 2}}", train__epochs="1"),
        on_progress=Several([panel, lambda _: seen.append(shown(panel))]),
    )
    assert re.search(r"budget +180 parameters, 2 for each of 90 training samples", seen[0])


def test_log_that_cannot_be_written_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(IRIS)
    result = call(
        "grow", tmp_path / "small.yaml", "--out", tmp_path / "run", "--log", tmp_path / "no" / "x.log"
    )
    assert result.exit_code == 1
    assert "x.log: No such file or directory" in result.stderr
    assert not (tmp_path / "run").exists()


def test_pick_tells_each_network_in_one_line(tmp_path: Path) -> None:
    grow(iris(), out=tmp_path / "run", seed=5, device="cpu")
    result = call("pick", tmp_path / "run", "--within", "900%", "--out", tmp_path / "small")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("training the network after step ") for line in lines)
    words = " ".join(result.stdout.split())
    assert "growth ended picked: after step 0 of 3 this is the smallest network" in words
