"""The links of a merge: what comes in, who reads it, and whether their widths fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules.linkable import Linkable


class LinkedMerge(Linkable):
    """The links of a MergeGrowingModule: its inputs, its readers, and their widths.

    Args:
        name: for messages.
        concatenates: whether inputs stand side by side; else they are added.
        outside_features: width of a tensor that comes from no module.
    """

    unregistered: ClassVar[frozenset[str]] = frozenset(("_inputs", "next_modules"))
    is_merge: ClassVar[bool] = True

    def __init__(self, name: str, *, concatenates: bool, outside_features: int | None) -> None:
        super().__init__()
        self.name = name
        self.concatenates = concatenates
        self.outside_features = outside_features
        self._inputs: list[Linkable | int] = []
        self.next_modules: list[Linkable] = []

    def inputs(self) -> Sequence[Linkable | int]:
        """The inputs, in the order of the tensors."""
        return self._inputs

    def readers(self) -> Iterable[torch.nn.Module]:
        """The modules that read the output."""
        return self.next_modules

    def neighbours(self) -> Iterable[torch.nn.Module]:
        """All linked modules."""
        return [*self.previous_modules, *self.next_modules]

    @property
    def previous_modules(self) -> list[Linkable]:
        """The modules whose output comes in, in the order of the tensors."""
        return [source for source in self._inputs if isinstance(source, Linkable)]

    # Widths

    @property
    def own_width(self) -> int:
        """Width of what is merged, before the function.

        Raises:
            GrowthError: neither modules before nor `outside_features` nor modules after tell.
        """
        if self._inputs:
            return _merged_width(self)
        readers = self._reader_widths()
        if not readers:
            raise GrowthError(
                f"the width of {self.name} is not known: expected previous modules, next modules or "
                "outside_features"
            )
        return readers[0]

    def _width_of(self, inputs: Sequence[Linkable | int]) -> int | None:
        """Width of the output if these came in; None if it cannot be told.

        Raises:
            GrowthError: a sum of different widths.
        """
        widths = [source if isinstance(source, int) else source.out_features for source in inputs]
        if not widths:
            return None
        different = set(widths) - {1} if self.multiplies else set(widths)
        if not self.concatenates and len(different) > 1:
            verb = "multiply" if self.multiplies else "sum"
            raise GrowthError(f"{self.name} cannot {verb} {_listed(inputs)}: expected equal widths")
        merged = sum(widths) if self.concatenates else max(widths)
        if self.flattens:
            return None if self._positions is None else merged * self._positions
        return merged

    def _reader_widths(self) -> list[int]:
        widths = (_in_features(module) for module in self.next_modules)
        return [width for width in widths if width is not None]

    @property
    def feature_dim(self) -> int:
        """The dimension that holds the features, as in the modules before (1 if there are none)."""
        module: Linkable = self
        while module.is_merge:
            previous = [source for source in module.inputs() if isinstance(source, Linkable)]
            if not previous:
                return 1
            module = previous[0]
        return module.feature_dim

    # Linking

    def add_previous_module(self, module: Linkable) -> None:
        """Link a module whose output comes in, in both directions."""
        self.set_previous_modules([*self.previous_modules, module])

    def set_previous_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules whose output comes in, linked in both directions.

        Raises:
            GrowthError: widths that cannot be merged, or that readers do not expect; nothing changes then.
        """
        outside = [] if self.outside_features is None else [self.outside_features]
        self.set_inputs([*modules, *outside])

    def set_inputs(self, inputs: Sequence[Linkable | int]) -> None:
        """Replace what comes in: modules, linked in both directions, and widths of tensors that come from none.

        Raises:
            GrowthError: as `set_previous_modules`.
        """
        inputs = list(inputs)
        self._check_kinds([source for source in inputs if not isinstance(source, int)])
        width, readers = self._width_of(inputs), self._reader_widths()
        # A concat that is being put together one by one may still be too narrow.
        unfinished = self.concatenates and width is not None and width < min(readers, default=0)
        if width is not None and not unfinished and any(reader != width for reader in readers):
            raise GrowthError(
                f"{self.name} would give {width} features from {_listed(inputs)}: expected {readers[0]}, "
                "as its readers do"
            )
        self.link_inputs(inputs)

    def link_inputs(self, inputs: Sequence[Linkable | int]) -> None:
        """`set_inputs` for widths that are known to agree, as those of a compiled graph: nothing is compared."""
        for module in self.previous_modules:
            _unlink(module, "next_module", self)
        self._inputs = list(inputs)
        for module in self.previous_modules:
            _link(module, "next_module", self)

    def add_next_module(self, module: Linkable) -> None:
        """Link a module that reads the output, in both directions."""
        self.set_next_modules([*self.next_modules, module])

    def set_next_modules(self, modules: Sequence[Linkable]) -> None:
        """Replace the modules that read the output, linked in both directions.

        Raises:
            GrowthError: a width that is not the output's; nothing changes then.
        """
        modules = list(modules)
        self._check_kinds(modules)
        width = self._width_of(self._inputs)
        for module in modules:
            expected = _in_features(module)
            if width is not None and expected is not None and expected != width:
                raise GrowthError(
                    f"{self.name} gives {width} features and {module.name} reads {expected}: "
                    "expected the same width"
                )
        self.link_next(modules)

    def link_next(self, modules: Sequence[Linkable]) -> None:
        """`set_next_modules` for widths that are known to agree: nothing is compared."""
        for module in self.next_modules:
            _unlink(module, "previous_module", self)
        self.next_modules = list(modules)
        for module in modules:
            _link(module, "previous_module", self)

    def _check_kinds(self, modules: Sequence[Linkable]) -> None:
        for module in modules:
            if not isinstance(module, Linkable):
                raise GrowthError(
                    f"{self.name} cannot be linked to a {type(module).__name__}: expected a GrowingModule "
                    "or MergeGrowingModule"
                )


def _merged_width(merge: Linkable) -> int:
    """Width before the function, from the layers before; a walk, as a recursion would end in a deep network.

    A sum is as wide as its first input: the widths of the others were compared when they were linked.
    """
    known: dict[Linkable, int] = {}
    waiting = [merge]
    while waiting:
        current = waiting[-1]
        needed = current.inputs() if current.concatenates or current.multiplies else current.inputs()[:1]
        unknown = [
            source
            for source in needed
            if isinstance(source, Linkable) and source.is_merge and source.inputs() and source not in known
        ]
        if unknown:
            waiting += unknown
            continue
        widths = [source if isinstance(source, int) else _out_width(source, known) for source in needed]
        known[current] = max(widths) if current.multiplies else sum(widths)
        waiting.pop()
    return known[merge]


def _out_width(source: Linkable, known: Mapping[Linkable, int]) -> int:
    if source in known:
        return known[source] * source.positions
    return source.out_features


def _listed(inputs: Sequence[Linkable | int]) -> str:
    named = [f"{source.name} ({source.out_features})" for source in inputs if isinstance(source, Linkable)]
    return ", ".join([*named, *(f"{width} from outside" for width in inputs if isinstance(width, int))])


def _in_features(module: Linkable) -> int | None:
    width = getattr(module, "in_features", None)
    return width if isinstance(width, int) else None


def _link(module: Linkable, attribute: str, merge: LinkedMerge) -> None:
    """Growing modules have one neighbour on each side; merges keep lists, which their owner fills."""
    if hasattr(module, attribute):
        setattr(module, attribute, merge)


def _unlink(module: Linkable, attribute: str, merge: LinkedMerge) -> None:
    if getattr(module, attribute, None) is merge:
        setattr(module, attribute, None)
