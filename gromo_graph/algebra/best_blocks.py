"""The blocks of columns that pay most in a least-squares problem (docs/maths.md, "Edges that read some features")."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

_ROUNDINGS = 16.0
"""The least ridge, in rounding errors of the mean diagonal."""


def best_blocks(
    s: Tensor,
    m: Tensor,
    blocks: Tensor,
    count: int,
    *,
    ridge: float = 0.0,
    given: Tensor | None = None,
    barred: Collection[int] = (),
) -> tuple[int, ...]:
    """The blocks that raise the gain tr(Mᵀ S⁻¹ M) of the columns taken so far most, found one by one.

    Args:
        s: (columns, columns), E[b bᵀ]. m: (columns, out), E[b gᵀ].
        blocks: (number, columns of each), the columns of each block; all blocks are of one size.
        count: how many are wanted.
        ridge: added to the diagonal of S, relative to its mean.
        given: columns that are there in any case. barred: blocks that are not taken.

    >>> s, m = torch.eye(3), torch.tensor([[1.0], [3.0], [2.0]])
    >>> best_blocks(s, m, torch.tensor([[0], [1], [2]]), 2)
    (1, 2)
    """
    least = torch.finfo(s.dtype)
    floor = max(ridge, _ROUNDINGS * least.eps) * float(s.diagonal().mean())
    s = s + max(floor, least.tiny) * torch.eye(len(s)).to(
        s
    )  # columns that are equal or 0 do not make it singular
    if given is not None and len(given):
        s, m = _without(s, m, given)
    chosen: list[int] = []
    for _ in range(count):
        inside, of_block = s[blocks[:, :, None], blocks[:, None, :]], m[blocks]
        gains = (of_block * torch.linalg.solve(inside, of_block)).sum(dim=(1, 2))
        gains[[*chosen, *barred]] = -torch.inf
        chosen.append(int(gains.argmax()))
        s, m = _without(s, m, blocks[chosen[-1]])
    return tuple(chosen)


def _without(s: Tensor, m: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
    """S and M of what the columns that are taken cannot tell: the Schur complements."""
    rows = s[taken]
    solved = torch.linalg.solve(rows[:, taken], torch.cat((rows, m[taken]), dim=1))
    across, result = solved.split([len(s), m.shape[1]], dim=1)
    s, m = s - rows.T @ across, m - rows.T @ result
    s[taken, taken] = 1.0  # their own block stays regular; nothing is gained by them once more
    return s, m
