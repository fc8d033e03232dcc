"""The errors of gromo_graph. Every one says where, what was found, what was expected and what to do.

GromoGraphError
├── ArgumentError  (a TypeError too) a function was called with a wrong argument
├── SpecError      a YAML document is wrong; carries every problem of it at once
├── GraphError     a graph or an edit of it is impossible
├── CompileError   a spec is sound but no network can be built from it
├── GrowthError    a growing module or a scheduler was misused, or its numbers are not finite
├── TorchImportError   a torch module cannot become a network; carries every obstacle at once
├── RunError       data, a run folder or the training failed
│   ├── NoPermissionError  a file or folder may not be written
│   └── NotFiniteError  (a GrowthError too) a loss or a statistic is NaN or infinite
└── RenderError    a drawing could not be made
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.amounts import amount


class GromoGraphError(Exception):
    """Base of every error this library raises on purpose."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a YAML document.

    Args:
        file: the document's name as the user gave it.
        line: 1-based line, 0 if the problem has no place in the text.
        column: 1-based column, 0 likewise.
        path: where in the document, e.g. `nodes.stem.features`.
        message: what was found, what was expected, what to do.

    >>> str(Problem("a.yaml", 3, 9, "nodes.stem.features", "0 features: at least 1 is needed"))
    'a.yaml:3:9 nodes.stem.features: 0 features: at least 1 is needed'
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place} {self.path}: {self.message}" if self.path else f"{place} {self.message}"


class ArgumentError(GromoGraphError, TypeError):
    """A function was called with an argument that it does not have, without one that it needs, or with one of another
    type."""


class SpecError(GromoGraphError):
    """A document does not describe a network; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class GraphError(GromoGraphError):
    """A graph, or an edit of a graph, is impossible."""


class CompileError(GromoGraphError):
    """No network can be built from this spec."""


class GrowthError(GromoGraphError):
    """A growing module or the scheduler was misused, or a statistic is not finite."""

    def of(self, name: str) -> GrowthError:
        """The same, said of a module."""
        return GrowthError(f"{name}: {self}")


@dataclass(frozen=True)
class Obstacle:
    """One thing in a torch module that a spec cannot say.

    Args:
        path: of the submodule, as in `named_modules()`; empty for the model itself.
        reason: what was found, what was expected.
        model: the class of the model, of a call in a forward pass; empty for all else.

    >>> str(Obstacle("block.0", "it is a LSTM")), str(Obstacle("", "it has hooks"))
    ('`block.0`: it is a LSTM', 'the model itself: it has hooks')
    >>> str(Obstacle("", "`sin`: a spec has nothing like it", model="Waves"))
    'in the forward of Waves: `sin`: a spec has nothing like it'
    """

    path: str
    reason: str
    model: str = ""

    def __str__(self) -> str:
        alone = f"in the forward of {self.model}" if self.model else "the model itself"
        return f"{f'`{self.path}`' if self.path else alone}: {self.reason}"


class TorchImportError(GromoGraphError):
    """A torch module cannot become a network; `obstacles` lists all that stands in the way, by module path."""

    def __init__(self, obstacles: Sequence[Obstacle], advice: str = "") -> None:
        self.obstacles = tuple(obstacles)
        count = amount(len(self.obstacles), "obstacle")
        lines = [f"this model cannot be imported, {count}:", *(f"  {each}" for each in self.obstacles)]
        super().__init__("\n".join([*lines, advice] if advice else lines))


class RunError(GromoGraphError):
    """Data, a run folder, or the training itself failed."""


class NoPermissionError(RunError):
    """A file or folder may not be written. The shell adds what helps with the verb that was called."""


class NotFiniteError(GrowthError, RunError):
    """A loss or a statistic is NaN or infinite.

    Args:
        found: which one, and where.
        advice: what to do about it.
    """

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(f"{found}: {advice}")
        self.found, self.advice = found, advice

    def of(self, name: str) -> NotFiniteError:
        """The same, said of a module."""
        return NotFiniteError(f"{name}: {self.found}", self.advice)


class RenderError(GromoGraphError):
    """A drawing could not be made."""
