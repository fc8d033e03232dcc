"""The steps of a run as files, and as an animation."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gromo_graph import RenderError, RunError, render_steps
from gromo_graph.render import render
from gromo_graph.spec import dump_spec
from tests.render.samples import RESIDUAL, Picture, write_journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    last = write_journal(folder / "journal.jsonl", groups=(("stem", "mix"), (), ("lift",)))
    (folder / "spec.yaml").write_text(dump_spec(last), encoding="utf-8")
    return folder


def test_a_file_for_each_step(run: Path, tmp_path: Path) -> None:
    paths = render_steps(run, tmp_path / "a" / "steps", theme="dark")
    assert [path.name for path in paths] == ["000.svg", "001.svg", "002.svg"]
    pictures = [Picture(path.read_text()) for path in paths]
    assert "stem, mix: +4 features" in pictures[1].texts
    assert "lift: +4 features" in pictures[2].texts
    sizes = {path.read_text().split("viewBox=", 1)[1].split(">", 1)[0] for path in paths}
    assert len(sizes) == 1
    assert [path.suffix for path in render_steps(run, tmp_path / "dots", format="dot")] == [".dot"] * 3


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_an_animation(run: Path, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"growth.{format}"
    assert render(run, path, seconds=0.25) == path
    with Image.open(path) as moving:
        assert moving.n_frames == 3  # type: ignore[attr-defined]
        shown = []
        frames = []
        for number in range(3):
            moving.seek(number)
            moving.load()
            shown.append(moving.info["duration"])
            frames.append(moving.convert("RGB").tobytes())
    assert shown == [250, 250, 750]
    assert len(set(frames)) == 3


def test_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="a Spec has no steps to draw: expected a run"):
        render(RESIDUAL, tmp_path / "x.gif")
    with pytest.raises(RunError, match="this is no run"):
        render_steps(tmp_path, tmp_path / "steps")
    with pytest.raises(RenderError, match=r"expected 0\.02 to 60"):
        render(run, tmp_path / "x.gif", seconds=0)
    with pytest.raises(RenderError, match="steps are drawn as svg, png, pdf or dot, found gif"):
        render_steps(run, tmp_path / "steps", format="gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(RenderError, match="the folder cannot be made"):
        render_steps(run, tmp_path / "file" / "steps")
