"""How a kernel slides over one axis: offsets, output sizes and who reads what, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A kernel along one axis.

    Attributes:
        kernel: number of taps. stride: positions between two outputs. dilation: positions between two taps.
        before, after: zeros put before the first and behind the last position.
    """

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """Output r reads the positions stride · r + offset, one for each tap.

        >>> Axis(3, before=1, after=1).offsets
        (-1, 0, 1)
        """
        return tuple(tap * self.dilation - self.before for tap in range(self.kernel))

    @property
    def centre(self) -> int:
        """The tap in the middle; of an even number the one before it."""
        return (self.kernel - 1) // 2

    def outputs(self, size: int) -> int:
        """Number of outputs over `size` positions; below 1 where the kernel does not fit.

        >>> Axis(3, stride=2).outputs(7)
        3
        """
        return (size + self.before + self.after - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    def reached(self, tap: int, size: int) -> tuple[float, ...]:
        """For each position 1 if some output reads it through that tap, else 0."""
        read = {self.stride * r + self.offsets[tap] for r in range(self.outputs(size))}
        return tuple(float(position in read) for position in range(size))

    def reads(self, size: int, taps: tuple[int, ...]) -> tuple[float, ...]:
        """For each position the number of those taps that read it.

        >>> Axis(3, before=1, after=1).reads(4, (0, 1, 2))
        (2.0, 3.0, 3.0, 2.0)
        """
        by_tap = [self.reached(tap, size) for tap in taps]
        return tuple(sum(reached[position] for reached in by_tap) for position in range(size))

    def reads_each_once(self, taps: tuple[int, ...]) -> bool:
        """Whether these taps read every position exactly once, however many there are."""
        return len(taps) == 1 and self.stride == 1 and self._reads_all(taps[0])

    def _reads_all(self, tap: int) -> bool:
        behind = self.after - self.dilation * (self.kernel - 1 - tap)
        return self.offsets[tap] <= 0 <= behind


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind, so that a kernel of stride 1 keeps the size; an odd number has one more behind.

    >>> same_padding(3, 1), same_padding(4, 1)
    ((1, 1), (1, 2))
    """
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2
