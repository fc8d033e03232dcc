"""Two networks in one picture: the new one, with removed nodes and edges drawn in dashed lines."""

from __future__ import annotations

from collections.abc import Mapping

from gromo_graph.amounts import amount
from gromo_graph.graph.diff import Difference, NodeChange, ValueChange
from gromo_graph.render.drawing.style import GROWN, QUIET, REMOVED
from gromo_graph.render.drawing.text import clean
from gromo_graph.render.drawing.title_block import Fact, Phrase
from gromo_graph.render.highlights import Highlights, narrower_nodes
from gromo_graph.render.numbers import count, share

_MOST_VALUES = 3


def highlights_of_difference(found: Difference) -> Highlights:
    """The parts to highlight in the drawing of the new network."""
    changed = [node for node in found.nodes if node.what == "changed"]
    added = {node.name: node.added_features for node in changed if node.added_features}
    before = {node.name: node.before for node in changed if node.before and node.before != node.after}
    return Highlights(
        added=added,
        new=frozenset(node.name for node in found.nodes if node.what == "added"),
        before=before,
        narrower=narrower_nodes(added, before, found.new.shapes),
        values={node.name: words for node in changed if (words := _words(node))},
        new_edges=frozenset(found.added_edges),
        old=found.old,
        removed=tuple(node.name for node in found.nodes if node.what == "removed"),
        removed_edges=found.removed_edges,
    )


def phrases_of_difference(found: Difference) -> tuple[Phrase, ...]:
    """The second row of the heading, which is the legend too."""
    narrower = highlights_of_difference(found).narrower
    # As many as are lit up.
    own = ["narrower" if node.name in narrower else node.what for node in found.nodes if node.is_own]
    nodes = {what: own.count(what) for what in ("added", "removed", "changed", "narrower")}
    edges = {"added": len(found.added_edges), "removed": len(found.removed_edges)}
    if not found:
        return (Phrase("no difference", QUIET),)
    told = []
    if nodes["added"] or edges["added"]:
        told.append(Phrase(f"+ added: {_amount(nodes['added'], edges['added'])}", GROWN))
    if nodes["removed"] or edges["removed"]:
        told.append(Phrase(f"− removed, dashed: {_amount(nodes['removed'], edges['removed'])}", REMOVED))
    if nodes["changed"]:
        told.append(Phrase(f"→ changed: {_amount(nodes['changed'])}", GROWN))
    if nodes["narrower"]:
        told.append(Phrase(f"→ narrower, dashed: {_amount(nodes['narrower'])}", REMOVED))
    return tuple(told) or (Phrase("other settings, the same network", QUIET),)


def facts_of_difference(found: Difference) -> tuple[Fact, ...]:
    """The costs of both networks."""
    pairs = {
        "parameters": (found.old.parameter_count, found.new.parameter_count),
        "multiply-adds": (found.old.multiply_adds, found.new.multiply_adds),
    }
    return tuple(
        Fact(word, f"{count(before)} → {count(after)}", share(before, after))
        for word, (before, after) in pairs.items()
    )


def value_words(change: ValueChange) -> str:
    """`relu → gelu`, `bias: true → false`."""
    return f"{change.key}: {_shown(change.before)} → {_shown(change.after)}"


def _words(node: NodeChange) -> str:
    told = [value_words(change) for change in node.values if change.key != "features"]
    more = len(told) - _MOST_VALUES
    return clean(", ".join(told[:_MOST_VALUES]) + (f" and {more} more" if more > 0 else ""))


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


def _amount(nodes: int, edges: int | None = None) -> str:
    told = [amount(nodes, "node")]
    if edges is not None:
        told.append(amount(edges, "edge"))
    return ", ".join(told)
