"""All candidates that are feasible, by everything that can be decided without data, and the others with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gromo_graph.graph import Graph, bridges, head_places
from gromo_graph.graph.adapters import adapter_places
from gromo_graph.graph.chosen_features import partial_readers
from gromo_graph.graph.deepening import deep_places
from gromo_graph.graph.repeating import Stage, stages
from gromo_graph.growth.candidates import match, widen
from gromo_graph.growth.candidates.adapt import AdaptProspect
from gromo_graph.growth.candidates.deepen import DeepenProspect, branch_of
from gromo_graph.growth.candidates.match import MatchProspect
from gromo_graph.growth.candidates.new_edge import EdgeProspect, edge_target
from gromo_graph.growth.candidates.new_head import HeadProspect, head_target
from gromo_graph.growth.candidates.new_node import NodeProspect, middle_of, node_target
from gromo_graph.growth.candidates.paths import PathProspect
from gromo_graph.growth.candidates.product import ProductProspect, starts_at_zero
from gromo_graph.growth.candidates.prune import EdgePruneProspect, PruneProspect
from gromo_graph.growth.candidates.repeat import RepeatProspect, stage_name
from gromo_graph.growth.candidates.stages import Drawn, InfeasibleError, LeftOut, Prospect
from gromo_graph.growth.candidates.widen import WideningProspect
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.growth.source_statistics import form_of
from gromo_graph.growth.statistics_sums import SOLVED_EXACTLY
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth

AnyProspect = TypeVar("AnyProspect", bound=Prospect[Any])


@dataclass
class Feasible:
    """The candidates of a network at one moment.

    Attributes:
        prospects: those that are solved from statistics. drawn: those whose weights are drawn.
        left_out: all others, with the reason.
    """

    network: GrowingNetwork
    policy: Growth
    prospects: list[Prospect[Any]] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def attempt(self, kind: type[AnyProspect], target: str, *place: object) -> list[AnyProspect]:
        """The prospect of a kind at a place; if it is infeasible none, and the candidate is left out."""
        try:
            return [kind(self.network, self.policy, *place)]  # type: ignore[arg-type]
        except InfeasibleError as error:
            graph = self.network.graph
            self.left_out.append(LeftOut(kind.kind, target, reason=str(error), planned_for=graph))
            return []


def propose(network: GrowingNetwork, policy: Growth, pace: Pace = UNPACED) -> Feasible:
    """Everything that the policy's actions allow, as fast as the pace has it."""
    found = Feasible(network, policy)
    groups = network.graph.groups
    solves_wide, solves_pairs = policy.criterion in widen.SOLVED, policy.criterion in match.SOLVED
    wide: list[WideningProspect] = []
    pairs: list[MatchProspect] = []
    for group in groups if "widen" in policy.actions else ():
        if group.matches:
            pairs += found.attempt(MatchProspect, group.target, group, pace)
        else:
            exactly = policy.criterion in SOLVED_EXACTLY
            kind = ProductProspect if exactly and starts_at_zero(network, group, policy) else WideningProspect
            wide += found.attempt(kind, group.target, group, pace)
    paths: list[PathProspect[Any]] = []
    for each in path_places(network.graph, policy):
        paths += found.attempt(each.kind, each.target, *each.place)
    narrow: list[PruneProspect | EdgePruneProspect] = []
    for group in groups if "prune" in policy.actions else ():
        narrow += found.attempt(PruneProspect, group.target, group)
    for name in partial_readers(network.graph) if "prune" in policy.actions and policy.edges.prune else ():
        narrow += found.attempt(EdgePruneProspect, name, name)
    found.drawn = [*([] if solves_wide else wide), *([] if solves_pairs else pairs)]
    found.prospects = [
        *(wide if solves_wide else []),
        *_in_order_of_reading(paths),
        *narrow,
        *(pairs if solves_pairs else []),
    ]
    return found


@dataclass(frozen=True)
class PathPlace:
    """A place for a new path: its kind, its name as a candidate, and what the kind makes a prospect of."""

    kind: type[EdgeProspect | NodeProspect | HeadProspect | DeepenProspect | RepeatProspect | AdaptProspect]
    target: str
    place: tuple[Any, ...]

    def is_feasible(self, graph: Graph, policy: Growth) -> bool:
        """True if a path fits there, within the budgets."""
        try:
            self.kind.feasible(graph, policy, *self.place)
        except InfeasibleError:
            return False
        return True


def path_places(graph: Graph, policy: Growth) -> Iterator[PathPlace]:
    """One for each edge, node and head that the policy's actions allow."""
    if "new_head" in policy.actions:
        for place in head_places(graph):
            yield PathPlace(HeadProspect, head_target(graph, place), (place,))
    if "deepen" in policy.actions:
        repeated, branch = list(stages(graph)), branch_of(graph)
        for stage in repeated:
            yield PathPlace(RepeatProspect, stage_name(stage), (stage,))
        # If the author has written blocks, whole blocks are the unit of depth.
        for deep in [] if any(isinstance(each, Stage) for each in repeated) else deep_places(graph):
            yield PathPlace(DeepenProspect, deep.source, (deep, branch))
    for beside in adapter_places(graph) if "adapt" in policy.actions else ():
        yield PathPlace(AdaptProspect, beside.layer, (beside,))
    if not {"new_edge", "new_node"} & set(policy.actions):
        return
    middle = middle_of(graph)
    for bridge in bridges(graph):
        if "new_edge" in policy.actions and not bridge.has_edge:
            yield PathPlace(EdgeProspect, edge_target(bridge), (bridge,))
        if "new_node" in policy.actions and not bridge.has_node:
            yield PathPlace(NodeProspect, node_target(bridge, middle), (bridge, middle))


def _in_order_of_reading(paths: list[PathProspect[Any]]) -> list[PathProspect[Any]]:
    """Paths that share their statistics are neighbours, edges before nodes; those that have their own come last."""
    forms: dict[object, int] = {}
    places = {path: forms.setdefault(form_of(path.bridge), len(forms)) for path in paths}

    def place(path: PathProspect[Any]) -> tuple[bool, int, bool]:
        return path.kind in ("new_head", "deepen"), places[path], path.kind == "new_node"

    return sorted(paths, key=place)
