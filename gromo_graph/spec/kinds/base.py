"""The torch-free half of every kind: fields, shape rule, width rule, cost and drawing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, TypeGuard

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.activation import Activation, activation_of
from gromo_graph.spec.kinds.frozen import Frozen as Frozen

Shape = tuple[int, ...]
"""A node's output without the batch: (features,), (channels, length) or (channels, height, width)."""

MAX_FEATURES = 1_000_000

Features = Annotated[int, Field(ge=1, le=MAX_FEATURES)]

Family = Literal["linear", "convolution", "norm", "pool", "other"]
"""Kinds that are drawn in one colour."""


class ShapeMismatch(ValueError):  # noqa: N818 - it names the fact; the reader sees a SpecError
    """The inputs of a node do not fit it.

    Args:
        expected: what the node needs, e.g. `a sum needs equal shapes`; what was found is added by the caller,
            who knows the names of the edges.
        advice: what to do.
        key: the key of the node that is to blame.
    """

    def __init__(
        self, expected: str, advice: str = "give the sources other shapes", *, key: str = "from"
    ) -> None:
        super().__init__(f"{expected}: {advice}")
        self.expected, self.advice, self.key = expected, advice, key


class WidthRule(Enum):
    """The rule by which the width of a node's output follows from the widths of its inputs."""

    FIXED = "fixed"
    """Nothing grows through it: the document says the width, or another size of what it reads (input, transpose)."""
    CHOSEN = "chosen"
    """The document says which features of its input it is; these grow on without it (index_select)."""
    OWNED = "owned"
    """The node's own weights make it: it produces one width group and consumes another (layers)."""
    SHARED = "shared"
    """It is the width of every input (sum, dropout, pools, norms)."""
    CONCATENATED = "concatenated"
    """It is the sum of the input widths, segment after segment (concat)."""
    LAST = "last"
    """It is the width of the third input; the first two must be as wide as each other (attention)."""
    REPEATED = "repeated"
    """Each feature of the input becomes several neighbouring ones (flatten)."""


class Grow(Frozen):
    """The limits of growth of one node.

    Attributes:
        max: no width beyond this (features).
        min: a growth step never leaves the node narrower than this (features).
        step: neurons added at once here, instead of the document's `growth.neurons`.
        ratio: the target width relative to the other growing nodes (no unit).
        target: the width that growth leads to (features).
        kernel: the kernels convolutions get for new features; None takes that of the document's policy.
        tie: a name; nodes with the same one keep the same width.
    """

    max: Features | None = Field(None, description="Largest width of the node.")
    min: Features | None = Field(None, description="Width up to which this node grows before others.")
    step: Features | None = Field(None, description="Neurons added at once at this node.")
    ratio: float = Field(1.0, gt=0, description="Target width relative to the other growing nodes.")
    kernel: Literal["full", "centre"] | None = Field(
        None, description="Kernels of convolutions for new features; by default `growth.kernel`."
    )
    target: Features | None = Field(None, description="Width that is reached when growth ends.")
    tie: str | None = Field(
        None, min_length=1, description="Any name; nodes with the same name keep the same width."
    )


SWITCHES = {"on": True, "yes": True, "off": False, "no": False}
"""Words that YAML 1.2 takes for text, and `grow` for true and false."""


def _read_grow(value: Any) -> Any:
    switch = SWITCHES.get(value) if isinstance(value, str) else value
    if switch is True:
        return {}
    if switch is False:
        return False
    if isinstance(value, Grow | dict):
        return value
    raise PydanticCustomError("form", "expected true, false or a map of limits such as {max: 128}")


def _grow_form(value: Any) -> str:
    return "map" if isinstance(value, Grow | dict) else "off"


# The discriminator keeps the messages to the form that was written.
GrowField = Annotated[
    Annotated[Grow, Tag("map")] | Annotated[Literal[False], Tag("off")],
    Discriminator(_grow_form),
    BeforeValidator(_read_grow),
]


def _read_sources(value: Any) -> Any:
    """`from: a` and `from: [a]` say the same."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Sources = Annotated[tuple[str, ...], BeforeValidator(_read_sources)]


class Node(Frozen):
    """Base of every node kind. A kind overrides the rules below; it never sees another node's model."""

    width_rule: ClassVar[WidthRule]
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]]
    family: ClassVar[Family] = "other"
    """The group of kinds it is drawn like."""
    max_sources: ClassVar[int | None] = 1
    """The number of nodes it may read; None for any."""
    source_names: ClassVar[tuple[str, ...]] = ()
    """The part that each source plays, in the order of `from`, if they differ; then all must be there."""
    jumps: ClassVar[bool] = False
    """True if new features change its old outputs at once, even with tiny weights."""
    has_first_weights: ClassVar[bool] = False
    """True if the compiler draws its first weights; others begin as torch makes them."""

    kind: str
    sources: Sources = Field(alias="from", min_length=1, description="The node or nodes that this one reads.")

    @property
    def symbol(self) -> str | None:
        """A sign drawn instead of the kind's name, or None."""
        return None

    @property
    def tokens(self) -> int | None:
        """The number of token ids it can look up; None if it reads values."""
        return None

    @property
    def details(self) -> tuple[str, ...]:
        """Short words beside the kind in tables and drawings, e.g. ("relu",)."""
        activation = activation_of(self)
        return () if activation == "identity" else (str(activation),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the output; raises ShapeMismatch if the inputs do not fit."""
        raise NotImplementedError

    def needs_company(self, inputs: Sequence[Shape]) -> bool:
        """True if it cannot train on one sample alone, as what it normalises would be a single value."""
        return False

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """Trainable numbers, exactly."""
        return 0

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """Multiply-adds of the forward pass for one sample; a node without weights counts as 0."""
        return 0

    def unit(self, features: int) -> int:
        """New features come in multiples of this number."""
        return 1

    def widened(self, features: int, added: int) -> Node:
        """The node once its input, which had `features`, has `added` more."""
        return self

    def matched_by(self, features: int) -> Node:
        """The node once those inputs that it compares with each other, which had so many features, get others."""
        return self

    def why_ends(self, name: str) -> tuple[str, str]:
        """The reasons, for a width rule FIXED, why what the node reads cannot grow and why its output cannot.

        Args:
            name: the node's own.
        """
        return f"`{name}` reads it as it is", f"its width is that of `{name}`"

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """Say why features that pass through it cannot grow; None if they can.

        Args:
            segments: number of layers whose features lie side by side in its input.
            repeated: whether a flatten has made several features of each.
        """
        return None


class Weighted(Node):
    """A node with weights of its own."""

    frozen: bool = Field(False, description="Keep the weights unchanged in training and growth.")


def is_frozen(node: Node) -> bool:
    """True if a node has weights, and they stay as they are."""
    return isinstance(node, Weighted) and node.frozen


def is_affine(node: Node) -> TypeGuard[Layer]:
    """True for a layer whose output, before the activation, is an affine function of its input."""
    return isinstance(node, Layer) and node.affine


class Operation(Node):
    """A node without a width of its own: what passes through it keeps its features."""

    width_rule: ClassVar[WidthRule] = WidthRule.SHARED
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "operation"
    passes_new_unchanged: ClassVar[bool] = False
    """True if new features leave it as they enter it, so that it may stand before what attention compares (rotary)."""


class Layer(Weighted):
    """A growing node: its weights make the features of its output."""

    width_rule: ClassVar[WidthRule] = WidthRule.OWNED
    has_first_weights: ClassVar[bool] = True
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "layer"

    affine: ClassVar[bool] = True
    """True if its output, before the activation, is an affine function of its input."""
    reads_tokens: ClassVar[bool] = False
    """True if it reads token ids instead of features."""

    features: Features = Field(description="Width of the output.")
    bias: bool = Field(True, description="Add a bias to each feature.")
    activation: Activation = Field("identity", description="Activation applied to the output.")
    grow: GrowField = Field(
        default_factory=Grow, description="Growth of the features: allowed or not, and its limits."
    )

    def pointwise(self) -> Layer:
        """The same kind of layer at each position by itself."""
        return self
