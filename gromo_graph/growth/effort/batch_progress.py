"""A loader that tells how far a pass over it is: "statistics 3 of 12 batches"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gromo_graph.growth.effort.sample_parts import SampleParts
from gromo_graph.growth.observe import Loader, is_sized

OnBatch = Callable[[str], None]


@dataclass(frozen=True)
class ToldBatches:
    """The batches of a loader; each is told of before it is given.

    Attributes:
        what: the name of the pass. samples: that it will give, if that is known and it says no length.

    >>> import torch
    >>> batches = [(torch.zeros(2, 1), torch.zeros(2))] * 2
    >>> for _ in ToldBatches(batches, "slopes", 4, print):
    ...     pass
    slopes 1 of 2 batches
    slopes 2 of 2 batches
    """

    loader: Loader
    what: str
    samples: int | None
    tell: OnBatch

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        of = f" of {len(self)}" if is_sized(self.loader) else ""
        for number, batch in enumerate(self.loader, start=1):
            if not of and self.samples is not None and isinstance(batch, list | tuple):
                of = f" of {-(-self.samples // max(1, len(batch[-1])))}"
            self.tell(f"{self.what} {number}{of} batches")
            yield batch


def told(parts: SampleParts, slopes: int | None, tell: OnBatch | None) -> SampleParts:
    """Both parts, each of which tells how far a pass over it is.

    Args:
        slopes: samples that the second part gives, if that is known. tell: None leaves the parts as they are.
    """
    if tell is None:
        return parts
    return replace(
        parts,
        statistics=ToldBatches(parts.statistics, "statistics", parts.samples, tell),
        slopes=ToldBatches(parts.slopes, "slopes", slopes, tell),
    )
