"""The public function: what it takes, what it writes, what it refuses."""

from __future__ import annotations

import importlib
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import gromo_graph
from gromo_graph.errors import GraphError, RenderError, RunError, SpecError
from gromo_graph.graph import build_graph
from gromo_graph.records import GrowthEvent
from gromo_graph.render import render
from gromo_graph.render.drawing import graphviz
from gromo_graph.spec import Spec, dump_spec
from gromo_graph.spec.kinds import Linear
from tests.render.samples import NOTHING, RESIDUAL, WIDENED, Picture, write_journal


@dataclass
class HasSpec:
    spec: Spec
    events: tuple[GrowthEvent, ...] = ()


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(dump_spec(RESIDUAL), encoding="utf-8")
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    last = write_journal(folder / "journal.jsonl", groups=(("stem", "mix"), ("lift",), ()))
    (folder / "spec.yaml").write_text(dump_spec(last), encoding="utf-8")
    return folder


def test_a_spec_a_graph_a_file_and_what_has_a_spec_give_the_same(spec_file: Path) -> None:
    expected = render(RESIDUAL)
    assert render(build_graph(RESIDUAL)) == expected
    assert render(HasSpec(RESIDUAL)) == expected
    assert render(spec_file) == expected
    assert render(str(spec_file)) == expected


def test_a_run_is_drawn_with_its_last_applied_step(run_folder: Path) -> None:
    picture = Picture(render(run_folder))
    assert "lift: +4 features" in picture.texts
    assert picture["lift->mix"].texts == ("12 → 16",)
    assert "+4 features" in picture["lift"].texts
    assert "+4 features" not in picture["stem"].texts


def test_a_run_in_memory_too() -> None:
    assert "+4 features" in Picture(render(HasSpec(RESIDUAL, (WIDENED, NOTHING))))["stem"].texts
    assert any("nothing applied" in text for text in Picture(render(HasSpec(RESIDUAL, (NOTHING,)))).texts)


def test_an_event_that_is_given_wins(run_folder: Path) -> None:
    assert "+4 features" in Picture(render(run_folder, event=WIDENED))["stem"].texts


def test_a_run_that_has_no_journal_yet_is_drawn(run_folder: Path) -> None:
    (run_folder / "journal.jsonl").unlink()
    assert "grown" not in render(run_folder)


@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<svg"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph {")]
)
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"x.{suffix}"
    assert render(RESIDUAL, path, event=WIDENED) == path
    assert path.read_bytes().startswith(start)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "nothing is left beside it"


def test_a_format_that_is_given_wins_over_the_suffix(tmp_path: Path) -> None:
    assert render(RESIDUAL, tmp_path / "x.txt", format="svg").read_bytes().startswith(b"<svg")
    assert render(RESIDUAL, format="dot").startswith("digraph")


def test_bitmaps_are_the_same_bytes_each_time() -> None:
    from gromo_graph.render.drawing.dot import to_dot

    drawing = to_dot(build_graph(RESIDUAL))
    assert graphviz.draw(drawing, "png") == graphviz.draw(drawing, "png")


def test_a_picture_too_large_for_a_bitmap_is_drawn_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphviz, "_MAX_SIDE", 300)
    width = int.from_bytes(render(RESIDUAL, tmp_path / "x.png").read_bytes()[16:20], "big")
    assert 200 < width <= 310


@pytest.mark.parametrize("path", ["x.jpg", "x", "x.svg.gz"])
def test_an_unknown_format_is_refused_with_those_there_are(tmp_path: Path, path: str) -> None:
    with pytest.raises(RenderError, match="svg, png, pdf, dot"):
        render(RESIDUAL, tmp_path / path)
    with pytest.raises(RenderError, match="unknown format 'jpg': expected one of svg, png, pdf, dot"):
        render(RESIDUAL, format="jpg")
    assert not list(tmp_path.iterdir())


def test_bytes_are_no_text() -> None:
    with pytest.raises(RenderError, match="a png is no text: give the path"):
        render(RESIDUAL, format="png")


def test_a_missing_folder_a_folder_in_the_way_and_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RenderError, match=r"x\.svg: the drawing cannot be written: No such file"):
        render(RESIDUAL, tmp_path / "gone" / "x.svg")
    (tmp_path / "dir.svg").mkdir()
    with pytest.raises(RenderError, match=r"dir\.svg: the drawing cannot be written: Is a directory"):
        render(RESIDUAL, tmp_path / "dir.svg")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "old.svg").write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RenderError, match="No space left"):
        render(RESIDUAL, tmp_path / "old.svg")
    assert (tmp_path / "old.svg").read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dir.svg", "old.svg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RenderError, match="Permission denied"):
        render(RESIDUAL, tmp_path / "x.svg")


def test_the_file_has_the_rights_that_new_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    path = render(RESIDUAL, tmp_path / "x.svg")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(RenderError, match="cannot draw int: expected a spec, a network, a run"):
        render(3)
    with pytest.raises(SpecError, match=r"gone\.yaml"):
        render(tmp_path / "gone.yaml")
    with pytest.raises(RenderError, match=r"this is no run: it holds no spec\.yaml"):
        render(tmp_path)
    with pytest.raises(GraphError, match="`y` reads `x`, which does not exist"):
        render(Spec("broken", {"y": Linear(sources=("x",), features=2)}, ("y",)))
    (run_folder / "journal.jsonl").write_text("{}\n")
    with pytest.raises(RunError, match=r"journal\.jsonl:1: damaged line"):
        render(run_folder)


def test_graphviz_says_why_it_refused() -> None:
    from gromo_graph.render.drawing.dot import Drawing

    with pytest.raises(RenderError, match="Graphviz could not draw the graph as svg"):
        graphviz.draw(Drawing("digraph {", "t", "d", "right", {}), "svg")


def test_the_module_and_the_function_are_one() -> None:
    module = importlib.import_module("gromo_graph.render")
    assert module(RESIDUAL) == render(RESIDUAL)
    assert gromo_graph.render(RESIDUAL) == render(RESIDUAL)


def in_a_new_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "first", ["import gromo_graph.render.drawing.graphviz", "import gromo_graph.render", "import gromo_graph"]
)
def test_it_can_be_called_whatever_was_imported_first(first: str, spec_file: Path) -> None:
    done = in_a_new_process(f"{first}\nimport gromo_graph\nprint(gromo_graph.render({str(spec_file)!r})[:4])")
    assert (done.returncode, done.stdout) == (0, "<svg\n"), done.stderr


def test_drawing_imports_neither_torch_nor_what_it_does_not_need(spec_file: Path) -> None:
    done = in_a_new_process(
        "import sys, gromo_graph\n"
        f"gromo_graph.render({str(spec_file)!r}, {str(spec_file.with_suffix('.png'))!r})\n"
        "print([name for name in ('torch', 'jinja2', 'PIL', 'numpy', 'scipy', 'sklearn', 'rich', 'ruamel.yaml')"
        " if name in sys.modules])"
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert done.stderr == "", "Graphviz's and fontconfig's own words are caught"


def test_the_words_of_others_on_stderr_are_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from gromo_graph.render.drawing.stderr import caught

    with caught() as said:
        os.write(2, b"Fontconfig warning: noise\nnot yours\n")
    assert said == ["Fontconfig warning: noise"]
    assert capfd.readouterr().err == "not yours\n"
