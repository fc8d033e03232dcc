"""Run: a network that grew, what happened to it, and what it can be used for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gromo_graph.arguments import checked
from gromo_graph.display import Displayed, printed
from gromo_graph.errors import RunError
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import evaluation_mode, inputs_of
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch
from gromo_graph.records.sizes import Size, sizes_of
from gromo_graph.run.data.batches import batches_of
from gromo_graph.run.data.frames import is_frame, read_frame
from gromo_graph.run.data.held_out import with_validation
from gromo_graph.run.data.image_sets.images import read_images
from gromo_graph.run.data.image_sets.torchvision_sets import is_torchvision, read_torchvision
from gromo_graph.run.data.load_data import of_loaders
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.prepare_data import Data, as_parts, prepare
from gromo_graph.run.data.raw import Array, Raw, check_finite, raw_from
from gromo_graph.run.data.samples import Samples
from gromo_graph.run.data.several_inputs import parted, with_several_inputs
from gromo_graph.run.data.sources import Source, find_source, is_place, read_source
from gromo_graph.run.data.tables.reading import rows_of_frame
from gromo_graph.run.data.tables.sources import is_table, rows_of
from gromo_graph.run.data.text import read_text
from gromo_graph.run.folder.run_folder import RunFolder
from gromo_graph.run.judging.measures import Judge, Measures, judge_of
from gromo_graph.run.judging.predictions import predictions_of
from gromo_graph.run.judging.probabilities import EVEN
from gromo_graph.run.run_plot import plot_run
from gromo_graph.run.training.objective import joined_outputs, prepared_objective
from gromo_graph.spec import Spec
from gromo_graph.spec.data_sections import ImageData, TextData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH = 4096
NOT_MEASURED: Mapping[str, None] = {"loss": None, "accuracy": None}
OWN_PARTS = ("train", "validation", "test")
_ENDING = ("stopped", "kept_epoch")


@checked
@dataclass(frozen=True, eq=False)
class Run(Displayed):
    """A run, finished or not. `grow` makes it, `load_run` finds it again.

    Attributes:
        network: as it now stands.
        events: every growth step tried.
        preparation: how raw data are read.
        fingerprint: of the data it was trained on.
        results: steps, reason, and the measures of each part.
        epochs: what was measured after each.
        path: the run folder; None for a run in memory.
        data: the data of its training, where they are in memory.
    """

    network: GrowingNetwork
    events: tuple[GrowthEvent, ...]
    preparation: Preparation
    fingerprint: str
    results: Mapping[str, Any] = field(repr=False)
    epochs: tuple[Epoch, ...] = field(default=(), repr=False)
    path: Path | None = None
    data: Data | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"{self.spec.name}\n{printed(self.summary, 'summary_text')}"

    @property
    def spec(self) -> Spec:
        """The spec as the network now stands."""
        return self.network.spec

    @property
    def summary(self) -> dict[str, Any]:
        """`run`, `steps` (growth steps applied), `reason` (why growth ended), `parameters`, and for `train`,
        `validation` and `test` the `loss`, the `accuracy` (None for regression, or if not measured) and the other
        measures of the task (`Judge.measures`). If there is such: why the training `stopped` early, the `kept_epoch`
        with the best weights, the `threshold` that was tuned, and `notes`."""
        return {
            "run": None if self.path is None else str(self.path),
            "steps": self.results["steps"],
            "reason": self.results["reason"],
            "parameters": self.network.graph.parameter_count,
            **{part: dict(self.results[part]) for part in OWN_PARTS},
            **{name: self.results[name] for name in _ENDING if self.results.get(name) is not None},
            **({"threshold": tuned} if (tuned := self.results.get("threshold")) else {}),
            **({"notes": list(notes)} if (notes := self.results.get("notes")) else {}),
        }

    def plot(self) -> Figure:
        """Loss, accuracy and parameters over the epochs as a matplotlib figure, growth steps marked.

        Raises:
            RunError: matplotlib is not installed, or no epoch is over.
        """
        return plot_run(self.spec.name, self.epochs, self.events)

    def curve(self) -> tuple[Size, ...]:
        """The sizes at which the network was trained, smallest step first, with their held-out loss and accuracy.

        Only the last one was trained to the end, of a run that is over (`Size.to_the_end`).
        """
        is_over = self.path is None or RunFolder(self.path).is_over
        return sizes_of(self.epochs, self.events, is_over=is_over)

    def predict(self, x: Any) -> Any:
        """Predictions for raw samples, in the words and units of the data.

        Args:
            x: (samples, features), or (samples, *input shape), not standardised; of several inputs a map by name. The
                columns of a DataFrame are found by their names, if the network was trained on data with names. A run
                that reads a table (section `data` of its spec) takes a DataFrame, a map of columns, or a list of maps.
                A path is read as by `gromo-graph predict`.

        Returns:
            Class labels (samples,); of several labels 0 and 1 (samples, labels); for regression values (samples,) or
            (samples, outputs). Of a network with several outputs a dict of these by their names.

        Raises:
            RunError: the samples have another shape, or are not finite.
        """
        scores, several = self.scores(x), self.preparation.several
        if not several:
            return self.preparation.labels(scores, self.threshold)
        parts = scores.split([form.outputs for form in several], dim=1)
        return {form.name: form.labels(part) for form, part in zip(several, parts, strict=True)}

    @property
    def threshold(self) -> float:
        """The probability of the second of two classes above which it is predicted; 0.5 until it is tuned."""
        written = self.spec.train.threshold
        fixed = EVEN if written == "tuned" else written
        return float(self.results.get("threshold") or fixed)

    @property
    def judge(self) -> Judge:
        """The judge of the network's predictions."""
        return judge_of(self.preparation, self.threshold)

    def probabilities(self, x: Any) -> Array:
        """The probability of each class or label, (samples, classes), in the order of `preparation.classes`.

        Raises:
            RunError: as `predict`; or the run is a regression.
        """
        if self.preparation.task == "regression":
            raise RunError("a regression has no probabilities: ask for predict(x)")
        if self.preparation.several:
            raise RunError(
                "a network with several outputs has no one probability: ask for predict(x) or scores(x)"
            )
        scores = self.scores(x).double()
        of_labels = self.preparation.task == "labels"
        found: Array = (scores.sigmoid() if of_labels else scores.softmax(dim=1)).cpu().numpy()
        return found

    def scores(self, x: Any) -> Tensor:
        """The outputs of the network itself for raw samples, (samples, outputs): logits, or standardised values.

        Several outputs stand side by side.
        """
        table = self.preparation.table
        if is_place(x):
            raw = self.read(x, target=False)
        elif table is not None and not isinstance(x, Raw):
            raw = table.raw(rows_of_frame(x, "x"), self.preparation.task, target=False)
        elif is_frame(x):
            raw = read_frame(x, name="x", target=False, **self._columns())
        else:
            raw = replace(x, y=None) if isinstance(x, Raw) else self._samples(x)
        check_finite(raw)
        inputs, forms = self.preparation.raw_inputs(raw), self.preparation.several_inputs
        device = next(self.network.parameters()).device
        with torch.no_grad(), evaluation_mode(self.network):
            rows = [
                joined_outputs(self.network(*inputs_of(parted(batch.to(device), forms))))
                for batch in torch.split(inputs, _BATCH)
            ]
        return torch.cat(rows)

    def _samples(self, x: Any) -> Raw:
        """Samples that are arrays; of several inputs a map by their names."""
        if self.preparation.several_inputs and isinstance(x, Mapping):
            return with_several_inputs("x", x, None)
        return raw_from("x", x, None)

    def evaluate(self, data: Source = None) -> Measures:
        """The loss and all measures of the task on data; of the run's own (None, or the same content) the test part.

        Raises:
            RunError: the data cannot be read, or do not fit the network.
        """
        parts = self.measure(data)
        return parts["test"] if "test" in parts else parts["all"]

    def measure(self, data: Source = None) -> dict[str, Measures]:
        """Evaluate by part: train, validation and test of the run's own data, or "all" of other data."""
        return {name: self._measure(part) for name, part in self.parts(data).items()}

    def samples(self, raw: Raw) -> Samples:
        """Raw data with targets, prepared for the network.

        Raises:
            RunError: they are not finite, or do not fit the network.
        """
        check_finite(raw)
        (part,) = as_parts(raw, self.preparation, (np.arange(len(raw.x)),))
        return part

    def parts(self, data: Source = None) -> dict[str, Samples]:
        """Train, validation and test of the run's own data (None, or the same content), or "all" of others, prepared.

        Raises:
            RunError: the data cannot be read, or do not fit the network.
        """
        if data is None and self.data is not None:
            return self.data.parts
        raw = self._read_own() if data is None else self._found(data)
        if not isinstance(raw, Raw):
            return of_loaders(raw, self.spec).parts
        if raw.fingerprint == self.fingerprint:
            return prepare(raw, self.spec, known=self.preparation).parts
        if data is None:
            raise RunError(f"{raw.name}: these are not the data of the run any more: give them with --data")
        return {"all": self.samples(raw)}

    def read(self, source: Source, *, trusted: bool = True, target: bool = True) -> Raw:
        """Read data as those of the run: the columns of a table are found by their names.

        Args:
            source: see `read_source`.
            trusted: may it be code?
            target: False leaves out a target that may be there.

        Raises:
            RunError: they cannot be read.
        """
        raw = self._of_section(source, target=target)
        if raw is None:
            raw = read_source(source, trusted=trusted, target=target, **self._columns())
        return raw

    def _found(self, source: Source) -> Raw | Mapping[str, Any]:
        raw = self._of_section(source, target=True)
        return find_source(source, **self._columns()) if raw is None else raw

    def _of_section(self, source: Source, *, target: bool) -> Raw | None:
        """Rows of a table, or images, as the section `data` of the run says; None of anything else."""
        table, section = self.preparation.table, self.spec.data
        if isinstance(section, TextData):
            length = self.preparation.shape[-1]
            return read_text(source, length, limit=section.limit) if is_place(source) else None
        if isinstance(section, ImageData):
            if is_torchvision(source):
                return read_torchvision(source, section)
            return read_images(Path(source), section, target=target) if is_place(source) else None
        if table is None or section is None or not is_table(source):
            return None
        rows = rows_of(source, section, other=True)
        for words in table.unseen(rows):
            warnings.warn(f"{rows.name}: {words}", stacklevel=4)
        return table.raw(rows, self.preparation.task, target=target)

    def _columns(self) -> dict[str, Any]:
        return {"known": self.preparation.features, "size": len(self.preparation.mean)}

    def _read_own(self) -> Raw:
        if self.path is None:
            raise RunError("the run keeps no data: give data")
        command = RunFolder(self.path).command()
        named, held_out = command.data, command.validation
        if named is None:
            raise RunError(f"{self.path}: the data of the run came from Python: give them with --data")
        try:
            raw = self.read(named, trusted=False)
            return raw if held_out is None else with_validation(raw, self.read(held_out, trusted=False))
        except RunError as error:
            raise RunError(f"{error}; where the data have moved, give them with --data") from error

    def _measure(self, part: Samples) -> Measures:
        device = next(self.network.parameters()).device
        objective = prepared_objective(self.spec.train, self.preparation, weighted=part.weighted)
        seen = predictions_of(self.network, objective, batches_of(part, _BATCH, device=device))
        return self.judge.measures(seen)
