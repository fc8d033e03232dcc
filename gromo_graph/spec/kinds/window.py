"""A kernel that slides over one axis: offsets, output sizes and the positions each tap reads, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A kernel along one axis.

    Attributes:
        kernel: number of taps. stride: positions between two outputs. dilation: positions between two taps.
        before, after: zeros put before the first and behind the last position.
        ceil_mode: whether a last output counts that begins inside and reads beyond the end (pools).
    """

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def spread(self) -> int:
        """The distance at which the positions of the input are put before the kernel slides over them."""
        return 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """Output r reads the positions stride · r + offset of the spread input, one for each tap.

        >>> Axis(3, before=1, after=1).offsets
        (-1, 0, 1)
        """
        return tuple(tap * self.dilation - self.before for tap in range(self.kernel))

    @property
    def centre(self) -> int:
        """The tap in the middle; of an even number the one before it."""
        return (self.kernel - 1) // 2

    def outputs(self, size: int) -> int:
        """Number of outputs over `size` positions; below 1 if the kernel does not fit.

        >>> Axis(3, stride=2).outputs(7), Axis(3, stride=2).outputs(8), Axis(3, stride=2, ceil_mode=True).outputs(8)
        (3, 3, 4)
        """
        room = size + self.before + self.after - self.dilation * (self.kernel - 1) - 1
        if not self.ceil_mode:
            return room // self.stride + 1
        outputs = -(-room // self.stride) + 1
        return outputs - ((outputs - 1) * self.stride >= size + self.before)

    def reached(self, tap: int, size: int) -> tuple[float, ...]:
        """1 for each position that some output reads through that tap, else 0."""
        read = {self.stride * r + self.offsets[tap] for r in range(self.outputs(size))}
        return tuple(float(self.spread * position in read) for position in range(size))

    def reads(self, size: int, taps: tuple[int, ...]) -> tuple[float, ...]:
        """The number of those taps that read each position.

        >>> Axis(3, before=1, after=1).reads(4, (0, 1, 2))
        (2.0, 3.0, 3.0, 2.0)
        """
        by_tap = [self.reached(tap, size) for tap in taps]
        return tuple(sum(reached[position] for reached in by_tap) for position in range(size))

    def reads_each_once(self, taps: tuple[int, ...]) -> bool:
        """True if these taps read every position exactly once, for any number of positions."""
        return len(taps) == 1 and self.stride == 1 and self._reads_all(taps[0])

    def _reads_all(self, tap: int) -> bool:
        offset = self.offsets[tap]
        return offset <= 0 <= offset + self.before + self.after - self.dilation * (self.kernel - 1)


@dataclass(frozen=True)
class TransposedAxis(Axis):
    """A transposed convolution along one axis, as a kernel of stride 1 over an input with zeros between its positions.

    Position p of the input writes to the output at spread · p + dilation · tap − cut. So output r reads the position
    r + cut − dilation · tap of the spread input: the taps run backwards.

    Attributes:
        apart: positions of the output between two of the input.
    """

    apart: int = 1

    @classmethod
    def of(cls, kernel: int, stride: int, padding: int, output_padding: int, dilation: int) -> TransposedAxis:
        """With the options of torch's transposed convolution.

        >>> TransposedAxis.of(3, stride=2, padding=1, output_padding=1, dilation=1).outputs(4)
        8
        """
        before = dilation * (kernel - 1) - padding  # below 0 if it cuts off more than a kernel reaches
        return cls(kernel, 1, before, before + output_padding, dilation, apart=stride)

    @property
    def spread(self) -> int:
        """The distance at which the positions of the input are put before the kernel slides over them."""
        return self.apart

    @property
    def offsets(self) -> tuple[int, ...]:
        """Output r reads the positions r + offset of the spread input, one for each tap.

        >>> TransposedAxis.of(3, stride=2, padding=1, output_padding=0, dilation=1).offsets
        (1, 0, -1)
        """
        return tuple(reversed(super().offsets))

    def outputs(self, size: int) -> int:
        """Number of outputs of `size` positions; below 1 if the padding cuts all of them off."""
        return super().outputs((size - 1) * self.spread + 1)


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind, so that a kernel of stride 1 keeps the size; an odd number has one more behind.

    >>> same_padding(3, 1), same_padding(4, 1)
    ((1, 1), (1, 2))
    """
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2
