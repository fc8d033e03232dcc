"""Specs and events that the tests of drawings share, and how to read a drawing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from gromo_graph.graph import AddPath, Graph, Widen, apply, build_graph
from gromo_graph.records import Candidate, Decision, GrowthEvent, checksum
from gromo_graph.spec import Spec, dump_spec
from gromo_graph.spec.kinds import Dropout, Flatten, Input, Linear, Merge, Node
from gromo_graph.spec.kinds.base import Grow

NS = "{http://www.w3.org/2000/svg}"

RESIDUAL = Spec(
    "digits_residual",
    {
        "pixels": Input(kind="input", shape=(64,)),
        "stem": Linear(sources=("pixels",), features=10, activation="relu"),
        "lift": Linear(sources=("stem",), features=12, activation="relu", grow=Grow(max=128)),
        "mix": Linear(sources=("lift",), features=10),
        "join": Merge(sources=("stem", "mix"), activation="relu"),
        "logits": Linear(sources=("join",), features=10),
    },
    ("logits",),
)
TWO_VIEWS = Spec(
    "two_views",
    {
        "image": Input(kind="input", shape=(3, 8, 8)),
        "flat": Flatten(sources=("image",)),
        "meta": Input(kind="input", shape=(5,)),
        "a": Linear(sources=("flat",), features=12, activation="gelu"),
        "drop": Dropout(sources=("a",), p=0.2),
        "b": Linear(sources=("meta",), features=6, grow=False),
        "both": Merge(sources=("drop", "b"), merge="concat"),
        "head": Linear(sources=("both",), features=3),
    },
    ("head",),
)
CANDIDATES = (
    Candidate("widen", "stem", 4, 0.3, 0.214, 468, 460),
    Candidate("widen", "logits", reason="its width is that of the output `logits`"),
)
WIDENED = GrowthEvent(
    step=3,
    epoch=4,
    decision=Decision("widen", "stem", 4, ("stem", "mix"), 468, 460),
    reason="narrowest group",
    gamma=0.31,
    slope=0.214,
    loss_before=0.4823,
    loss_after=0.4171,
    parameters=1490,
    madds=1460,
    candidates=CANDIDATES,
)
RANDOM = replace(
    WIDENED,
    decision=Decision("widen", "stem", 2, ("stem", "mix"), 234, 230, random=2),
    reason="due",
    gamma=1.0,
    slope=0.0,
)
"""Random neurons in place of a candidate that was measured."""
NOTHING = GrowthEvent(3, 7, None, "γ came out 0 for <both> groups", 0.0, None, 0.417, 0.417, 1490, 1460)


@dataclass(frozen=True)
class Shown:
    """A node or edge as the SVG has it."""

    classes: frozenset[str]
    texts: tuple[str, ...]
    tooltip: str
    element: ElementTree.Element


def _plain(element: ElementTree.Element) -> str:
    return (element.text or "").replace("\u00a0", " ")  # Graphviz's form of the second of two spaces


class Picture:
    """A parsed drawing."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.texts = [_plain(element) for element in self.root.iter(f"{NS}text")]
        self.parts: dict[str, list[Shown]] = {}
        for element in self.root.iter(f"{NS}g"):
            if (name := element.get("data-name")) is not None:
                self.parts.setdefault(name, []).append(
                    Shown(
                        frozenset(element.attrib["class"].split()),
                        tuple(_plain(text).strip() for text in element.iter(f"{NS}text")),
                        element.findtext(f"{NS}title") or "",
                        element,
                    )
                )

    def __getitem__(self, name: str) -> Shown:
        return self.parts[name][0]

    @property
    def ids(self) -> list[str]:
        return [element.attrib["id"] for element in self.root.iter() if "id" in element.attrib]


def write_journal(
    path: Path,
    spec: Spec = RESIDUAL,
    *,
    groups: Sequence[tuple[str, ...] | AddPath] = (),
    candidates: Sequence[Candidate] = CANDIDATES,
) -> Spec:
    """A journal of as many steps as groups (an empty group: nothing applied), two epochs each; the last spec."""
    lines: list[dict[str, object]] = [
        {
            "type": "header",
            "version": 1,
            "name": spec.name,
            "seed": 7,
            "spec": dump_spec(spec),
            "data": {"fingerprint": "abc", "train": 1077},
        }
    ]
    applied = 0
    for index, group in enumerate(groups):
        before = build_graph(spec)
        lines += [_epoch(before, epoch) for epoch in (2 * index + 1, 2 * index + 2)]
        decision = None
        if group:
            spec = apply(spec, group if isinstance(group, AddPath) else Widen(group, 4))
            added = build_graph(spec).parameter_count - before.parameter_count
            decision = _decision(group, added)
            applied += 1
        graph = build_graph(spec)
        event = GrowthEvent(
            step=applied,
            epoch=2 * index + 2,
            decision=decision,
            reason="narrowest" if group else "γ came out 0",
            gamma=0.5 if group else 0.0,
            slope=0.2 if group else None,
            loss_before=1.0,
            loss_after=0.9 if group else 1.0,
            parameters=graph.parameter_count,
            madds=graph.multiply_adds,
            candidates=tuple(candidates),
            spec=dump_spec(spec),
        )
        lines.append({"type": "step", **event.to_dict()})
    text = "".join(json.dumps(line | {"time": {}, "checksum": checksum(line)}) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return spec


def _decision(group: tuple[str, ...] | AddPath, added: int) -> Decision:
    if not isinstance(group, AddPath):
        return Decision("widen", group[0], 4, group, added, added)
    new = tuple(name for name, _ in group.nodes)
    if len(new) == 1:
        return Decision("new_edge", f"{group.source}->{group.target}", 0, new, added, added)
    target = f"{group.source}->{new[0]}->{group.target}"
    return Decision("new_node", target, group.nodes[0][1].features, new, added, added)


def _epoch(graph: Graph, epoch: int) -> dict[str, object]:
    return {
        "type": "epoch",
        "epoch": epoch,
        "train": {"loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch},
        "validation": {"loss": 1.5 / epoch, "accuracy": 1 - 0.6 / epoch},
        "parameters": graph.parameter_count,
        "madds": graph.multiply_adds,
        "lr": 0.003,
    }


def write_large_journal(path: Path, *, blocks: int = 58, steps: int = 200) -> None:
    """A deep residual network of 3 nodes a block that widens, and gets 25 new nodes, in so many steps."""
    nodes: dict[str, Node] = {"x": Input(kind="input", shape=(32,))}
    last = "x"
    for block in range(blocks):
        lift, mix, join = (f"block.{block}.{part}" for part in ("lift", "mix", "join"))
        nodes[lift] = Linear(sources=(last,), features=4, activation="relu")
        nodes[mix] = Linear(sources=(lift,), features=32)
        nodes[join] = Merge(sources=(last, mix), activation="relu")
        last = join
    nodes["y"] = Linear(sources=(last,), features=10)
    groups: list[tuple[str, ...] | AddPath] = []
    for step in range(steps):
        block = 7 * step % blocks
        if step % 8 == 0 and step // 8 < min(blocks, 25):
            source = f"block.{step // 8}.join"
            layer = Linear(sources=(source,), features=32, bias=False)
            target = f"block.{step // 8 + 1}.join"
            groups.append(AddPath(source, target, ((f"path.{step // 8}", layer),)))
        else:
            groups.append((f"block.{block}.lift",))
    candidates = [
        *(
            Candidate("widen", f"block.{b}.lift", 4, 0.01 / (b + 1), 0.0123456 / (b + 1), 272, 260)
            for b in range(blocks)
        ),
        *(
            Candidate(
                "new_edge", f"block.{b}.lift->block.{b + 1}.lift", 0, 0.001, 0.00123456 / (b + 1), 16, 16
            )
            for b in range(blocks - 1)
        ),
        Candidate("widen", "y", reason="its width is that of the output `y`"),
    ]
    write_journal(path, Spec("large", nodes, ("y",)), groups=groups, candidates=candidates)
