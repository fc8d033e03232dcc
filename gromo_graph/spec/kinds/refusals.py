"""Reasons why features cannot grow through an operation, worded once for its node and for its torch module."""

from __future__ import annotations

MIXED_GROUPS = "its groups would mix the features of several layers or positions"
MIXED_HEADS = "its heads would mix the features of several layers"


def no_middle_tap(kernel: object) -> str:
    """Say why channels cannot grow through an even kernel.

    Args:
        kernel: its size, as it is written.
    """
    return f"no tap of a kernel of {kernel} reads the middle, where a new channel starts: take an odd one"
