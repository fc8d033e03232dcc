"""Networks of plain PyTorch read in, and written as such."""

from gromo_graph.interop.exporting import Exported, export
from gromo_graph.interop.importing import from_torch

__all__ = ["Exported", "export", "from_torch"]
