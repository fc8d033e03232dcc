"""A run in MLflow or Weights & Biases: its curves, the width of every layer, and its results."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gromo_graph.arguments import checked
from gromo_graph.errors import RunError
from gromo_graph.run.tensorboard import scalars_of

if TYPE_CHECKING:
    from gromo_graph.run.epoch_progress import Progress

_NO_NAME = re.compile(r"[^\w\-./ ]")  # characters that MLflow refuses in the name of a metric


@checked
class MLflowWriter:
    """Writes a run of MLflow; give it to `grow` as `on_progress`. A context manager.

    Args:
        folder: of the store, a SQLite file in it. experiment, name: of the run in it; None for those of MLflow.

    Raises:
        RunError: MLflow is not installed.

    >>> from gromo_graph import grow, load_spec
    >>> with MLflowWriter("mlruns", experiment="churn") as writer:  # doctest: +SKIP
    ...     grow("my.yaml", on_progress=writer)
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, experiment: str = "gromo_graph", name: str | None = None
    ) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise RunError("MLflow is missing: pip install 'gromo_graph[mlflow]'") from error
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._client = mlflow.MlflowClient(f"sqlite:///{(Path(folder) / 'mlflow.db').resolve()}")
        known = self._client.get_experiment_by_name(experiment)
        place = self._client.create_experiment(experiment) if known is None else known.experiment_id
        self._run = self._client.create_run(place, run_name=name).info.run_id

    def __enter__(self) -> MLflowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.set_terminated(self._run, "FINISHED" if kind is None else "FAILED")

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        for name, value in scalars_of(progress).items():
            self._client.log_metric(self._run, _NO_NAME.sub("_", name), value, step=progress.epoch)


@checked
class WandbWriter:
    """Writes a run of Weights & Biases; give it to `grow` as `on_progress`. A context manager.

    Args:
        folder: for its files. project, name: of the run; None for a name of its own.
        online: whether it is sent at once; else `wandb sync` sends it later.

    Raises:
        RunError: wandb is not installed.

    >>> from gromo_graph import grow, load_spec
    >>> with WandbWriter("logs") as writer:  # doctest: +SKIP
    ...     grow("my.yaml", on_progress=writer)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        project: str = "gromo_graph",
        name: str | None = None,
        online: bool = False,
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise RunError("Weights & Biases is missing: pip install 'gromo_graph[wandb]'") from error
        Path(folder).mkdir(parents=True, exist_ok=True)
        mode = "online" if online else "offline"
        self._run: Any = wandb.init(dir=os.fspath(folder), project=project, name=name, mode=mode)

    def __enter__(self) -> WandbWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.finish(exit_code=int(kind is not None))

    def __call__(self, progress: Progress) -> None:
        """An epoch is over."""
        self._run.log(scalars_of(progress), step=progress.epoch)
