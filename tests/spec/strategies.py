"""Random valid specs: any legal name, any shape of graph, any section."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import Dropout, Flatten, Input, Linear, Merge, Node
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth, Neurons, Optimizer, Statistics, Stop, Train, When

ODD_NAMES = [
    *("12", "1.5", "true", "no", "null", "~", "", "x", "a.b", "a: b", "a #b", "- a", "? a", "*a", "&a", "!a"),
    *(
        "%a",
        "@a",
        "`a`",
        "{a}",
        "[a]",
        "a,b",
        "'",
        '"',
        "\\",
        "|",
        ">",
        " a",
        "a ",
        "a  b",
        "${a}",
        "$${a}",
        "0x1",
    ),
    *(
        "forward",
        "keys",
        "é",
        "日本",
        "\u00a0",
        "\ufeff",
        "\ufffe",
        "😀",
        "<<",
        "=",
        "---",
        "...",
        "a" * 1100,
        "-",
    ),
]
LETTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.text(LETTERS, max_size=12)).filter(
    lambda t: t and "->" not in t
)
FEATURES = st.integers(1, 12)
ACTIVATIONS = st.sampled_from(["identity", "relu", "gelu", "elu"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def grows(draw: st.DrawFn, features: int) -> Any:
    if draw(st.booleans()):
        return draw(st.sampled_from([False, Grow()]))
    least = draw(maybe(st.integers(1, features)))
    return Grow(
        max=draw(maybe(st.integers(features, 1_000_000))),
        min=least,
        step=draw(maybe(FEATURES)),
        ratio=draw(st.sampled_from([1.0, 0.5, 3])),
    )


@st.composite
def graphs(draw: st.DrawFn, *, names: st.SearchStrategy[str] = NAMES, max_nodes: int = 9) -> dict[str, Node]:
    """Nodes in a random document order whose shapes fit; what nobody reads is left for the outputs."""
    chosen = draw(st.lists(names, min_size=2, max_size=max_nodes, unique=True))
    nodes: dict[str, Node] = {}
    widths: dict[str, int] = {}
    for place, name in enumerate(chosen):
        known = list(widths)
        kind = draw(st.sampled_from(["linear", "linear", "sum", "concat", "dropout", "flatten", "input"]))
        if place == 0 or (kind == "input" and place < 3):
            widths[name] = draw(FEATURES)
            nodes[name] = Input(shape=(widths[name],))
            continue
        source = draw(st.sampled_from(known))
        activation = draw(ACTIVATIONS)
        if kind == "sum":
            equal = [other for other in known if widths[other] == widths[source]]
            sources = draw(st.lists(st.sampled_from(equal), min_size=1, max_size=3, unique=True))
            widths[name] = widths[source]
            nodes[name] = Merge(sources=tuple(sources), activation=activation)
        elif kind == "concat":
            sources = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
            widths[name] = sum(widths[other] for other in sources)
            nodes[name] = Merge(sources=tuple(sources), merge="concat")
        elif kind == "dropout":
            widths[name] = widths[source]
            nodes[name] = Dropout(sources=(source,), p=draw(st.sampled_from([0.5, 0, 0.1])))
        elif kind == "flatten":
            widths[name] = widths[source]
            nodes[name] = Flatten(sources=(source,))
        else:
            widths[name] = draw(FEATURES)
            nodes[name] = Linear(
                sources=(source,),
                features=widths[name],
                bias=draw(st.booleans()),
                activation=activation,
                grow=draw(grows(widths[name])),
            )
    order = draw(st.permutations(chosen))
    return {name: nodes[name] for name in order}


growths = st.builds(
    Growth,
    actions=st.sampled_from([("widen",), ()]),
    select=st.sampled_from(["balanced", "slope"]),
    criterion=st.sampled_from(["tiny", "random"]),
    neurons=st.builds(Neurons, per_step=maybe(FEATURES)),
    when=st.builds(When, every=FEATURES, until=st.floats(0.01, 1)),
    stop=st.builds(Stop, steps=maybe(FEATURES), parameters=maybe(FEATURES), madds=maybe(FEATURES)),
    apply_delta=st.booleans(),
    ridge=st.floats(0, 1e300),
    statistics=st.builds(Statistics, samples=maybe(FEATURES)),
    scale=st.sampled_from(["sqrt", "alpha_std"]),
    rescue=st.booleans(),
)
trains = st.builds(
    Train,
    data=st.sampled_from(["digits", "diabetes", "my ${data}: set.csv", "C:\\a b.npz"]),
    loss=st.sampled_from(["cross_entropy", "mse"]),
    optimizer=st.builds(Optimizer, lr=st.floats(1e-300, 1e300), momentum=st.sampled_from([0.0, 0, 0.9])),
    schedule=st.sampled_from(["cosine", "constant"]),
    batch_size=FEATURES,
    epochs=st.integers(1, 10**18),
)


@st.composite
def specs(draw: st.DrawFn, *, names: st.SearchStrategy[str] = NAMES, max_nodes: int = 9) -> Spec:
    """Valid specs; every node that nobody reads is an output."""
    nodes = draw(graphs(names=names, max_nodes=max_nodes))
    read = {source for node in nodes.values() for source in node.sources}
    outputs = [name for name in nodes if name not in read]
    extra = draw(st.lists(st.sampled_from(sorted(nodes)), max_size=2, unique=True))
    outputs = list(dict.fromkeys([*outputs, *extra]))
    return Spec(
        name=draw(NAMES),
        nodes=nodes,
        outputs=tuple(outputs),
        named_outputs=len(outputs) > 1 or draw(st.booleans()),
        growth=draw(growths),
        train=draw(trains),
    )
