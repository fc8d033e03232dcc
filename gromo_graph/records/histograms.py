"""Histograms as the journal keeps them: a few characters each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

BINS = 16
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Histogram(NamedTuple):
    """The distribution of some values.

    Attributes:
        low, high: the least and the greatest value.
        counts: a character for each of the bins, which are equally wide: 0 for an empty one, then 1 to Z, which is
            the fullest. A single bin if all values are the same.
    """

    low: float
    high: float
    counts: Annotated[str, Field(pattern=f"^[0-9A-Z]{{1,{BINS}}}$")]


Histograms = Mapping[str, tuple[Histogram | None, Histogram | None]]
"""By the name of a node the histograms of its weights and of its outputs, as far as it has them."""

_ADAPTER: TypeAdapter[Histograms] = TypeAdapter(Histograms)


def sound_histograms(value: Any) -> Histograms:
    """The histograms that a file holds; none if it holds anything else.

    >>> sound_histograms({"hidden": [[0.0, 1.0, "0Z"], None]})
    {'hidden': (Histogram(low=0.0, high=1.0, counts='0Z'), None)}
    >>> sound_histograms({"hidden": "?"})
    {}
    """
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError:
        return {}


def encoded(low: float, high: float, counts: Sequence[int]) -> Histogram:
    """The histogram of counts; those that are not 0 are never told as 0.

    >>> encoded(0.0, 2.0, [0, 1, 500, 1000])
    Histogram(low=0.0, high=2.0, counts='01IZ')
    """
    most = max(counts)
    level = len(_DIGITS) - 1
    digits = [_DIGITS[max(1, round(level * count / most))] if count else "0" for count in counts]
    return Histogram(float(f"{low:.4g}"), float(f"{high:.4g}"), "".join(digits))
