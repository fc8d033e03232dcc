"""Pure functions on tensors: the formulas of growth, without any module.

Nothing here writes to its arguments, prints, or keeps state; device and dtype come from the arguments,
and the path a solver took is part of its result.
"""

from gromo_graph.algebra.delta import OptimalDelta, optimal_delta
from gromo_graph.algebra.extension import OptimalExtension, optimal_extension
from gromo_graph.algebra.improvement import (
    ExtensionScore,
    SignedSlopes,
    SlopeParts,
    extension_score,
    signed_slopes,
    slope_parts,
)
from gromo_graph.algebra.moments import (
    accumulation_dtype,
    as_rows,
    cross_moment,
    second_moment,
    with_constant,
)
from gromo_graph.algebra.tangent import IDENTITY_TANGENT, Tangent, tangent_of
from gromo_graph.algebra.whitening import Whitening, whitening

__all__ = [
    "IDENTITY_TANGENT",
    "ExtensionScore",
    "OptimalDelta",
    "OptimalExtension",
    "SignedSlopes",
    "SlopeParts",
    "Tangent",
    "Whitening",
    "accumulation_dtype",
    "as_rows",
    "cross_moment",
    "extension_score",
    "optimal_delta",
    "optimal_extension",
    "second_moment",
    "signed_slopes",
    "slope_parts",
    "tangent_of",
    "whitening",
    "with_constant",
]
