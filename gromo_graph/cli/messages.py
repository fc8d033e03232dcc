"""Messages to the person at the terminal: on stderr, in colour if there is one, never a traceback for bad input."""

from __future__ import annotations

import errno
import functools
import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar

import typer

from gromo_graph.amounts import amount
from gromo_graph.environment import process_rank
from gromo_graph.errors import (
    CompileError,
    GraphError,
    GromoGraphError,
    NoPermissionError,
    Problem,
    RunError,
    SpecError,
)
from gromo_graph.plugins import imported

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

_WIDEST = 110
_PLUGIN = "plugin"
PLUGIN_HINT = "a kind of your own is known once --plugin MODULE names the module that registers it"
_PERMITTED = {
    "resume": "have the permission of the folder changed, or resume a copy of it",
    "edit": "have the permission of the file and its folder changed, or edit a copy",
}
"""Advice if a verb that has no --out may not write."""

_Verb = TypeVar("_Verb", bound=Callable[..., None])


class Loudness(Enum):
    """The amount of messages on stderr."""

    quiet = "errors and warnings alone"
    normal = "a line now and then"
    verbose = "a line for each epoch"


_loudness: ContextVar[Loudness] = ContextVar("loudness", default=Loudness.normal)


def loudness() -> Loudness:
    """Return what `--quiet` and `--verbose` of the verb that runs say."""
    return _loudness.get()


class EndedError(Exception):
    """The end of a verb that failed.

    Args:
        message: for the person.
        code: the exit code.
        problems: of a document, each with its place; they say all that `message` says.
    """

    def __init__(self, message: str, code: int, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.problems = code, problems

    def show(self) -> None:
        """Print it on stderr."""
        if not self.problems:
            failure(str(self))
        elif not process_rank():  # all processes read the same document
            show_problems(self.problems)


def reported(verb: _Verb) -> _Verb:
    """Turn the errors of a verb into messages and exit codes: 2 for the spec, 1 for the run, 130 for Ctrl-C.

    With `--json` an error is a JSON object on stdout too.
    """

    @functools.wraps(verb)
    def wrapped(*args: Any, **options: Any) -> None:
        as_json = bool(options.get("as_json")) and not process_rank()
        plugins = options.pop(_PLUGIN, None) or ()
        quiet, verbose = options.pop("quiet", False), options.pop("verbose", False)
        if quiet and verbose:
            raise typer.BadParameter("--quiet and --verbose: keep one of the two")
        loud = Loudness.quiet if quiet else Loudness.verbose if verbose else Loudness.normal
        token = _loudness.set(loud)
        try:
            with _plain_warnings(), _ended(verb.__name__):
                for module in plugins:
                    _load(module)
                verb(*args, **options)
        except EndedError as end:
            end.show()
            if as_json:
                typer.echo(error_as_json(str(end), end.code, end.problems))
            raise typer.Exit(end.code) from None
        finally:
            _loudness.reset(token)

    own = inspect.signature(verb, eval_str=True)
    wrapped.__signature__ = own.replace(parameters=[*own.parameters.values(), *_shared_options()])  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


@contextmanager
def _ended(verb: str) -> Iterator[None]:
    """Turn errors into the end of a verb, with its exit code."""
    try:
        yield
    except SpecError as error:
        raise EndedError(str(error), WRONG, error.problems) from None
    except (GraphError, CompileError) as error:
        raise EndedError(str(error), WRONG) from None
    except NoPermissionError as error:
        advice = _PERMITTED.get(verb, "choose another place with --out")
        raise EndedError(f"{error}: {advice}", FAILED) from None
    except GromoGraphError as error:
        raise EndedError(str(error), FAILED) from None
    except OSError as error:
        if error.filename is None or error.errno == errno.EPIPE:
            raise
        raise EndedError(f"{error.filename}: {error.strerror}", FAILED) from None
    except KeyboardInterrupt:
        raise EndedError("interrupted", INTERRUPTED) from None


def _load(module: str) -> None:
    try:
        imported(module, what=f"--{_PLUGIN} {module}")
    except RunError as error:
        raise EndedError(str(error), WRONG) from None


def error_as_json(message: str, code: int, problems: Iterable[Problem] = ()) -> str:
    """Return the JSON object of an error.

    >>> error_as_json("no such file", 2)
    '{"error": {"message": "no such file", "code": 2, "problems": []}}'
    """
    told = {"message": message, "code": code, "problems": [asdict(each) for each in problems]}
    return json.dumps({"error": told}, ensure_ascii=False)


def _shared_options() -> list[inspect.Parameter]:
    """Return the options that all verbs have."""
    plugin = typer.Option(
        f"--{_PLUGIN}", metavar="MODULE", help="A module of yours that registers kinds; may be repeated."
    )
    quiet = typer.Option("--quiet", "-q", help="No progress and no notes: errors and warnings alone.")
    verbose = typer.Option(
        "--verbose", "-v", help="A line for each epoch, and where in the code a warning arose."
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(_PLUGIN, kind, default=None, annotation=Annotated[list[str] | None, plugin]),
        inspect.Parameter("quiet", kind, default=False, annotation=Annotated[bool, quiet]),
        inspect.Parameter("verbose", kind, default=False, annotation=Annotated[bool, verbose]),
    ]


def say(text: str) -> None:
    """Print a message, unless the verb is to be quiet."""
    if loudness() is Loudness.quiet:
        return
    typer.echo(printable(text), err=True)


def failure(text: str) -> None:
    """The message of an error."""
    who = f"process {process_rank()}: " if process_rank() else ""
    typer.echo(f"{styled('error:', fg='red', bold=True)} {who}{printable(text)}", err=True)


def show_problems(problems: tuple[Problem, ...]) -> None:
    """Print every problem of a document, each with its line."""
    for problem in problems:
        place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        path = f" {styled(printable(problem.path), bold=True)}:" if problem.path else ""
        where = styled(printable(place) + ("" if path else ":"), fg="cyan")
        typer.echo(f"{where}{path} {printable(problem.message)}", err=True)
        typer.echo(_excerpt(problem), err=True, nl=False)
    if any("unknown kind" in problem.message for problem in problems):
        typer.echo(PLUGIN_HINT, err=True)
    number = amount(len(problems), "problem")
    typer.echo(styled(number, fg="red", bold=True), err=True)


def printable(text: str) -> str:
    """The text without control characters: names and values in a spec may come from anybody.

    >>> printable("red \\x1b[31m alert")
    'red \\\\x1b[31m alert'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def styled(text: str, **style: Any) -> str:
    """The text in colour, unless stderr is no terminal or NO_COLOR is set."""
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return text
    return typer.style(text, **style)


def _excerpt(problem: Problem) -> str:
    """The line of the problem with a caret under its column; nothing if there is none."""
    if not problem.line:
        return ""
    try:
        with Path(problem.file).open(encoding="utf-8-sig", errors="replace") as file:
            line = next((text for number, text in enumerate(file, start=1) if number == problem.line), None)
    except OSError:
        return ""
    if line is None:
        return ""
    line = "".join(c if c.isprintable() else " " for c in line.rstrip("\r\n"))
    start = max(0, problem.column - 1 - _WIDEST // 2) if len(line) > _WIDEST else 0
    shown = line[start : start + _WIDEST]
    gutter = f"{problem.line:>6} | "
    caret = styled("^", fg="red", bold=True)
    return f"{gutter}{shown}\n{' ' * (len(gutter) + max(0, problem.column - 1 - start))}{caret}\n"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print a warning as one line; the place in the code with `--verbose` alone."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        place = f" ({filename}:{lineno})" if loudness() is Loudness.verbose else ""
        typer.echo(f"{styled('warning:', fg='yellow', bold=True)} {printable(str(message))}{place}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
