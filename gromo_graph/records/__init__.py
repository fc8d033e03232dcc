"""Records of growth in plain numbers: candidates, plans, events, and the journal of a run. No torch."""

from gromo_graph.records.decisions import Candidate, Decision, Plan
from gromo_graph.records.events import GrowthEvent
from gromo_graph.records.journal import Epoch, Header, Journal, checksum, read_journal
from gromo_graph.records.sizes import Size, sizes_of

__all__ = [
    "Candidate",
    "Decision",
    "Epoch",
    "GrowthEvent",
    "Header",
    "Journal",
    "Plan",
    "Size",
    "checksum",
    "read_journal",
    "sizes_of",
]
