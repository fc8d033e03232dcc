"""Numbers in a readable form."""

from __future__ import annotations

from math import isfinite

THIN = "\u202f"
"""A narrow space that does not break a line."""


def count(value: int) -> str:
    """A whole number with commas between thousands, as in all messages.

    >>> count(1490), count(-1490)
    ('1,490', '−1,490')
    """
    return f"{value:,}".replace("-", "−")


def signed(value: int) -> str:
    """A whole number with its sign, for amounts that are added or removed.

    >>> signed(27), signed(-27), signed(0)
    ('+27', '−27', '0')
    """
    return f"+{count(value)}" if value > 0 else count(value)


def real(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits; a dash if it is missing.

    >>> real(0.21416), real(None), real(-2.0), real(0.00001234)
    ('0.214', '–', '−2', '1.23e−05')
    """
    if value is None or not isfinite(value):
        return "–" if value is None else str(value).replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def measure_text(name: str, value: float | None) -> str:
    """A measure in a readable form: shares in percent.

    >>> measure_text("accuracy", 0.975), measure_text("loss", 0.084693), measure_text("loss", None)
    ('97.50 %', '0.08469', '–')
    """
    share = name.rpartition(".")[2] in ("accuracy", "balanced_accuracy", "majority_rate")
    return f"{value:.2%}".replace("%", " %") if share and value is not None else real(value, 4)


def change(before: float | None, after: float | None) -> str:
    """`before → after`, with enough digits to show the difference.

    >>> change(0.4823, 0.4171), change(0.48214, 0.48209)
    ('0.482 → 0.417', '0.48214 → 0.48209')
    """
    digits = 3
    while digits < 7 and before != after and real(before, digits) == real(after, digits):
        digits += 1
    return f"{real(before, digits)} → {real(after, digits)}"


def rises(before: float | None, after: float | None) -> bool:
    """True if a value is known to be greater than it was.

    >>> rises(0.5, 0.6), rises(0.6, 0.5), rises(None, 0.5)
    (True, False, False)
    """
    return before is not None and after is not None and after > before


def share(before: float | None, after: float | None) -> str:
    """The change relative to `before`, in percent; empty if that is meaningless.

    >>> [share(0.5, 0.4), share(100, 150), share(0, 1)] == [f"−20{THIN}%", f"+50{THIN}%", ""]
    True
    """
    if before is None or after is None or not (isfinite(before) and isfinite(after)) or before == 0:
        return ""
    percent = 100 * (after - before) / abs(before)
    digits = 0 if round(abs(percent), 1) >= 10 else 1
    text = f"{percent:+.{digits}f}".replace("-", "−")
    return "" if not any(digit in text for digit in "123456789") else f"{text}{THIN}%"


def shape(sizes: tuple[int, ...]) -> str:
    """`10`, or `16×8×8` if there are positions.

    >>> shape((10,)), shape((16, 8, 8))
    ('10', '16×8×8')
    """
    return "×".join(count(size) for size in sizes)


def shape_change(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """`6 → 10`; positions do not grow and follow behind.

    >>> shape_change((6,), (10,)), shape_change((6, 8, 8), (10, 8, 8))
    ('6 → 10', '(6 → 10)×8×8')
    """
    if before[1:] != after[1:]:
        return f"{shape(before)} → {shape(after)}"
    widths = f"{count(before[0])} → {count(after[0])}"
    return f"({widths})×{shape(after[1:])}" if after[1:] else widths
