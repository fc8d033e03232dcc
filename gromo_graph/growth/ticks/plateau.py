"""Growth that is due once a watched value has come to a plateau."""

from __future__ import annotations

from collections.abc import Callable

from gromo_graph.spec.settings import When

_BETTER = 0.01
"""Share by which a value must fall to count as better."""


class PlateauWatch:
    """The values of the epochs since the last growth.

    Attributes:
        epochs: that make a plateau, None if none is asked for. seen: whether there was ever one.

    >>> watch = PlateauWatch(When(plateau=2))
    >>> [watch.reached(lambda value=value: value) for value in (1.0, 0.5, 0.4, 0.399, 0.398)]
    [False, False, False, False, True]
    """

    def __init__(self, when: When) -> None:
        self.epochs = when.plateau
        self.values: list[float] = []
        self.seen = False

    def reached(self, value: Callable[[], float]) -> bool:
        """Count an epoch; always true if no plateau is asked for, and then nothing is measured."""
        if self.epochs is None:
            return True
        self.values.append(value())
        before, lately = self.values[: -self.epochs], self.values[-self.epochs :]
        flat = bool(before) and min(lately) > min(before) - _BETTER * abs(min(before))
        self.seen = self.seen or flat
        return flat

    def start_again(self) -> None:
        """After growth the values of before say nothing."""
        self.values = []
