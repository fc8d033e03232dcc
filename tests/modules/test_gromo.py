"""Chains of linear layers and of convolutions against gromo 0.1.0, an independent implementation of the same API."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Conv2d, Module

from tests import reference
from tests.modules.chains import ACTIVATIONS, Chain, chain
from tests.modules.convolutions import chain_of

F64 = torch.float64
THRESHOLDS = {"numerical_threshold": 1e-12, "statistical_threshold": 1e-6}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The other library warns a lot; and it takes its device from a global."""
    pytest.importorskip("gromo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gromo.utils.utils import reset_device, set_device

        set_device("cpu")
        yield
        reset_device()


def twin(found: Chain) -> list[Any]:
    """The same layers, linked and measured on the same data by the other library."""
    from gromo.modules.linear_growing_module import LinearGrowingModule

    others: list[Any] = []
    for module in found.modules:
        other = LinearGrowingModule(
            module.in_neurons,
            module.out_neurons,
            use_bias=module.use_bias,
            post_layer_function=module.post_layer_function,
            allow_growing=bool(others),
            previous_module=others[-1] if others else None,
            name=module.name,
        )
        other.double()
        other.layer.load_state_dict(module.layer.state_dict())
        others.append(other)
    measure(others, found.x, found.y)
    return others


def measure(others: list[Any], x: Tensor, y: Tensor) -> None:
    """Statistics and optimal updates of the other library's modules."""
    for other in others:
        other.init_computation()
    for other in others:
        x = other(x)
    (x - y).square().sum().backward()
    for other in others:
        other.update_computation()
    for other in others[1:]:
        other.compute_optimal_updates(dtype=F64, **THRESHOLDS)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
def test_chain(activation: str, bias: bool) -> None:
    found = chain(7, 5, 4, 3, activation=activation, bias=bias, rows=120, seed=3)
    others = twin(found)
    found.gather()
    for module, other in zip(found.modules[1:], others[1:], strict=True):
        module.compute_optimal_updates(dtype=F64, **THRESHOLDS)
        near = {"rtol": 1e-4, "atol": 1e-7}
        for mine, theirs in (
            (module.tensor_s(), other.tensor_s()),
            (module.tensor_m(), other.tensor_m()),
            (module.tensor_n, other.tensor_n),
            (module.optimal_delta_layer.weight, other.optimal_delta_layer.weight),
            (module.eigenvalues_extension, other.eigenvalues_extension),
            (module.parameter_update_decrease, other.parameter_update_decrease),
            (module.first_order_improvement, other.first_order_improvement),
        ):
            torch.testing.assert_close(mine.detach(), theirs.detach().to(F64), **near)
        for mine, theirs in zip(
            reference.products(both_weights(module), module.extended_input_layer.weight),
            reference.products(both_weights(other), other.extended_input_layer.weight),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs.to(F64), rtol=1e-4, atol=1e-6)


def both_weights(module: Any) -> torch.Tensor:
    """[weight | bias] of the neurons that the previous module would gain."""
    layer = module.previous_module.extended_output_layer
    if layer.bias is None:
        return layer.weight.detach()
    return torch.cat((layer.weight, layer.bias[:, None]), dim=1).detach()


def images(bias: bool) -> list[Module]:
    return [
        Conv2d(2, 3, 3, padding=1, bias=bias),
        Conv2d(3, 2, 3, padding=1, bias=bias),
        Conv2d(2, 2, (1, 3), padding=(0, 1), bias=bias),
    ]


def gaps(bias: bool) -> list[Module]:
    return [
        Conv2d(2, 3, 2, dilation=2, bias=bias),
        Conv2d(3, 2, (3, 1), dilation=2, padding=(2, 0), bias=bias),
    ]


def strides(bias: bool) -> list[Module]:
    return [
        Conv2d(2, 3, (3, 2), stride=(1, 2), padding=1, bias=bias),
        Conv2d(3, 2, 3, stride=2, padding=1, bias=bias),
    ]


def valid(bias: bool) -> list[Module]:
    return [Conv2d(2, 3, 2, bias=bias), Conv2d(3, 2, 3, bias=bias)]


def even(bias: bool) -> list[Module]:
    return [Conv2d(2, 3, 2, bias=bias), Conv2d(3, 2, (2, 4), padding=1, bias=bias)]


def convolved(
    layers: Callable[[bool], list[Module]], kernel: str, activation: str = "tanh", *, bias: bool
) -> Chain:
    """A chain of convolutions, more positions than columns, with the optimal updates of every layer pending."""
    made = layers(bias)
    between = [ACTIVATIONS[activation]() for _ in made[1:]]
    found = chain_of(made, between, (2, 6, 5), kernel=kernel, rows=40, seed=3)
    found.gather()
    for module in found.modules[1:]:
        module.compute_optimal_updates(dtype=F64, **THRESHOLDS)
    return found


def convolved_twin(found: Chain, kernel: str, *, turned: bool = False) -> list[Any]:
    """The same convolutions, linked and measured on the same data by the other library.

    It makes its masks in the default dtype, so that is double precision while it works.

    Args:
        turned: turn kernels and images by 180 degrees: every layer then computes its old output, turned.
    """
    from gromo.modules import conv2d_growing_module as theirs

    make = {"full": theirs.FullConv2dGrowingModule, "centre": theirs.RestrictedConv2dGrowingModule}[kernel]
    others: list[Any] = []
    usual = torch.get_default_dtype()
    torch.set_default_dtype(F64)
    try:
        for module in found.modules:
            layer = module.layer
            other = make(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                use_bias=module.use_bias,
                post_layer_function=module.post_layer_function,
                previous_module=others[-1] if others else None,
                allow_growing=bool(others),
                name=module.name,
            )
            other.layer.load_state_dict(layer.state_dict())
            if turned:
                other.layer.weight.data = other.layer.weight.data.flip(2, 3)
            others.append(other)
        x, y = (image.flip(2, 3) if turned else image for image in (found.x, found.y))
        measure(others, x, y)
    finally:
        torch.set_default_dtype(usual)
    return others


def close(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine.detach(), theirs.detach(), rtol=1e-6, atol=1e-8)


def compare_statistics(module: Any, other: Any) -> None:
    """All that stands before the new neurons but S of the growth; in rows and columns the two libraries agree.

    C needs a transposition: theirs is (columns, columns) where one tap grows, and (taps, columns before, columns) where
    all do; here it is (columns before, taps, columns).
    """
    cross = other.cross_covariance()
    for mine, theirs in (
        (module.tensor_s(), other.tensor_s()),
        (module.tensor_m(), other.tensor_m()),
        (module.optimal_delta_layer.weight, other.optimal_delta_layer.weight),
        (module.parameter_update_decrease, other.parameter_update_decrease),
        (module.tensor_m_prev(), other.tensor_m_prev()),
        (module.cross_covariance(), cross[:, None] if cross.dim() == 2 else cross.transpose(0, 1)),
        (module.tensor_n, other.tensor_n),
    ):
        close(mine, theirs)
    if module.use_bias:
        close(module.optimal_delta_layer.bias, other.optimal_delta_layer.bias)


def compare_neurons(module: Any, other: Any) -> None:
    """Singular values, the promise, and each neuron up to its sign, which neither fan-in nor fan-out has alone."""
    close(module.eigenvalues_extension, other.eigenvalues_extension)
    close(module.first_order_improvement, other.first_order_improvement)
    omega, their_omega = module.extended_input_layer.weight, other.extended_input_layer.weight
    signs = (omega * their_omega).sum(dim=(0, 2, 3)).sign()
    close(omega, their_omega * signs[:, None, None])
    alpha, their_alpha = (each.previous_module.extended_output_layer for each in (module, other))
    close(alpha.weight, their_alpha.weight * signs[:, None, None, None])
    if module.previous_module.use_bias:
        close(alpha.bias, their_alpha.bias * signs)
    # Theirs has a bias of nought where the layer has one: it would be added to the old one. Ours has none.
    assert module.extended_input_layer.bias is None
    assert other.extended_input_layer.bias is None or not other.extended_input_layer.bias.any()


@pytest.mark.parametrize("layers", [images, gaps, strides, valid, even])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_with_whole_kernels(
    layers: Callable[[bool], list[Module]], activation: str, bias: bool
) -> None:
    found = convolved(layers, "full", activation, bias=bias)
    others = convolved_twin(found, "full")
    for module, other in zip(found.modules[1:], others[1:], strict=True):
        compare_statistics(module, other)
        close(module.tensor_s_growth(), other.tensor_s_growth())
        compare_neurons(module, other)


@pytest.mark.parametrize("layers", [images, gaps])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_with_kernels_of_one_tap(
    layers: Callable[[bool], list[Module]], activation: str, bias: bool
) -> None:
    found = convolved(layers, "centre", activation, bias=bias)
    others = convolved_twin(found, "centre")
    for module, other in zip(found.modules[1:], others[1:], strict=True):
        compare_statistics(module, other)
        close(module.tensor_s_growth(), other.tensor_s_growth())
        compare_neurons(module, other)


@pytest.mark.parametrize("layers", [strides, valid])
@pytest.mark.parametrize("bias", [True, False])
def test_kernels_of_one_tap_that_do_not_read_every_position(
    layers: Callable[[bool], list[Module]], bias: bool
) -> None:
    """There the other library's S is not that of what the tap reads, but of all positions: S of the layer before.

    A position that is not read has no part in what a new channel does, so here it does not count. All else is the same:
    with its S, our N gives its neurons.
    """
    found = convolved(layers, "centre", bias=bias)
    first, module = found.modules
    other = convolved_twin(found, "centre")[1]
    compare_statistics(module, other)
    assert not torch.allclose(module.tensor_s_growth(), other.tensor_s_growth())
    close(first.tensor_s(), other.tensor_s_growth())
    expected = reference.neurons(first.tensor_s(), module.tensor_n)
    assert len(expected.values) == len(other.eigenvalues_extension)
    close(expected.values, other.eigenvalues_extension)
    alpha = other.previous_module.extended_output_layer
    their_alpha = module.adapter.matrix(alpha.weight, alpha.bias).detach()
    their_omega = other.extended_input_layer.weight.detach()[:, :, 1, 1]  # all the others are 0
    assert int((other.extended_input_layer.weight != 0).sum()) == their_omega.numel()
    for mine, theirs in zip(
        reference.products(expected.alpha, expected.omega),
        reference.products(their_alpha, their_omega),
        strict=True,
    ):
        close(mine, theirs)


@pytest.mark.parametrize("bias", [True, False])
def test_the_tap_in_the_middle_of_an_even_kernel(bias: bool) -> None:
    """Of the two taps in the middle the other library grows the second one, here it is the first.

    In a network that is turned by 180 degrees the one is the other. With padding both read every position.
    """

    def layers(bias: bool) -> list[Module]:
        return [Conv2d(2, 3, (3, 2), bias=bias), Conv2d(3, 2, (2, 3), padding=1, bias=bias)]

    found = convolved(layers, "centre", bias=bias)
    module, other = found.modules[1], convolved_twin(found, "centre", turned=True)[1]
    turned = (
        *(other.optimal_delta_layer, other.extended_input_layer),
        other.previous_module.extended_output_layer,
    )
    for layer in turned:
        layer.weight.data = layer.weight.data.flip(2, 3)
    close(module.optimal_delta_layer.weight, other.optimal_delta_layer.weight)
    close(module.parameter_update_decrease, other.parameter_update_decrease)
    compare_neurons(module, other)


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_predict_the_same_network(kernel: str, bias: bool) -> None:
    """With tanh, which is odd, the signs of the neurons make no difference."""
    found = convolved(images, kernel, bias=bias)
    others = convolved_twin(found, kernel)
    for each in (*found.modules[1:], *others[1:]):
        each.set_scaling_factor(0.3)
    out, further = found.x, None
    for other in others:
        out, further = other.extended_forward(out, further)
    close(found.predicted_output(), out)
    for module in found.modules:
        module.apply_change()
    close(found.net(found.x), out)


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_become_the_same_network(kernel: str, bias: bool) -> None:
    """Two layers: of three the other library's second layer could not grow on both sides at once."""
    found = convolved(gaps, kernel, bias=bias)
    others = convolved_twin(found, kernel)
    for each in (found.modules[1], others[1]):
        each.apply_change(scaling_factor=0.3)
    close(found.net(found.x), others[1](others[0](found.x)))
