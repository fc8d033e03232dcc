"""A run as TensorBoard shows it: its curves, the width of every layer, and the drawing after each step."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from gromo_graph.arguments import checked
from gromo_graph.errors import RenderError, RunError
from gromo_graph.records import GrowthEvent
from gromo_graph.render.drawing.dot import to_dot
from gromo_graph.render.drawing.graphviz import draw
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.spec import Spec

if TYPE_CHECKING:
    from gromo_graph.run.epoch_progress import Progress

_DPI = 72


def scalars_of(progress: Progress) -> dict[str, float]:
    """The numbers of an epoch by their names: measures, parameters, widths, and those of its last growth step."""
    scalars: dict[str, float | None] = {"parameters": progress.parameters}
    for part in ("train", "validation"):
        scalars |= {f"{name}/{part}": value for name, value in getattr(progress, part).items()}
    scalars |= {f"width/{name}": width for name, width in progress.features.items()}
    for event in progress.events:
        if event.decision is not None:
            scalars |= {"growth/gamma": event.gamma, "growth/slope": event.slope}
    return {name: value for name, value in scalars.items() if value is not None}


@checked
class TensorBoardWriter:
    """Writes event files; give it to `grow` as `on_progress`. A context manager.

    Args:
        folder: for the event files.

    Raises:
        RunError: TensorBoard is not installed, or the folder cannot be written to.

    >>> from gromo_graph import grow, load_spec
    >>> with TensorBoardWriter("logs") as writer:  # doctest: +SKIP
    ...     grow("my.yaml", on_progress=writer)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise RunError("TensorBoard is missing: pip install 'gromo_graph[tensorboard]'") from error
        self._folder = Path(folder)
        with self._writing():
            self._writer = SummaryWriter(os.fspath(folder))

    def __enter__(self) -> TensorBoardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writing():
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self._folder}: no event files can be written here: {error.strerror or error}; choose another "
                "--tensorboard, or leave it out"
            ) from error

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        for event, spec in zip(progress.events, progress.specs, strict=True):
            if event.decision is not None:
                self._draw(event, spec)
        with self._writing():
            for name, number in scalars_of(progress).items():
                self._writer.add_scalar(name, number, progress.epoch)
            self._writer.flush()

    def _draw(self, event: GrowthEvent, spec: Spec) -> None:
        """A network that cannot be drawn is no reason to lose its training."""
        from PIL import Image

        from gromo_graph.graph import build_graph

        try:
            png = draw(to_dot(build_graph(spec), event, options=DrawingOptions()), "png", dpi=_DPI)
        except RenderError:
            return
        image = Image.open(io.BytesIO(png)).convert("RGB")
        self._writer.add_image("network", np.asarray(image), event.step, dataformats="HWC")
