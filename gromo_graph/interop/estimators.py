"""GrowingClassifier and GrowingRegressor: estimators of scikit-learn whose network grows while they are fitted."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gromo_graph.graph import build_graph
from gromo_graph.interop.sizing import default_spec, sized, spec_of, with_settings
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.run.data.frames import has_other_columns, is_frame
from gromo_graph.run.data.load_data import prepare
from gromo_graph.run.data.raw import Array, is_masked, raw_from
from gromo_graph.run.data.split import hold_out
from gromo_graph.run.data.tables.learning import learn_rows
from gromo_graph.run.data.tables.reading import rows_of_frame
from gromo_graph.run.epoch_progress import Progress
from gromo_graph.run.folder.command import Command
from gromo_graph.run.resources import choose_device
from gromo_graph.run.run import Run
from gromo_graph.run.session import Start, in_memory
from gromo_graph.run.training.objective import single_output
from gromo_graph.spec import Spec
from gromo_graph.spec.data_sections import TableData

_LARGEST_SEED = 2**31 - 1
_BATCH = 4096


class _GrowingEstimator(BaseEstimator):  # type: ignore[misc]
    """The base of classifier and regressor."""

    network_: GrowingNetwork
    events_: tuple[GrowthEvent, ...]
    run_: Run

    def __init__(
        self,
        spec: Spec | str | os.PathLike[str] | None = None,
        *,
        hidden: Sequence[int] = (8, 8),
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

    def _grown(self, x: Any, y: Array, *, outputs: int, loss: str, classes: tuple[str, ...] = ()) -> None:
        """Train and grow on checked samples.

        Args:
            x: (samples, features), or a DataFrame. y: class indices or values. outputs, loss: of the spec.
            classes: their names; none of a regression.
        """
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r}: expected a share between 0 and 1, as growth is "
                "decided by samples that are held out"
            )
        seed = int(check_random_state(self.random_state).randint(_LARGEST_SEED))
        parts = hold_out(len(y), y if classes else None, self.validation_fraction, seed=seed)
        device = choose_device(self.device)
        name = type(self).__name__
        if is_frame(x):
            table = learn_rows(rows_of_frame(x, name), parts.train, self._columns())
            raw = replace(table.raw, y=y.astype(np.float64), classes=classes)
            spec = self._spec(raw.x.shape[1], outputs, loss)
            data = prepare(raw, spec, parts).of_table(table.encoding, table.notes)
        else:
            features = tuple(map(str, getattr(self, "feature_names_in_", ())))
            raw = raw_from(name, x, y, features=features, classes=classes)
            spec = self._spec(raw.x.shape[1], outputs, loss)
            data = prepare(raw, spec, parts)
        run = in_memory(
            Command(seed=seed),
            Start(spec, data),
            device=device,
            on_progress=_tell if self.verbose else None,
        )
        run.network.eval().cpu()  # so that it can be pickled here and loaded anywhere
        self.run_ = replace(run, data=None)  # an estimator keeps no samples
        self.network_ = run.network
        self.events_ = run.events

    def _spec(self, features: int, outputs: int, loss: str) -> Spec:
        if self.spec is None:
            spec = default_spec(features, outputs, self.hidden)
        else:
            spec = sized(spec_of(self.spec), features, outputs)
        rate = None if self.lr is None else {"lr": self.lr}
        train = {"loss": loss, "epochs": self.epochs, "batch_size": self.batch_size, "optimizer": rate}
        spec = with_settings(spec, train, max_parameters=self.max_parameters)
        begins = build_graph(spec).parameter_count
        if (
            self.max_parameters is not None
            and begins > self.max_parameters
            and "prune" not in spec.growth.actions
        ):
            raise ValueError(
                f"max_parameters={self.max_parameters}, but the network begins with {begins} for {features} features "
                f"and {outputs} output(s): expected a narrower one to begin with (hidden, spec), or a larger budget"
            )
        return spec

    def _columns(self) -> TableData | None:
        """The section `data` of the spec, which may say how columns are read."""
        section = None if self.spec is None else spec_of(self.spec).data
        return section if isinstance(section, TableData) else None

    def _checked(self, x: Any, y: Any, **options: Any) -> tuple[Any, Array]:
        """Samples and targets by the rules of scikit-learn.

        A DataFrame with columns of other kinds than numbers is given as it is.
        """
        _check_unmasked(x, y)
        if not has_other_columns(x):
            return validate_data(self, x, y, dtype=np.float64, ensure_min_samples=2, **options)  # type: ignore[no-any-return]
        validate_data(self, x, skip_check_array=True)
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
            return torch.cat([single_output(network(batch.double())) for batch in inputs.split(_BATCH)])


class GrowingClassifier(ClassifierMixin, _GrowingEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn whose network begins narrow and grows while it is fitted.

    Samples are standardised, a share of them is held out to decide growth by, stratified; all others are trained on. A
    DataFrame may also have columns of categories, dates and truth values, with gaps, which are read as those of a table
    (docs/my_data.md); the lists of a section `data` of the spec say how.

    Args:
        spec: a spec, its YAML text, or the path of its file. Its input `[features]` and its output are set to the sizes
            of X and y, its other values are taken as they are, but for the data and the loss. An input of another form,
            such as `[1, 8, 8]`, takes rows of as many numbers. None: linear layers with ReLU.
        hidden: the widths that these layers begin with; without a spec alone.
        epochs, batch_size, lr: of the training; None takes those of the spec (60, 64 and 0.003 if it says nothing).
        max_parameters: growth ends before the network would have more; None takes `growth.stop` of the spec.
        validation_fraction: share of the samples that is held out.
        random_state: of first weights, order, dropout and what is held out. An int makes fitting repeatable.
        device: auto (a GPU if there is one), cpu or cuda, to train on. The fitted network is on the CPU.
        verbose: print each growth step.

    Attributes:
        classes_: the labels, sorted.
        network_: the GrowingNetwork. events_: every growth step that was tried. run_: the Run, without the samples.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> model = GrowingClassifier(epochs=40, batch_size=16, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.9, model.predict_proba(x[:2]).shape
    (True, (2, 3))
    """

    classes_: Array

    def fit(self, X: Any, y: Any) -> GrowingClassifier:  # noqa: N803 - the names of scikit-learn
        """Train and grow.

        Args:
            X: (samples, features), or a DataFrame. y: labels (samples,), numbers or text.

        Raises:
            ValueError: samples or labels are not sound, or of a single class; or a budget that is spent from the start.
            SpecError, RunError: the spec is wrong or cannot have the sizes of the data; or the training failed.
        """
        x, y = self._checked(X, y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, `{self.classes_[0]}`: expected two classes or more")
        names = tuple(map(str, self.classes_))
        self._grown(x, indices, outputs=len(self.classes_), loss="cross_entropy", classes=names)
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most likely class of each sample, (samples,)."""
        places = self._scores(X).argmax(dim=1).numpy()
        labels: Array = self.classes_[places]
        return labels

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """The probability of each class, (samples, classes), in the order of `classes_`."""
        found: Array = torch.softmax(self._scores(X).double(), dim=1).numpy()
        return found


class GrowingRegressor(RegressorMixin, _GrowingEstimator):  # type: ignore[misc]
    """A regressor of scikit-learn whose network begins narrow and grows while it is fitted.

    As GrowingClassifier; targets are standardised too, predictions are in the unit of y, of which a sample may have
    several values.

    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> model = GrowingRegressor(epochs=20, max_parameters=300, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.4, model.network_.graph.parameter_count <= 300
    (True, True)
    """

    def fit(self, X: Any, y: Any) -> GrowingRegressor:  # noqa: N803
        """Train and grow.

        Args:
            X: as for the classifier. y: (samples,) or (samples, outputs).

        Raises:
            ValueError: samples or targets are not sound; or a budget that is spent from the start.
            SpecError, RunError: the spec is wrong or cannot have the sizes of the data; or the training failed.
        """
        x, y = self._checked(X, y, multi_output=True, y_numeric=True)
        self._grown(x, y, outputs=1 if y.ndim == 1 else y.shape[1], loss="mse")
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The values of each sample, (samples,) or (samples, outputs), in the unit of y."""
        scores = self._scores(X)
        return self.run_.preparation.labels(scores)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


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
                f"{event.loss_after:.4g}, {event.parameters:,} parameters"
            )
        print(f"epoch {progress.epoch} of {progress.epochs}: {what}")
