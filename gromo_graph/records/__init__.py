"""What a growth did, in plain numbers: candidates, plans, events. No torch."""

from gromo_graph.records.candidates import Candidate, Decision, Plan
from gromo_graph.records.events import GrowthEvent

__all__ = ["Candidate", "Decision", "GrowthEvent", "Plan"]
