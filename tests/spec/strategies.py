"""Random valid specs: any legal name, any shape of graph, any section."""

from __future__ import annotations

from math import prod
from typing import Any

from hypothesis import strategies as st

from gromo_graph.plain_torch.torch_call import per_axis
from gromo_graph.spec import Spec
from gromo_graph.spec.kinds import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AsSequence,
    Attention,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    DepthwiseConv1d,
    DepthwiseConv2d,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Input,
    LayerNorm,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Merge,
    Node,
    Positions,
    Shape,
    Transpose,
    Upsample1d,
    Upsample2d,
)
from gromo_graph.spec.kinds.activation import SetActivation
from gromo_graph.spec.kinds.adaptive_max_pool import AdaptiveMaxPool1d, AdaptiveMaxPool2d
from gromo_graph.spec.kinds.affine import Affine
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.kinds.channel_shuffle import ChannelShuffle
from gromo_graph.spec.kinds.class_token import ClassToken
from gromo_graph.spec.kinds.flip import Flip
from gromo_graph.spec.kinds.grouped_conv import GroupedConv1d, GroupedConv2d
from gromo_graph.spec.kinds.index_select import IndexSelect
from gromo_graph.spec.kinds.pad import Pad
from gromo_graph.spec.kinds.padding_mask import PaddingMask
from gromo_graph.spec.kinds.prelu import PReLU
from gromo_graph.spec.kinds.recurrent import GRU, LSTM
from gromo_graph.spec.kinds.rms_norm import RMSNorm
from gromo_graph.spec.kinds.roll import Roll
from gromo_graph.spec.kinds.rotary import Rotary
from gromo_graph.spec.kinds.scale import Scale
from gromo_graph.spec.kinds.slice import Slice
from gromo_graph.spec.kinds.softmax import LogSoftmax, Softmax
from gromo_graph.spec.kinds.unflatten import Unflatten
from gromo_graph.spec.optimizer_settings import Optimizer
from gromo_graph.spec.settings import Growth, Neurons, Statistics, Stop, When
from gromo_graph.spec.train_settings import Train

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
ACTIVATIONS = st.sampled_from(
    [
        *("identity", "relu", "gelu", "elu", "mish", "sigmoid"),
        *(SetActivation(leaky_relu=0.2), SetActivation(elu=0.5), SetActivation(softplus=2.0)),
    ]
)


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
        kernel=draw(maybe(st.sampled_from(["full", "centre"]))),
    )


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Of an input: features, a sequence or an image."""
    sizes = draw(st.sampled_from([(), (), (7,), (6, 5), (4, 4)]))
    return (draw(FEATURES), *sizes)


@st.composite
def operations(draw: st.DrawFn, source: str, shape: Shape) -> Node:
    """An operation that can read this shape."""
    activation = draw(ACTIVATIONS)
    choices: list[Node] = [
        Dropout(
            sources=(source,),
            p=draw(st.sampled_from([0.5, 0, 0.1])),
            drop=draw(st.sampled_from(["values", "features", "samples"])),
        ),
        Flatten(sources=(source,)),
        Scale(
            sources=(source,),
            factor=draw(st.sampled_from([1.0, -0.5, 3.0])),
            offset=draw(st.sampled_from([0.0, 0.25])),
        ),
        Affine(sources=(source,), weight=draw(st.booleans()), bias=True, shared=draw(st.booleans())),
        Affine(sources=(source,), bias=False, shared=draw(st.booleans())),
        PReLU(sources=(source,), shared=draw(st.booleans())),
        draw(st.sampled_from([Softmax, LogSoftmax]))(sources=(source,)),
        Slice(sources=(source,), start=0, stop=draw(st.integers(1, shape[0]))),
        IndexSelect(
            sources=(source,),
            index=tuple(draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=5, unique=True))),
        ),
        ChannelShuffle(sources=(source,), groups=draw(st.sampled_from(divisors(shape[0])))),
        BatchNorm(sources=(source,), activation=activation, momentum=draw(st.sampled_from([0.1, 0.5]))),
        LayerNorm(
            sources=(source,),
            eps=draw(st.sampled_from([1e-5, 1e-3])),
            elementwise_affine=draw(st.booleans()),
            bias=draw(st.booleans()),
        ),
        RMSNorm(
            sources=(source,),
            eps=draw(st.sampled_from([None, 1e-3])),
            elementwise_affine=draw(st.booleans()),
            over=draw(st.sampled_from(["all", "features"])),
        ),
    ]
    if prod(shape) > 1:
        groups = [number for number in divisors(shape[0]) if number < prod(shape)]
        choices.append(GroupNorm(sources=(source,), groups=draw(st.sampled_from(groups))))
    if len(shape) == 1:
        channels = draw(st.sampled_from(divisors(shape[0])))
        choices.append(Unflatten(sources=(source,), sizes=(channels, shape[0] // channels)))
    if len(shape) == 2:
        height = draw(st.sampled_from(divisors(shape[1])))
        choices.append(Unflatten(sources=(source,), dim=2, sizes=(height, shape[1] // height)))
        if shape[0] % 2 == 0:
            dim = draw(maybe(st.just(2)))
            choices.append(Rotary(sources=(source,), dim=dim, interleaved=draw(st.booleans())))
        choices.append(ClassToken(sources=(source,), count=draw(st.integers(1, 2))))
    if len(shape) > 1:
        place = len(shape) - 2
        choices.append(LayerNorm(sources=(source,), over="features"))
        choices.append((Transpose, AsSequence)[place](sources=(source,)))
        kernel = draw(st.integers(1, min(3, *shape[1:])))
        stride = draw(st.sampled_from([None, 1, 2]))
        choices += [
            (MaxPool1d, MaxPool2d)[place](
                sources=(source,),
                kernel=kernel,
                stride=stride,
                padding=kernel // 2,
                ceil_mode=draw(st.booleans()),
            ),
            (AvgPool1d, AvgPool2d)[place](
                sources=(source,),
                kernel=kernel if place == 0 else (kernel, draw(st.integers(1, kernel))),
                stride=stride,
                padding=draw(st.sampled_from([0, kernel // 2])) if place == 0 else 0,
                ceil_mode=draw(st.booleans()),
                count_include_pad=draw(st.booleans()),
            ),
            (AdaptiveAvgPool1d, AdaptiveAvgPool2d)[place](sources=(source,), size=draw(st.integers(1, 2))),
            (AdaptiveMaxPool1d, AdaptiveMaxPool2d)[place](
                sources=(source,), size=draw(st.sampled_from((1, 2) if place == 0 else (1, (1, 2))))
            ),
            (Upsample1d, Upsample2d)[place](sources=(source,), scale=draw(st.integers(1, 2))),
            (Upsample1d, Upsample2d)[place](
                sources=(source,),
                size=draw(st.integers(1, 8)),
                mode="linear" if place == 0 else draw(st.sampled_from(["bilinear", "bicubic"])),
                align_corners=draw(st.booleans()),
            ),
            Flip(
                sources=(source,),
                dims=draw(st.sampled_from([(2,)] if place == 0 else [(2,), (3,), (2, 3)])),
            ),
            Roll(sources=(source,), shifts=per_axis([draw(st.integers(-2, 2)) for _ in shape[1:]])),
            draw(pads(source, shape)),
            (DepthwiseConv1d, DepthwiseConv2d)[place](
                sources=(source,),
                bias=draw(st.booleans()),
                activation=activation,
                group_width=draw(st.sampled_from(divisors(shape[0]))),
                **draw(convolving(shape)),
            ),
            (GroupedConv1d, GroupedConv2d)[place](
                sources=(source,),
                features=2 * shape[0],
                groups=shape[0],
                bias=draw(st.booleans()),
                **draw(convolving(shape)),
            ),
            Positions(sources=(source,)),
        ]
    return draw(st.sampled_from(choices))


def is_factor(shape: Shape, whole: Shape) -> bool:
    """True if a product of the two is as large as the second."""
    padded = (*shape, *[1] * (len(whole) - len(shape)))
    return len(padded) == len(whole) and all(a in (b, 1) for a, b in zip(padded, whole, strict=True))


@st.composite
def pads(draw: st.DrawFn, source: str, shape: Shape) -> Pad:
    """Positions that are put beside others, or cut off."""
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    least = min(shape[1:])
    lowest = -((least - 1) // 2) if mode == "constant" else 0
    highest = min(2, least - 1) if mode in ("reflect", "circular") else 2
    sides = draw(st.lists(st.integers(lowest, highest), min_size=2, max_size=2))
    return Pad(sources=(source,), padding=tuple(sides) * (len(shape) - 1), mode=mode)


@st.composite
def convolving(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """Kernel, stride, padding and dilation that fit a shape."""
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding: Any = draw(st.sampled_from([0, 1, 2, "same"]))
    reach = dilation * (kernel - 1) + 1
    if padding != "same" and reach > min(shape[1:]) + 2 * padding:
        padding = "same"
    stride = 1 if padding == "same" else draw(st.integers(1, 2))
    if len(shape) == 3 and padding == "same":
        kernel = draw(st.sampled_from([kernel, (1, kernel), (kernel, 1)]))
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


@st.composite
def layers(draw: st.DrawFn, source: str, shape: Shape, features: int) -> Node:
    """A layer that can read this shape; what has positions is convolved."""
    fields: dict[str, Any] = {
        "sources": (source,),
        "features": features,
        "bias": draw(st.booleans()),
        "activation": draw(ACTIVATIONS),
        "grow": draw(grows(features)),
    }
    if len(shape) == 1:
        return Linear(**fields)
    place = len(shape) - 2
    if place == 0 and shape[1] <= 8 and draw(st.sampled_from([False, False, False, True])):
        return draw(st.sampled_from([GRU, LSTM]))(**fields, reverse=draw(st.booleans()))
    if max(shape[1:]) <= 8 and draw(st.sampled_from([False, False, True])):
        return (ConvTranspose1d, ConvTranspose2d)[place](**fields, **draw(transposing(shape)))
    return (Conv1d, Conv2d)[place](**fields, **draw(convolving(shape)))


@st.composite
def transposing(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """The same for a transposed convolution; it leaves a position at least."""
    kernel, dilation, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    further = draw(st.integers(0, max(stride, dilation) - 1))
    made = (min(shape[1:]) - 1) * stride + dilation * (kernel - 1) + further
    return {
        "kernel": kernel,
        "stride": stride,
        "padding": draw(st.integers(0, min(2, made // 2))),
        "output_padding": further,
        "dilation": dilation,
    }


@st.composite
def attentions(draw: st.DrawFn, known: dict[str, Shape], nodes: dict[str, Node]) -> Node | None:
    """An attention between nodes that fit together, None where there are none."""
    with_positions = {name: shape for name, shape in known.items() if len(shape) > 1}
    triples = [
        (query, key, value)
        for query, of_query in with_positions.items()
        for key, of_key in with_positions.items()
        for value, of_value in with_positions.items()
        if len({query, key, value}) == 3 and of_query[0] == of_key[0] and of_key[1:] == of_value[1:]
    ]
    if not triples:
        return None
    query, key, value = draw(st.sampled_from(triples))
    masks = [
        name
        for name, node in nodes.items()
        if isinstance(node, PaddingMask)
        and known[name][1:] == known[key][1:]
        and name not in (query, key, value)
    ]
    mask = (draw(st.sampled_from(masks)),) if masks and draw(st.booleans()) else ()
    heads = [number for number in divisors(known[query][0]) if known[value][0] % number == 0]
    alike = known[query][1:] == known[key][1:]
    return Attention(
        sources=(query, key, value, *mask),
        heads=draw(st.sampled_from(heads)),
        scale=draw(maybe(st.sampled_from([0.5, 2.0]))),
        causal=alike and draw(st.booleans()),
        relative_position_bias=alike and draw(st.booleans()),
        **(draw(windows(known[query][1:])) if alike else {}),
    )


@st.composite
def windows(draw: st.DrawFn, sizes: Shape) -> dict[str, Any]:
    """The windows of an attention that fill positions of these sizes, or none."""
    kind = draw(st.sampled_from([None, None, "window", "grid"]))
    if kind is None:
        return {}
    found = [draw(st.sampled_from(divisors(size))) for size in sizes]
    rolled = [draw(st.integers(0, size - 1)) if kind == "window" else 0 for size in found]
    return {kind: per_axis(found), "rolled": per_axis(rolled)}


@st.composite
def embeddings(draw: st.DrawFn, source: str, features: int) -> Node:
    """A layer that reads token ids."""
    vocabulary = draw(st.integers(1, 9))
    return Embedding(
        sources=(source,),
        features=features,
        vocabulary=vocabulary,
        padding_idx=draw(maybe(st.integers(0, vocabulary - 1))),
        activation=draw(ACTIVATIONS),
        grow=draw(grows(features)),
    )


@st.composite
def graphs(
    draw: st.DrawFn,
    *,
    names: st.SearchStrategy[str] = NAMES,
    max_nodes: int = 9,
    tokens: bool = True,
    attention: bool = True,
) -> dict[str, Node]:
    """Nodes in a random document order whose shapes fit; what nobody reads is left for the outputs."""
    chosen = draw(st.lists(names, min_size=2, max_size=max_nodes, unique=True))
    nodes: dict[str, Node] = {}
    known: dict[str, Shape] = {}
    ids: str | None = None  # an input of token ids, which embeddings alone may read
    for place, name in enumerate(chosen):
        kind = draw(
            st.sampled_from(
                [
                    *("layer", "layer", "layer", "sum", "product", "concat", "attention", "operation"),
                    *("input", "ids"),
                ]
            )
        )
        if place == 0 or (kind == "input" and place < 3):
            nodes[name] = Input(shape=draw(shapes()))
            known[name] = nodes[name].output_shape([])
            continue
        if kind == "ids" and tokens and place < 3 and ids is None:
            nodes[name], ids = Input(shape=(draw(st.integers(1, 7)),)), name
            continue
        source = draw(st.sampled_from(list(known)))
        compared = draw(attentions(known, nodes)) if kind == "attention" and attention else None
        if compared is not None:
            nodes[name] = compared
        elif kind == "sum":
            equal = [other for other in known if known[other] == known[source]]
            sources = draw(st.lists(st.sampled_from(equal), min_size=1, max_size=3, unique=True))
            nodes[name] = Merge(sources=tuple(sources), activation=draw(ACTIVATIONS))
        elif kind == "product":
            factors = [other for other in known if is_factor(known[other], known[source])]
            sources = draw(st.lists(st.sampled_from(factors), min_size=1, max_size=3, unique=True))
            nodes[name] = Merge(sources=tuple(sources), merge="product", activation=draw(ACTIVATIONS))
        elif kind == "concat":
            beside = [other for other in known if known[other][1:] == known[source][1:]]
            sources = draw(st.lists(st.sampled_from(beside), min_size=1, max_size=3, unique=True))
            nodes[name] = Merge(sources=tuple(sources), merge="concat")
        elif kind == "operation":
            nodes[name] = draw(operations(source, known[source]))
        else:
            wanted = draw(FEATURES)
            if draw(st.booleans()):  # as wide as another, so that sums are possible
                wanted = known[draw(st.sampled_from(list(known)))][0]
            if ids is not None and draw(st.booleans()):
                mask = PaddingMask(sources=(ids,), padding_idx=draw(st.integers(0, 2)))
                nodes[name] = (
                    mask if draw(st.sampled_from([False] * 3 + [True])) else draw(embeddings(ids, wanted))
                )
            else:
                nodes[name] = draw(layers(source, known[source], wanted))
        inputs = [nodes[other].shape if other == ids else known[other] for other in nodes[name].sources]
        known[name] = nodes[name].output_shape(inputs)
    order = draw(st.permutations(chosen))
    return {name: nodes[name] for name in order}


growths = st.builds(
    Growth,
    actions=st.sampled_from([("widen",), ()]),
    select=st.sampled_from(["balanced", "slope"]),
    criterion=st.sampled_from(["tiny", "gradmax", "random", "variance_transfer"]),
    neurons=st.builds(Neurons, per_step=maybe(FEATURES)),
    when=st.builds(When, every=FEATURES, until=st.floats(0.01, 1)),
    stop=st.builds(Stop, steps=maybe(FEATURES), parameters=maybe(FEATURES), madds=maybe(FEATURES)),
    apply_delta=st.booleans(),
    ridge=st.floats(0, 1e300),
    statistics=st.builds(Statistics, samples=maybe(FEATURES), error=maybe(st.floats(0.001, 0.5))),
    kernel=st.sampled_from(["full", "centre"]),
    allow_jump=st.booleans(),
    scale=st.sampled_from(["sqrt", "alpha_std"]),
    rescue=st.booleans(),
)
trains = st.builds(
    Train,
    data=st.sampled_from(["digits", "diabetes", "my ${data}: set.csv", "C:\\a b.npz"]),
    loss=st.sampled_from(["cross_entropy", "mse"]),
    optimizer=st.builds(Optimizer, lr=st.floats(1e-300, 1e300), momentum=st.sampled_from([0.0, 0, 0.9])),
    schedule=st.sampled_from(["cosine", "constant"]),
    batch_size=st.integers(2, 6),
    epochs=st.integers(1, 10**18),
)


@st.composite
def specs(
    draw: st.DrawFn,
    *,
    names: st.SearchStrategy[str] = NAMES,
    max_nodes: int = 9,
    tokens: bool = True,
    attention: bool = True,
) -> Spec:
    """Valid specs; every node that nobody reads is an output. Some read token ids, where these are wanted."""
    nodes = draw(graphs(names=names, max_nodes=max_nodes, tokens=tokens, attention=attention))
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
