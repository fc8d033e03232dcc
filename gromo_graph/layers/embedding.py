"""`embedding`: a layer that reads token ids; it is a linear map of one-hot rows, and grows as such."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from gromo_graph.algebra import Patches, accumulation_dtype, measured_image
from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel
from gromo_graph.layers.replaced import Replaced
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.layers.weighted import Weighted, bare
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, sizes_of, weights_of
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.window import Axis

_POINT = Axis(1)


class TokenVectors(torch.nn.Module):
    """Token ids (n, length) -> (n, features, length).

    The weight lies as those of other layers do, a row for each feature, so that growing appends rows; of
    torch.nn.Embedding it is the transpose.

    Args:
        vocabulary: number of different tokens. features: numbers for each.
        padding_idx: the id that fills rows up; it is looked up as others are, but training leaves its vector alone.
        device, dtype: of the weight. Its values are for the caller to draw.
    """

    values_read = 1
    """Values that make up one of its outputs: of a one-hot row all others are 0."""

    def __init__(
        self,
        vocabulary: int,
        features: int,
        *,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.padding_idx = padding_idx
        self.weight = Parameter(torch.empty(features, vocabulary, device=device, dtype=dtype))
        self.register_parameter("bias", None)

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of the tokens; ids are integers, or whole numbers as floats.

        Raises:
            GrowthError: an id is no whole number, or outside the vocabulary; a compiled pass does not look.
        """
        if not torch.compiler.is_compiling():
            problem = ids_problem(ids, self.weight.shape[1])
            if problem is not None:
                raise GrowthError(f"{self}: {problem}")
        return functional.embedding(ids.long(), self.weight.T, self.padding_idx).transpose(1, 2)

    def extra_repr(self) -> str:
        """Its sizes."""
        features, vocabulary = self.weight.shape
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{vocabulary}, {features}{padding}"


def ids_problem(ids: Tensor, vocabulary: int) -> str | None:
    """The fault of token ids, or None.

    >>> ids_problem(torch.tensor([0.0, 2.0]), 3), ids_problem(torch.tensor([3]), 3)
    (None, 'found the token id 3: expected whole numbers from 0 to 2')
    """
    if not ids.numel():
        return None
    wrong = (ids < 0) | (ids >= vocabulary)
    if ids.is_floating_point():
        wrong |= ids != ids.round()
    if not bool(wrong.any()):
        return None
    return f"found the token id {float(ids[wrong][0]):g}: expected whole numbers from 0 to {vocabulary - 1}"


def build(node: kinds.Embedding, inputs: Sequence[kinds.Shape]) -> TokenVectors:
    """The torch layer of an embedding; its weights are drawn by the compiler, from a generator."""
    return TokenVectors(node.vocabulary, node.features, padding_idx=node.padding_idx)


class EmbeddingAdapter(Weighted[TokenVectors]):
    """Implements `LayerAdapter` for the convolution with a kernel of 1 that an embedding is to one-hot rows."""

    layer_type: type[torch.nn.Module] = TokenVectors
    feature_dim: int = 1
    dimensions: int = 1

    def moment_key(self, layer: TokenVectors) -> Hashable:
        return ("embedding", self.in_neurons(layer))

    def axes(self, layer: TokenVectors) -> tuple[Axis, Axis]:
        return (_POINT, _POINT)

    def patches(self, layer: TokenVectors, x: Tensor) -> Patches:
        """The rows are one-hot; they are formed here, for the statistics, and nowhere else."""
        if x.dim() != 2:
            raise GrowthError(
                f"an input of shape {tuple(x.shape)} is no row of token ids: expected (n, length)"
            )
        n, length = x.shape
        dtype = accumulation_dtype(layer.weight.dtype)
        image = torch.zeros(n, self.in_neurons(layer), 1, length, device=x.device, dtype=dtype)
        image.scatter_(1, x.detach().long()[:, None, None, :], 1.0)
        if layer.padding_idx is not None:  # no gradient reaches its vector
            image[:, layer.padding_idx] = 0.0
        return Patches(image, grid=(1, length))

    def weight_and_bias(self, layer: TokenVectors, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """New features of the padding are 0: its statistics are, so that nothing else was solved for."""
        weight, bias = super().weight_and_bias(layer, matrix)
        if layer.padding_idx is not None:
            weight = weight.clone()
            weight[:, layer.padding_idx] = 0.0
        return weight, bias

    def output_image(self, layer: TokenVectors, a: Tensor) -> Tensor:
        features = self.out_neurons(layer)
        if a.dim() != 3 or a.shape[1] != features:
            raise GrowthError(
                f"a gradient of shape {tuple(a.shape)} does not fit the layer: expected (n, {features}, length)"
            )
        return measured_image(a[:, :, None, :])

    def fan_out_weight(self, layer: TokenVectors, omega: Tensor, kernel: Kernel) -> Tensor:
        raise _no_new_inputs(layer)

    def extend_in(self, layer: TokenVectors, weight: Tensor, at: int) -> list[Replaced]:
        raise _no_new_inputs(layer)

    def empty_like(self, layer: TokenVectors, weight: Tensor, bias: bool) -> TokenVectors:
        if bias:
            raise GrowthError(f"{layer} has no bias, and cannot get one")
        return bare(TokenVectors, padding_idx=layer.padding_idx)

    def write_sizes(self, layer: TokenVectors) -> None:
        """It notes none down."""

    def with_constant(self, layer: TokenVectors, x: Tensor) -> Tensor:
        raise GrowthError(f"{layer} has no bias: token ids stand alone")

    def input_size(self, layer: TokenVectors, x: Tensor) -> tuple[int, ...]:
        return (self.in_neurons(layer), *x.shape[1:])

    def check_input_size(self, layer: TokenVectors, size: tuple[int, ...]) -> None:
        if len(size) != 2 or size[0] != self.in_neurons(layer):
            raise GrowthError(
                f"an input size of {size} does not fit the layer: expected ({self.in_neurons(layer)}, length), the "
                "vocabulary first"
            )


def _no_new_inputs(layer: TokenVectors) -> GrowthError:
    return GrowthError(f"{layer} reads token ids: what is before it cannot grow")


def embedding(
    call: TorchCall,
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> ModelValue:
    """torch's operator of export says −1 for no padding."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise Unmapped(
            f"its max_norm is {max_norm}, scale_grad_by_freq {scale_grad_by_freq}, sparse {sparse}: expected none of "
            "these"
        )
    weights = weights_of(call, weight=weight)
    vocabulary, features = sizes_of(weights["weight"])
    if weights["weight"] is not None:  # torch keeps it as (tokens, features)
        weights["weight"] = weights["weight"].converted(lambda table: table.T)
    fields: dict[str, Any] = {"vocabulary": vocabulary, "features": features}
    if padding_idx not in (None, -1):
        fields["padding_idx"] = padding_idx
    return call.behind_positions(call.add(kinds.Embedding, weights, sources=(call.exact(input),), **fields))


def _plain(part: TokenVectors) -> PlainTorch:
    weight = part.weight
    frozen = not weight.requires_grad
    table = torch.nn.Embedding.from_pretrained(weight.detach().T, frozen, part.padding_idx)
    table.train(part.training)
    return PlainTorch({"": table}, lambda call, ids: call("", ids.long()).transpose(1, 2))


_ATTRIBUTES = ("weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")

TORCH = TorchHalf(
    build,
    [EmbeddingAdapter()],
    import_functions={"embedding": embedding},
    import_modules={torch.nn.Embedding: as_function(embedding, *_ATTRIBUTES)},
    export={TokenVectors: _plain},
)
