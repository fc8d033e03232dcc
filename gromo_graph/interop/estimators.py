"""GrowingClassifier and GrowingRegressor: estimators of scikit-learn whose network grows while they are fitted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from gromo_graph.interop.growing_estimator import GrowingEstimator
from gromo_graph.run.data.raw import Array
from gromo_graph.spec import Spec


class GrowingClassifier(ClassifierMixin, GrowingEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn whose network begins narrow and grows while it is fitted.

    Samples are standardised, a share of them is held out to decide growth by, stratified; all others are trained on. A
    DataFrame may also have columns of categories, dates and truth values, with gaps, which are read as those of a table
    (docs/my_data.md); the lists of a section `data` of the spec say how.

    Args:
        spec: a spec, its YAML text, or the path of its file. Its input `[features]` and its output are set to the sizes
            of X and y, its other values are taken as they are, but for the data and the loss. An input of another form,
            such as `[1, 8, 8]`, takes rows of as many numbers. None: linear layers with ReLU.
        hidden: the widths that these layers begin with, without a spec; None takes (8, 8), or narrower ones that leave
            half of `max_parameters` to growth.
        epochs, batch_size, lr: of the training; None takes those of the spec (60, 64 and 0.003 if it says nothing).
        max_parameters: growth ends before the network would have more; None takes `growth.stop` of the spec.
        validation_fraction: share of the samples that is held out.
        random_state: of first weights, order, dropout and what is held out. An int makes fitting repeatable.
        device: auto (a GPU if there is one), cpu or cuda, to train on. The fitted network is on the CPU.
        verbose: print each growth step.
        class_weight: `balanced`, or the weight of each label in the loss, 1 for those that are left out; None takes
            that of the spec.

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
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
    ) -> None:
        super().__init__(
            spec,
            hidden=hidden,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            max_parameters=max_parameters,
            validation_fraction=validation_fraction,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GrowingClassifier:  # noqa: N803 - the names of scikit-learn
        """Train and grow.

        Args:
            X: (samples, features), or a DataFrame. y: labels (samples,), numbers or text.
            sample_weight: of each sample in the loss, (samples,); None for 1.

        Raises:
            ValueError: samples or labels are not sound, or of a single class; or a budget that is spent from the start.
            SpecError, RunError: the spec is wrong or cannot have the sizes of the data; or the training failed.
        """
        samples = self._checked(X, y, weights=sample_weight)
        labels = self._labels(samples.y)
        self.classes_, indices = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, `{self.classes_[0]}`: expected two classes or more")
        samples = replace(samples, y=indices, classes=tuple(map(str, self.classes_)))
        self._grown(samples, outputs=len(self.classes_), loss="cross_entropy")
        return self

    def partial_fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
    ) -> GrowingClassifier:
        """Train on these samples once, and try one growth step; the network goes on from where it stands.

        The learning rate is the same in each call, the optimizer begins anew, and samples are standardised as those of
        the first call are.

        Args:
            X, y, sample_weight: as for `fit`; X is an array.
            classes: all labels that will ever come; None takes those of the first call.

        Raises:
            ValueError, SpecError, RunError: as for `fit`; or labels that are none of the classes.
        """
        first = not hasattr(self, "run_")
        samples = self._checked(X, y, weights=sample_weight, reset=first)
        labels = self._labels(samples.y)
        if first:
            self.classes_ = np.unique(labels if classes is None else classes)
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has the label `{unknown[0]}`, which is none of the classes {self.classes_.tolist()}"
            )
        indices = np.searchsorted(self.classes_, labels)
        samples = replace(samples, y=indices, classes=tuple(map(str, self.classes_)))
        self._trained_on(samples, outputs=len(self.classes_), loss="cross_entropy")
        return self

    def _labels(self, y: Array) -> Array:
        labels: Array = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        return labels

    def _class_weight(self) -> Any:
        asked = self.class_weight
        return (
            {str(label): weight for label, weight in asked.items()} if isinstance(asked, Mapping) else asked
        )

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most likely class of each sample, (samples,)."""
        places = self._scores(X).argmax(dim=1).numpy()
        labels: Array = self.classes_[places]
        return labels

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """The probability of each class, (samples, classes), in the order of `classes_`."""
        found: Array = torch.softmax(self._scores(X).double(), dim=1).numpy()
        return found


class GrowingRegressor(RegressorMixin, GrowingEstimator):  # type: ignore[misc]
    """A regressor of scikit-learn whose network begins narrow and grows while it is fitted.

    As GrowingClassifier; targets are standardised too, predictions are in the unit of y, of which a sample may have
    several values.

    >>> from sklearn.datasets import load_diabetes
    >>> x, y = load_diabetes(return_X_y=True)
    >>> model = GrowingRegressor(epochs=20, max_parameters=300, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.4, model.network_.graph.parameter_count <= 300
    (True, True)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GrowingRegressor:  # noqa: N803
        """Train and grow.

        Args:
            X: as for the classifier. y: (samples,) or (samples, outputs).
            sample_weight: of each sample in the loss, (samples,); None for 1.

        Raises:
            ValueError: samples or targets are not sound; or a budget that is spent from the start.
            SpecError, RunError: the spec is wrong or cannot have the sizes of the data; or the training failed.
        """
        samples = self._checked(X, y, weights=sample_weight, multi_output=True, y_numeric=True)
        self._grown(samples, outputs=_values_of(samples.y), loss="mse")
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> GrowingRegressor:  # noqa: N803
        """Train on these samples once, and try one growth step; as of the classifier.

        Raises:
            ValueError, SpecError, RunError: as for `fit`.
        """
        first = not hasattr(self, "run_")
        samples = self._checked(X, y, weights=sample_weight, multi_output=True, y_numeric=True, reset=first)
        self._trained_on(samples, outputs=_values_of(samples.y), loss="mse")
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The values of each sample, (samples,) or (samples, outputs), in the unit of y."""
        scores = self._scores(X)
        return self.run_.preparation.labels(scores)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _values_of(y: Array) -> int:
    """The number of values of a sample."""
    return 1 if y.ndim == 1 else int(y.shape[1])
