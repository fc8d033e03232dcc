"""Transposed convolutions are torch's: what they compute, their sizes and what they cost; and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from gromo_graph import SpecError, compile_network, parse_spec
from gromo_graph.algebra import patch_matrix
from gromo_graph.errors import GrowthError
from gromo_graph.layers import adapter_for
from gromo_graph.layers.conv_transpose import TransposedConv1d, TransposedConv2d
from gromo_graph.modules import GrowingModule
from gromo_graph.spec.kinds import ConvTranspose1d, ConvTranspose2d
from gromo_graph.spec.kinds.window import TransposedAxis

TORCH = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d}
OURS = {1: TransposedConv1d, 2: TransposedConv2d}
KINDS = {1: ConvTranspose1d, 2: ConvTranspose2d}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a transposed convolution, whatever it makes of an input."""
    found = {
        "kernel_size": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 3)),
        "padding": draw(st.integers(0, 4)),
        "dilation": draw(st.integers(1, 3)),
    }
    return found | {"output_padding": draw(st.integers(0, max(found["stride"], found["dilation"]) - 1))}


@settings(max_examples=50)
@given(options(), st.sampled_from([1, 2]), st.integers(1, 5), st.booleans())
def test_values_and_sizes_are_those_of_torch(
    given_options: dict[str, Any], axes: int, size: int, bias: bool
) -> None:
    theirs = TORCH[axes](2, 3, bias=bias, dtype=torch.float64, **given_options)
    x = torch.randn(2, 2, *[size, size + 1][:axes], dtype=torch.float64)
    words = {"kernel" if key == "kernel_size" else key: value for key, value in given_options.items()}
    node = KINDS[axes](sources=("x",), features=3, bias=bias, **words)
    axis = node.axis(0)
    sizes = tuple(axis.outputs(each) for each in x.shape[2:])
    try:
        expected = theirs(x)
    except RuntimeError:  # nothing is left of some axis
        assert min(sizes) < 1
        return
    assert node.output_shape([tuple(x.shape[1:])]) == tuple(expected.shape[1:]) == (3, *sizes)
    assert node.parameter_count([tuple(x.shape[1:])]) == sum(p.numel() for p in theirs.parameters())
    with FlopCounterMode(display=False) as counted:
        theirs(x)
    assert counted.get_total_flops() == 2 * 2 * node.multiply_adds([tuple(x.shape[1:])])
    ours = OURS[axes](2, 3, bias=bias, **given_options).double()
    for name, parameter in theirs.named_parameters():
        values = parameter.detach()
        getattr(ours, name).data = (values.transpose(0, 1) if name == "weight" else values).clone()
    torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)
    plain = ours.as_torch()
    assert type(plain) is TORCH[axes]
    assert repr(plain) == repr(theirs)
    assert all(torch.equal(plain.state_dict()[key], value) for key, value in theirs.state_dict().items())
    adapter = adapter_for(ours)
    matrix = adapter.matrix(ours.weight.detach(), None if ours.bias is None else ours.bias.detach())
    rows = adapter.patches(ours, x)
    assert rows.grid == (sizes if axes == 2 else (1, *sizes))
    found = torch.einsum("oc,ncp->nop", matrix, patch_matrix(rows)).reshape(expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@given(options(), st.integers(1, 6))
def test_a_tap_that_reads_all_positions_is_known_without_their_number(
    given_options: dict[str, Any], size: int
) -> None:
    kernel = given_options["kernel_size"]
    axis = TransposedAxis.of(
        kernel, *(given_options[name] for name in ("stride", "padding", "output_padding", "dilation"))
    )
    for tap in range(kernel):
        if axis.reads_each_once((tap,)):
            assert axis.reads(size, (tap,)) == (1.0,) * size
        elif size > 1:
            assert axis.reached(tap, size) != (1.0,) * size


def test_a_layer_shows_copies_and_grows_by_hand() -> None:
    layer = TransposedConv2d(3, 2, (2, 3), stride=(2, 1), bias=False)
    torch.nn.init.normal_(layer.weight)
    assert "3, 2, kernel_size=(2, 3), stride=(2, 1)" in repr(layer)
    assert repr(layer).endswith("bias=False)")
    again = pickle.loads(pickle.dumps(layer))  # noqa: S301 - what was just written
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(again(x), layer(x))
    module = GrowingModule(layer, name="up")
    before = module(x)
    module.add_parameters(None, None, added_in_features=2, added_out_features=0)
    module.add_parameters(None, None, added_in_features=0, added_out_features=1)
    assert (layer.in_channels, layer.out_channels, tuple(layer.weight.shape)) == (5, 3, (3, 5, 2, 3))
    wider = module(torch.cat((x, torch.randn(2, 2, 4, 4)), dim=1))
    torch.testing.assert_close(wider[:, :2], before)
    assert not wider[:, 2:].any()


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(
        GrowthError, match=r"type ConvTranspose2d cannot grow: expected one of Conv1d, .* makes of a spec"
    ):
        GrowingModule(torch.nn.ConvTranspose2d(2, 3, 2), name="up")
    layer = TransposedConv1d(2, 3, 2, padding=1)
    with pytest.raises(GrowthError, match=r"an input of shape \(1, 2, 1\) does not reach an output"):
        adapter_for(layer).patches(layer, torch.zeros(1, 2, 1))


SPEC = """
nodes:
  x: {{kind: input, shape: [2, 3, 3]}}
  up: {{kind: conv_transpose2d, from: x, features: 3, {options}}}
output: up
"""


def test_first_weights_come_from_the_seed_and_the_drawing_says_what_is_unusual() -> None:
    text = SPEC.format(
        options="kernel: 3, stride: 2, padding: 1, output_padding: 1, dilation: 2, activation: relu"
    )
    one, two, other = (compile_network(parse_spec(text), seed=seed) for seed in (0, 0, 1))
    weights = [network.parts["up"].weight for network in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].abs().max() <= 1 / 18**0.5
    assert one.spec.nodes["up"].details == ("3×3", "stride 2", "dilation 2", "relu")
    assert one.graph.shapes["up"] == (3, 8, 8)


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        (
            "kernel: 2, stride: 2, output_padding: 2",
            "an output_padding of 2 must be smaller than the stride of 2",
        ),
        (
            "kernel: 2, padding: 2",
            "a padding of 2, cut off at either end, needs an input that makes more than 4",
        ),
        ("kernel: 2, padding: same", "padding: found"),
        ("kernel: 2, padding: -1", "padding: found -1"),
        ("kernel: 2, groups: 3", "groups"),
        ("stride: 2", "`kernel` is missing"),
    ],
)
def test_impossible_options_are_refused_in_words(given_options: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        compile_network(parse_spec(SPEC.format(options=given_options)))
