"""Amounts of memory, in words and out of them."""

from __future__ import annotations

import math
import re

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])?(i)?b?)", re.IGNORECASE)


def size(number: int) -> str:
    """An amount of memory.

    >>> size(812), size(1_234_000), size(5_000), size(2_500_000_000)
    ('812 bytes', '1.23 MB', '5 kB', '2.5 GB')
    """
    for unit in ("G", "M", "k"):
        scale = _UNITS[unit.lower()]
        if number >= scale:
            return f"{number / scale:.3g} {unit}B"
    return amount(number, "byte")


def bytes_of(text: str) -> int:
    """The number of bytes that a text such as 2GB, 512MiB or 1000000 says.

    Raises:
        RunError: it says none.

    >>> bytes_of("2GB"), bytes_of("512 MiB"), bytes_of("1000")
    (2000000000, 536870912, 1000)
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise RunError(
            f"{text!r} is no amount of memory: expected a number with kB, MB, GB, MiB or GiB, such as 2GB"
        )
    number, unit, binary = match.groups()
    size = _UNITS[(unit or "").lower()]
    if binary:
        size = 1024 ** round(math.log10(size) / 3)
    return int(float(number) * size)
