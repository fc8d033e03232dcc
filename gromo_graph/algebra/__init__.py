"""Pure functions on tensors: the formulas of growth, without any module.

Nothing here writes to its arguments, prints, or keeps state; device and dtype come from the arguments,
and the path a solver took is part of its result.
"""

from gromo_graph.algebra.best_blocks import best_blocks
from gromo_graph.algebra.chosen_positions import View
from gromo_graph.algebra.correlation import (
    patch_cross_moment,
    patch_cross_moments,
    patch_second_moment,
    summed_cross_moment,
    summed_second_moment,
    view_of,
)
from gromo_graph.algebra.deferred_product import (
    Moment,
    PaddedRows,
    ParameterGradient,
    Product,
    padded_rows,
    value_of,
)
from gromo_graph.algebra.delta import OptimalDelta, optimal_delta
from gromo_graph.algebra.few_rows import delta_from_rows, extension_from_rows
from gromo_graph.algebra.gradient_and_random_neurons import (
    Spread,
    first_weights_extension,
    gradmax_extension,
    random_extension,
    variance_transfer_extension,
)
from gromo_graph.algebra.improvement import (
    ExtensionScore,
    SignedSlopes,
    SlopeParts,
    extension_score,
    signed_slopes,
    slope_parts,
)
from gromo_graph.algebra.matching import match_moment, optimal_match, product_gradient, sensitivity
from gromo_graph.algebra.moments import (
    accumulation_dtype,
    as_rows,
    cross_moment,
    second_moment,
    with_constant,
)
from gromo_graph.algebra.optimal_neurons import OptimalExtension, optimal_extension
from gromo_graph.algebra.patches import (
    AxisWeights,
    Patches,
    measured_image,
    patch_matrix,
    rows_of_matrix,
    spread_out,
)
from gromo_graph.algebra.resampling import AxisMaps, resampled_rows
from gromo_graph.algebra.tangent import IDENTITY_TANGENT, Tangent, tangent_of
from gromo_graph.algebra.whitening import Whitening, whitening

__all__ = [
    "IDENTITY_TANGENT",
    "AxisMaps",
    "AxisWeights",
    "ExtensionScore",
    "Moment",
    "OptimalDelta",
    "OptimalExtension",
    "PaddedRows",
    "ParameterGradient",
    "Patches",
    "Product",
    "SignedSlopes",
    "SlopeParts",
    "Spread",
    "Tangent",
    "View",
    "Whitening",
    "accumulation_dtype",
    "as_rows",
    "best_blocks",
    "cross_moment",
    "delta_from_rows",
    "extension_from_rows",
    "extension_score",
    "first_weights_extension",
    "gradmax_extension",
    "match_moment",
    "measured_image",
    "optimal_delta",
    "optimal_extension",
    "optimal_match",
    "padded_rows",
    "patch_cross_moment",
    "patch_cross_moments",
    "patch_matrix",
    "patch_second_moment",
    "product_gradient",
    "random_extension",
    "resampled_rows",
    "rows_of_matrix",
    "second_moment",
    "sensitivity",
    "signed_slopes",
    "slope_parts",
    "spread_out",
    "summed_cross_moment",
    "summed_second_moment",
    "tangent_of",
    "value_of",
    "variance_transfer_extension",
    "view_of",
    "whitening",
    "with_constant",
]
