"""GrowingEstimator: what the growing estimators of scikit-learn have in common."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gromo_graph.amounts import amount
from gromo_graph.graph import build_graph
from gromo_graph.interop.sizing import default_spec, default_widths, sized, spec_of, with_settings
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.run.data.frames import has_other_columns, is_frame
from gromo_graph.run.data.prepare_data import Data, as_parts, prepare
from gromo_graph.run.data.raw import Array, Raw, is_masked, raw_from
from gromo_graph.run.data.split import Split, hold_out
from gromo_graph.run.data.tables.learning import learn_rows
from gromo_graph.run.data.tables.reading import rows_of_frame
from gromo_graph.run.epoch_progress import Progress
from gromo_graph.run.folder.command import Command
from gromo_graph.run.resources import choose_device
from gromo_graph.run.run import Run
from gromo_graph.run.session import Start, in_memory
from gromo_graph.run.training.objective import joined_outputs
from gromo_graph.spec import Spec
from gromo_graph.spec.data_sections import TableData
from gromo_graph.spec.settings import When

_LARGEST_SEED = 2**31 - 1
_BATCH = 4096


@dataclass(frozen=True, eq=False)
class _Samples:
    """Checked samples.

    Attributes:
        name: what messages call them. x: (samples, features), or a DataFrame. y: class indices or values.
        weights: of the samples; None if all weigh the same. classes: their names; none of a regression.
    """

    name: str
    x: Any
    y: Array
    weights: Array | None
    classes: tuple[str, ...] = ()

    def raw(self, features: tuple[str, ...]) -> Raw:
        """The samples of an array as raw data."""
        return self.named(raw_from(self.name, self.x, self.y, features=features))

    def named(self, raw: Raw) -> Raw:
        """Raw data with these targets and weights."""
        return replace(raw, y=self.y.astype(np.float64), classes=self.classes, weights=self.weights)


class GrowingEstimator(BaseEstimator):  # type: ignore[misc]
    """The base of classifier and regressor."""

    network_: GrowingNetwork
    events_: tuple[GrowthEvent, ...]
    run_: Run

    def __init__(
        self,
        spec: Spec | str | os.PathLike[str] | None = None,
        *,
        hidden: Sequence[int] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        max_parameters: int | None = None,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.spec = spec
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.max_parameters = max_parameters
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _grown(self, samples: _Samples, *, outputs: int, loss: str) -> None:
        """Train and grow on checked samples.

        Args:
            samples: to train on. outputs, loss: of the spec.
        """
        seed = self._seed()
        parts = self._parts(samples, seed)
        if is_frame(samples.x):
            table = learn_rows(rows_of_frame(samples.x, samples.name), parts.train, self._columns())
            raw = samples.named(table.raw)
            spec = self._spec(raw.x.shape[1], outputs, loss)
            data = prepare(raw, spec, parts).of_table(table.encoding, table.notes)
        else:
            raw = samples.raw(self._feature_names())
            spec = self._spec(raw.x.shape[1], outputs, loss)
            data = prepare(raw, spec, parts)
        self._keep(self._run(Start(spec, data), seed))

    def _trained_on(self, samples: _Samples, *, outputs: int, loss: str) -> None:
        """One pass over checked samples, and one growth step, from the network as it stands.

        The first call begins as `fit` does; the later ones read samples as the first one.
        """
        if is_frame(samples.x):
            raise ValueError(
                "partial_fit reads arrays of numbers: expected X without other columns, or `fit`"
            )
        first = not hasattr(self, "run_")
        seed = self._seed()
        parts = self._parts(samples, seed)
        if first:
            raw = samples.raw(self._feature_names())
            spec = _of_one_pass(self._spec(raw.x.shape[1], outputs, loss))
            self._keep(self._run(Start(spec, prepare(raw, spec, parts)), seed))
            return
        preparation = self.run_.preparation
        raw = samples.raw(preparation.features)
        train, validation = as_parts(raw, preparation, (parts.train, parts.validation))
        data = Data(train, validation, None, preparation, raw.fingerprint)
        start = Start(_of_one_pass(self.network_.spec), data, weights=self.network_.state_dict())
        before = self.events_
        self._keep(self._run(start, seed))
        self.events_ = (*before, *self.events_)

    def _run(self, start: Start, seed: int) -> Run:
        return in_memory(
            Command(seed=seed),
            start,
            device=choose_device(self.device),
            on_progress=_tell if self.verbose else None,
        )

    def _keep(self, run: Run) -> None:
        run.network.eval().cpu()  # so that it can be pickled here and loaded anywhere
        self.run_ = replace(run, data=None)  # an estimator keeps no samples
        self.network_ = run.network
        self.events_ = run.events

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(_LARGEST_SEED))

    def _parts(self, samples: _Samples, seed: int) -> Split:
        """The samples to train on, and those that are held out."""
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r}: expected a share between 0 and 1, as growth is "
                "decided by samples that are held out"
            )
        labels = samples.y if samples.classes else None
        return hold_out(len(samples.y), labels, self.validation_fraction, seed=seed)

    def _feature_names(self) -> tuple[str, ...]:
        return tuple(map(str, getattr(self, "feature_names_in_", ())))

    def _spec(self, features: int, outputs: int, loss: str) -> Spec:
        if self.spec is None:
            hidden = self.hidden
            if hidden is None:
                hidden = default_widths(features, outputs, self.max_parameters)
            spec = default_spec(features, outputs, hidden)
        else:
            spec = sized(spec_of(self.spec), features, outputs)
        rate = None if self.lr is None else {"lr": self.lr}
        train = {
            "loss": loss,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": rate,
            "class_weight": self._class_weight(),
        }
        spec = with_settings(spec, train, max_parameters=self.max_parameters)
        begins = build_graph(spec).parameter_count
        if (
            self.max_parameters is not None
            and begins > self.max_parameters
            and "prune" not in spec.growth.actions
        ):
            raise ValueError(
                f"max_parameters={self.max_parameters}, but the network begins with {begins} for "
                f"{amount(features, 'feature')} "
                f"and {outputs} output(s): expected a narrower one to begin with (hidden, spec), or a larger budget"
            )
        return spec

    def _class_weight(self) -> Any:
        """The setting `train.class_weight`; None leaves that of the spec."""
        return None

    def _columns(self) -> TableData | None:
        """The section `data` of the spec, which may say how columns are read."""
        section = None if self.spec is None else spec_of(self.spec).data
        return section if isinstance(section, TableData) else None

    def _checked(self, x: Any, y: Any, *, weights: Any, **options: Any) -> _Samples:
        """Samples, targets and weights by the rules of scikit-learn; samples of weight 0 are left out.

        A DataFrame with columns of other kinds than numbers is given as it is.
        """
        x, y = self._checked_pair(x, y, **options)
        if weights is not None:
            weights = _check_sample_weight(weights, x, dtype=np.float64, ensure_non_negative=True)
            there = weights > 0.0
            if not there.any():
                raise ValueError("sample_weight is 0 for all samples: expected some above 0")
            x, y, weights = (x.loc[there] if is_frame(x) else x[there]), y[there], weights[there]
            if (weights == weights[0]).all():
                weights = None
        return _Samples(type(self).__name__, x, y, weights)

    def _checked_pair(self, x: Any, y: Any, **options: Any) -> tuple[Any, Array]:
        _check_unmasked(x, y)
        if not has_other_columns(x):
            return validate_data(self, x, y, dtype=np.float64, ensure_min_samples=2, **options)  # type: ignore[no-any-return]
        validate_data(self, x, skip_check_array=True, reset=options.get("reset", True))
        numeric = options.get("y_numeric", False)
        y = check_array(y, ensure_2d=False, dtype=np.float64 if numeric else None, ensure_min_samples=2)
        check_consistent_length(x, y)
        return x, y

    def _scores(self, x: Any) -> torch.Tensor:
        """The outputs of the network for samples, (samples, outputs).

        In double precision: in single the last digits of a prediction depend on what else is in its batch.
        """
        check_is_fitted(self)
        _check_unmasked(x)
        preparation = self.run_.preparation
        if preparation.table is None:
            numbers = validate_data(self, x, reset=False, dtype=np.float64)
        else:
            validate_data(self, x, reset=False, skip_check_array=True)
            numbers = preparation.table.raw(rows_of_frame(x, "X"), preparation.task, target=False).x
        inputs = preparation.inputs(numbers)
        network = copy.deepcopy(self.network_).cpu().double().eval()
        with torch.no_grad():
            return torch.cat([joined_outputs(network(batch.double())) for batch in inputs.split(_BATCH)])


def _of_one_pass(spec: Spec) -> Spec:
    """The spec for one pass over the samples, at one learning rate and with one growth step at its end.

    Nobody knows how many calls will come, so growth does not use up its budget in this one: it counts epochs.
    """
    growth = spec.growth.model_copy(update={"when": When(every=1, until=1.0)})
    train = spec.train.model_copy(update={"epochs": 1, "schedule": "constant", "warmup": 0.0})
    return replace(spec, growth=growth, train=train)


def _check_unmasked(*given: Any) -> None:
    """Scikit-learn reads the values under a mask as if they had been measured."""
    if any(is_masked(each) for each in given):
        raise ValueError(
            "found a masked array, and the values under its mask would be read as numbers: leave out those rows, or "
            "fill them in, as with .filled(value)"
        )


def _tell(progress: Progress) -> None:
    for event in progress.events:
        what = f"nothing grew: {event.reason}"
        if event.decision is not None:
            grown = event.decision
            what = (
                f"{grown.kind} {grown.target} by {grown.neurons}, held-out loss {event.loss_before:.4g} -> "
                f"{event.loss_after:.4g}, {amount(event.parameters, 'parameter')}"
            )
        print(f"epoch {progress.epoch} of {progress.epochs}: {what}")
