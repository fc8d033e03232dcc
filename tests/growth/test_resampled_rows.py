"""The rows of a producer behind operations that are one matrix along each axis, against rows that are written down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gromo_graph.algebra import patch_matrix
from gromo_graph.layers import adapter_for, operation_adapter
from gromo_graph.layers.conv_transpose import TransposedConv2d
from gromo_graph.statistics.linearised_paths import LinearPath, arriving


class Producer:
    """The members of a layer that `arriving` uses."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.adapter = layer, adapter_for(layer)


SQUARE = nn.Conv2d(2, 3, 3, stride=2, padding=1)
TURNED = TransposedConv2d(2, 3, 3, stride=2, padding=1, bias=False)
LINE = nn.Conv1d(2, 3, 3, padding=1)
DEPTHWISE = nn.Conv2d(3, 3, 3, padding=2, groups=3)
PATHS = {
    "max pool": (SQUARE, [nn.MaxPool2d(2)]),
    "max pool with padding": (SQUARE, [nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)]),
    "max pool with gaps": (SQUARE, [nn.MaxPool2d(2, dilation=2)]),
    "mean pool whose padding counts": (TURNED, [nn.AvgPool2d(3, 2, padding=1)]),
    "mean pool": (SQUARE, [nn.AvgPool2d((2, 3), (1, 2), padding=1, count_include_pad=False)]),
    "adaptive pool": (SQUARE, [nn.AdaptiveAvgPool2d((3, 2))]),
    "depthwise": (SQUARE, [DEPTHWISE]),
    "one after another": (TURNED, [nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(1)]),
    "sequence": (LINE, [nn.MaxPool1d(2), nn.Upsample(scale_factor=3)]),
}


@pytest.mark.parametrize("name", PATHS)
def test_rows_behind_pools_are_those_that_are_written_down(name: str) -> None:
    layer, operations = PATHS[name]
    generator = torch.Generator().manual_seed(0)
    sizes = (10,) if layer is LINE else (9, 10)
    x = torch.randn(4, 2, *sizes, generator=generator, dtype=torch.float64)
    producer = Producer(layer)
    rows = producer.adapter.patches(layer, x)
    constant = torch.randn(4, generator=generator, dtype=torch.float64) if rows.constant else None
    written = patch_matrix(rows, constant=constant)
    written = written.unflatten(2, rows.grid[1:] if layer is LINE else rows.grid)
    straight = written[:, :, None] if layer is LINE else written
    for operation in operations:
        written = operation_adapter(operation).average(operation, written)
    expected = 0.5 * (written[:, :, None] if layer is LINE else written)
    paths = (LinearPath(0.5, tuple(operations)),)
    torch.testing.assert_close(arriving(producer, paths, rows, constant), expected)  # type: ignore[arg-type]
    if expected.shape == straight.shape:  # beside a path without operations
        both = arriving(producer, (*paths, LinearPath(2.0)), rows, constant)  # type: ignore[arg-type]
        torch.testing.assert_close(both, expected + 2.0 * straight)
