"""The rows by which modules of torch are read: as kinds, as activations and shapes, and encoders as several nodes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from gromo_graph.interop import operators, transformer
from gromo_graph.layers.torch_half_lookup import rows
from gromo_graph.plain_torch.rows import ModuleRow

_COMPOSED: Mapping[type[nn.Module], ModuleRow] = {
    nn.TransformerEncoderLayer: transformer.encoder_layer,
    nn.TransformerEncoder: transformer.encoder,
}
_FORWARD = ("__call__", "forward", "_conv_forward")


def module_row(module: nn.Module) -> ModuleRow | None:
    """The row of a module: that of the class of torch that it is, or descends from without another forward pass.

    Some modules are in several libraries and not in torch; they go by the name of their class.

    >>> module_row(nn.Conv2d(1, 2, 3)) is rows().modules[nn.Conv2d], module_row(nn.RNN(2, 3))
    (True, None)
    """
    known = {**rows().modules, **operators.MODULES, **_COMPOSED}
    for kind in type(module).__mro__:
        if kind in known:
            unchanged = all(
                getattr(type(module), name, None) is getattr(kind, name, None) for name in _FORWARD
            )
            return known[kind] if unchanged else None
    return rows().named.get(type(module).__name__)
