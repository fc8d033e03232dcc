"""Parts of a sound spec that are seldom meant."""

from __future__ import annotations

from collections.abc import Iterator

from gromo_graph.graph.growth_goals import NOTHING_BEYOND, over_budget
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.attention import Attention
from gromo_graph.spec.kinds.per_axis import along, short_text
from gromo_graph.spec.kinds.roll import Roll


def doubts(graph: Graph) -> Iterator[str]:
    """A sentence for each node that is probably not meant as written, and for budgets that do not do what they say."""
    growth = graph.spec.growth
    if reason := over_budget(graph, growth):
        yield f"nothing will grow: {reason}"
    if growth.beyond > 1.0 and not growth.stop.is_budget and not growth.stop.is_open:
        yield NOTHING_BEYOND
    for name in graph.order:
        node = graph.spec.nodes[name]
        if isinstance(node, Attention) and node.rolled != 0:
            _, *sizes = graph.input_shapes(name)[0]
            shifts = tuple(-each for each in along(node.rolled, len(sizes)))
            if not any(_moves_by(graph, roll, shifts) for roll in _last_rolls(graph, name)):
                written = short_text(node.rolled)
                back = -node.rolled if isinstance(node.rolled, int) else list(shifts)
                yield (
                    f"`{name}` says `rolled: {written}`, and no `roll` before it moves its positions: put a `roll` "
                    f"with `shifts: {back}` before its query, key and value, or leave `rolled` out"
                )


def _last_rolls(graph: Graph, name: str) -> Iterator[str]:
    """The last `roll` before a node on each path."""
    waiting, seen = list(graph.sources(name)), set[str]()
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        if isinstance(graph.spec.nodes[source], Roll):
            yield source
        else:
            waiting += graph.sources(source)


def _moves_by(graph: Graph, name: str, shifts: Shape) -> bool:
    """True if a `roll` moves by these numbers, or by others that come to the same around the edges."""
    roll = graph.spec.nodes[name]
    _, *sizes = graph.shapes[name]
    found = along(roll.shifts, len(sizes)) if isinstance(roll, Roll) else ()
    return len(found) == len(shifts) and all(
        (one - other) % size == 0 for one, other, size in zip(found, shifts, sizes, strict=True)
    )
