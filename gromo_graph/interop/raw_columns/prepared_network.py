"""A network behind the preparation of its data: raw columns in, classes and probabilities or values out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.several_inputs import InputForm, parted, slices
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn, EncodedColumn
from gromo_graph.run.judging.probabilities import EVEN


class PreparedNetwork(torch.nn.Module):
    """A network in evaluation mode with the two halves of its preparation around it.

    Its inputs are the columns of a table, (samples,) each, as `EncodedColumn.read` gives them; of a run without a table
    they are the raw samples, (samples, *shape), of each input. Numbers are float64, until the network computes in its
    own precision.

    Args:
        network: stays as it is. preparation: of its data.
        threshold: the probability of the second of two classes above which it is predicted.
    """

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, network: GrowingNetwork, preparation: Preparation, threshold: float = EVEN) -> None:
        super().__init__()
        self.plain = network.to_torch()
        self.preparation, self.threshold = preparation, threshold
        for name in ("mean", "scale", "target_mean", "target_scale"):
            self.register_buffer(name, torch.tensor(getattr(preparation, name), dtype=torch.float64))

    @property
    def columns(self) -> tuple[EncodedColumn, ...]:
        """The columns that are read; none of a run without a table."""
        table = self.preparation.table
        return () if table is None else table.columns

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        columns = tuple(column.name for column in self.columns)
        return columns or tuple(form.name for form in self.preparation.several_inputs) or ("x",)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return {
            "classification": ("prediction", "probabilities"),
            "labels": ("probabilities",),
            "regression": ("prediction",),
        }[self.preparation.task]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of samples by `output_names`.

        Returns:
            For classes their places (samples,) and their probabilities (samples, classes) in float64; for several
            labels the probability of each; for numbers values in their unit, (samples,) or (samples, outputs).
        """
        table, shape = self.preparation.table, self.preparation.shape
        flat = [each.flatten(1) for each in inputs] if table is None else [table.encode(inputs)]
        samples = ((torch.cat(flat, dim=1) - self.mean) / self.scale).to(next(self.plain.parameters()).dtype)
        several = self.preparation.several_inputs
        output = self.plain(*inputs_of(parted(samples, several) if several else samples.reshape(-1, *shape)))
        (scores,) = output.values() if isinstance(output, dict) else (output,)
        return self.judged(scores.double())

    def judged(self, scores: Tensor) -> tuple[Tensor, ...]:
        """The prediction for the outputs of the network, (samples, outputs) in float64."""
        match self.preparation.task:
            case "classification":
                return self._class(scores), torch.softmax(scores, dim=1)
            case "labels":
                return (torch.sigmoid(scores),)
            case _:
                values = scores * self.target_scale + self.target_mean
                return (values[:, 0] if self.preparation.outputs == 1 else values,)

    def examples(self, samples: int, *, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of which every kind of cell is one: gaps and unseen categories too."""
        random = np.random.RandomState(seed)
        if self.columns:
            starts = np.cumsum([0, *(len(column.features) for column in self.columns)]).tolist()
            return tuple(
                _cells(column, self.preparation.scale[start], samples, random)
                for column, start in zip(self.columns, starts, strict=False)
            )
        of_one = InputForm("", self.preparation.shape, self.preparation.vocabulary)
        forms = self.preparation.several_inputs or (of_one,)
        found = []
        for form, own in zip(forms, slices(forms), strict=True):
            if form.vocabulary is not None:
                values = random.randint(0, form.vocabulary, (samples, form.size)).astype(np.float64)
            else:
                mean, scale = self.preparation.mean[own], self.preparation.scale[own]
                values = random.normal(mean, scale, (samples, form.size))
            found.append(torch.from_numpy(values).reshape(-1, *form.shape))
        return tuple(found)

    def _class(self, scores: Tensor) -> Tensor:
        """As `chosen_classes`."""
        if self.threshold == EVEN or scores.shape[1] != 2:
            return scores.argmax(dim=1)
        return (torch.softmax(scores, dim=1)[:, 1] > self.threshold).long()


def _cells(column: EncodedColumn, spread: float, samples: int, random: np.random.RandomState) -> Tensor:
    if isinstance(column, CategoryColumn):
        known = [*range(len(column.categories)), column.unseen, column.gap]
        return torch.from_numpy(random.choice(known, samples).astype(np.int64))
    values = column.fill + spread * random.normal(size=samples)
    values[random.rand(samples) < 0.2] = np.nan
    return torch.from_numpy(values)


def any_batch(inputs: Sequence[Tensor]) -> tuple[dict[int, torch.export.Dim], ...]:
    """The dynamic shapes of inputs that have as many samples as each other."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in inputs)
