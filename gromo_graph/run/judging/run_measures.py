"""The measures of a run's network on the parts of its data, after an epoch and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gromo_graph.growth.observe import Loader
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of
from gromo_graph.records.histograms import Histograms
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import Stream
from gromo_graph.run.histograms import histograms_of, samples_within_cost
from gromo_graph.run.judging.final import judged_run
from gromo_graph.run.judging.measures import Judge, Measures, judge_of
from gromo_graph.run.judging.predictions import Predictions, predictions_of
from gromo_graph.run.judging.probabilities import EVEN
from gromo_graph.run.run import NOT_MEASURED, OWN_PARTS
from gromo_graph.run.trainer import Means, evaluate
from gromo_graph.run.training.objective import Objective


@dataclass(frozen=True)
class RunMeasures:
    """Measures the network of a run as it stands.

    Attributes:
        data: of the run. batches: of each of its parts, to be measured on.
        processes: that make the run together.
    """

    network: GrowingNetwork
    loss: Objective
    data: Data
    batches: Mapping[str, Loader]
    processes: Processes

    def validation(self) -> Means | Measures:
        """The measures of the held-out data after an epoch: loss, accuracy, and those that the spec asks for."""
        train = self.network.spec.train
        watched = () if train.watch in ("loss", *train.metrics) else (train.watch,)
        wanted = (*train.metrics, *watched)
        if not wanted and self._judge().threshold == EVEN:
            return evaluate(self.network, self.loss, self.batches["validation"], processes=self.processes)
        found = self._judge().measures(self._predictions("validation"))
        return {name: found.get(name) for name in ("loss", "accuracy", *wanted)}

    def final(self) -> dict[str, Any]:
        """The judgement at the end: the measures of each part, None for a part that there is not, and notes."""
        judged = judged_run(
            self._predictions,
            [part for part in OWN_PARTS if part in self.batches],
            self._judge(),
            classes=self.data.preparation.classes,
            tune=self.network.spec.train.threshold == "tuned",
        )
        notes = (*self.data.notes, *judged.pop("notes", ()))
        return {**dict.fromkeys(OWN_PARTS, NOT_MEASURED), **judged, **({"notes": notes} if notes else {})}

    def histograms(self) -> Histograms:
        """Histograms of the weights, and of outputs for the first held-out samples unless a loader gives them."""
        inputs = None
        if not isinstance(self.data.parts["validation"], Stream):
            x, _ = next(iter(self.batches["validation"]))
            count = samples_within_cost(self.network)
            inputs = [each[:count] for each in inputs_of(x)]
        return histograms_of(self.network, inputs)

    def _predictions(self, part: str) -> Predictions:
        return predictions_of(self.network, self.loss, self.batches[part], processes=self.processes)

    def _judge(self) -> Judge:
        written = self.network.spec.train.threshold
        return judge_of(self.data.preparation, EVEN if written == "tuned" else written)
