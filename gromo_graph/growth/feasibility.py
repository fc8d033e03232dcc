"""What nothing speaks against before anything is measured: which groups, pairs, paths and prunings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gromo_graph.errors import GrowthError
from gromo_graph.growth.apply import linked
from gromo_graph.growth.bias_compensation import cannot_be_taken_back
from gromo_graph.growth.candidates.match import match_of
from gromo_graph.growth.candidates.paths import path_proposals
from gromo_graph.growth.candidates.proposals import NewPath, Proposal, Pruning, Widening, widen_proposals
from gromo_graph.growth.candidates.prune import prune_proposals
from gromo_graph.growth.candidates.widen import Solution
from gromo_graph.growth.statistics_pass import Sums, sums_of
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.heads import head_views
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.groups import linked_group, linked_parts
from gromo_graph.spec.settings import Growth

SOLVED = ("tiny", "gradmax")
"""Criteria that need statistics."""

Kind = TypeVar("Kind", bound=Proposal)


@dataclass
class Wide:
    """A width group that may grow, and its modules.

    Attributes:
        group: all of them. parts: those of each part, where the author has tied several; else the group itself.
        views: of each part, those of the heads behind it (modules/heads.py). solutions: of each part.
    """

    proposal: Widening
    group: LinkedGroup
    parts: tuple[LinkedGroup, ...]
    views: tuple[tuple[LinkedGroup, ...], ...]
    solutions: list[Solution] = field(default_factory=list)

    @property
    def jumps(self) -> bool:
        """Whether its old outputs change at once."""
        return bool(self.group.jumps)


@dataclass(frozen=True)
class Able:
    """What nothing speaks against before anything is measured.

    Attributes:
        wide: groups whose new neurons are solved for. drawn: groups that get neurons which are drawn.
        matched, drawn_pairs: the same for queries and keys, which are grown in pairs.
        paths, narrow: new paths, and prunings with their groups. left_out: all others, with the reason.
    """

    wide: Sequence[Wide]
    drawn: Sequence[Wide]
    matched: Sequence[Widening]
    drawn_pairs: Sequence[Widening]
    paths: Sequence[NewPath]
    narrow: Sequence[tuple[Pruning, LinkedGroup]]
    left_out: Sequence[Proposal]

    @property
    def need_statistics(self) -> bool:
        """Whether anything is solved for."""
        return bool(self.wide or self.matched or self.paths or self.narrow)

    def sums(self, network: GrowingNetwork, policy: Growth) -> Sums:
        """The sums that they are solved from."""
        return sums_of(
            network,
            groups=[view for each in self.wide for views in each.views for view in views],
            paths=self.paths,
            narrow=[group for _, group in self.narrow],
            matches=[match_of(network, proposal) for proposal in self.matched],
            policy=policy,
        )


def able_ones(network: GrowingNetwork, policy: Growth) -> Able:
    """Look at everything that the policy lets be done."""
    left_out: list[Proposal] = []
    wide: list[Wide] = []
    pairs: list[Widening] = []
    if "widen" in policy.actions:
        for proposal in widen_proposals(network.graph, policy):
            if proposal.reason is None and proposal.widened.matches:
                pairs.append(proposal)
                continue
            found = _followed(network, proposal, policy)
            if isinstance(found, Wide):
                wide.append(found)
            else:
                left_out.append(found)
    paths = _able(path_proposals(network.graph, policy), left_out)
    prunings = _able(prune_proposals(network.graph, policy) if "prune" in policy.actions else [], left_out)
    narrow = [(pruning, linked_group(network, pruning.narrowed)) for pruning in prunings]
    solves = policy.criterion in SOLVED
    # GradMax says nothing of pairs: where it is asked for they are drawn.
    solves_pairs = policy.criterion == "tiny"
    return Able(
        wide if solves else [],
        [] if solves else wide,
        pairs if solves_pairs else [],
        [] if solves_pairs else pairs,
        paths,
        narrow,
        left_out,
    )


def _able(proposals: Sequence[Kind], left_out: list[Proposal]) -> list[Kind]:
    """Those without a reason; the others are put aside."""
    left_out += [proposal for proposal in proposals if proposal.reason is not None]
    return [proposal for proposal in proposals if proposal.reason is None]


def _followed(network: GrowingNetwork, proposal: Widening, policy: Growth) -> Wide | Widening:
    """The proposal with its modules; left out where the way of its new units cannot be followed."""
    if proposal.reason is not None:
        return proposal
    group = linked(network, proposal, policy)
    try:
        reason = cannot_be_taken_back(network.graph, group) if policy.scale == "sqrt" else None
    except GrowthError as error:
        reason = str(error)
    if reason is not None and policy.criterion in SOLVED:
        return proposal.left_out(reason)
    parts = linked_parts(network, proposal.widened, kernel=policy.kernel)
    parts = (group,) if len(parts) == 1 else parts
    return Wide(proposal, group, parts, tuple(head_views(part) for part in parts))
