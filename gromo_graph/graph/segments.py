"""Segments of features, and the classes of segments whose widths must change together.

Every output is a row of segments; a segment is the features of one maker (its *atom*), each repeated by the flattens
behind it. A maker has one atom; sums, norms and the like make the atoms of their inputs one; a concat puts segments
side by side. Widths that must change together are the classes of atoms made one. The nodes of a spec and the
modules of a network are both described this way.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from networkx.utils import UnionFind

Maker = TypeVar("Maker", bound=Hashable)


@dataclass(frozen=True)
class Segment(Generic[Maker]):
    """Neighbouring features of one maker.

    Attributes:
        atom: the maker. width: its features. repeat: values of each feature that stand here.
    """

    atom: Maker
    width: int
    repeat: int = 1

    @property
    def size(self) -> int:
        """Features of the output that the segment takes."""
        return self.width * self.repeat

    def matches(self, other: Segment[Maker]) -> bool:
        """True if the two can be added, feature by feature, and still can when both grow."""
        return (self.width, self.repeat) == (other.width, other.repeat)


Row = tuple[Segment[Maker], ...]


@dataclass
class Classes(Generic[Maker]):
    """Atoms that have been made one, and those that must keep their width.

    Attributes:
        refused: why an atom cannot grow.
    """

    _union: UnionFind[Maker] = field(default_factory=UnionFind)
    refused: dict[Maker, str] = field(default_factory=dict)

    def of(self, atom: Maker) -> Maker:
        """The atom that stands for the class."""
        root: Maker = self._union[atom]
        return root

    def refuse(self, row: Row[Maker], reason: str) -> None:
        """Record why these segments cannot grow; the first reason is kept."""
        for segment in row:
            self.refused.setdefault(segment.atom, reason)

    def add_up(self, rows: Sequence[Row[Maker]], reason: str) -> Row[Maker]:
        """The row of a sum: segments that lie upon each other become one; if they do not, `reason` is given."""
        first = rows[0]
        for row in rows[1:]:
            if len(row) == len(first) and all(a.matches(b) for a, b in zip(first, row, strict=True)):
                for a, b in zip(first, row, strict=True):
                    self._union.union(a.atom, b.atom)
            else:
                self.refuse((*first, *row), reason)
        return first

    def tie(self, atoms: Sequence[Maker]) -> None:
        """Make atoms one that nothing but the author's wish holds together."""
        for atom in atoms[1:]:
            self._union.union(atoms[0], atom)

    def reasons(self) -> dict[Maker, str]:
        """The reasons why classes cannot grow, by the atoms that stand for them."""
        found: dict[Maker, str] = {}
        for atom, reason in self.refused.items():
            found.setdefault(self.of(atom), reason)
        return found


def repeated(row: Row[Maker], times: int) -> Row[Maker]:
    """The row of a flatten: each feature becomes `times` neighbouring ones."""
    return tuple(replace(segment, repeat=segment.repeat * times) for segment in row)
