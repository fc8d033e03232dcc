"""Inputs that hold token ids instead of values."""

from __future__ import annotations

from collections.abc import Mapping

from gromo_graph.spec.kinds import Node


def vocabularies(nodes: Mapping[str, Node]) -> dict[str, int]:
    """The inputs that are read as token ids, and how many ids each may hold: 0 up to one less.

    >>> from gromo_graph.spec import parse_spec
    >>> spec = parse_spec('''
    ... nodes:
    ...   text: {kind: input, shape: [12]}
    ...   look: {kind: embedding, from: text, vocabulary: 50, features: 4}
    ... output: look
    ... ''')
    >>> vocabularies(spec.nodes)
    {'text': 50}
    """
    found: dict[str, int] = {}
    for node in nodes.values():
        if node.tokens is not None:
            for source in node.sources:
                found[source] = min(node.tokens, found.get(source, node.tokens))
    return found
