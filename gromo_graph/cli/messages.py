"""Messages to the person at the terminal: on stderr, in colour if there is one, never a traceback for bad input."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

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


def reported(verb: _Verb) -> _Verb:
    """Turn the errors of a verb into messages and exit codes: 2 for the spec, 1 for the run, 130 for Ctrl-C."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            with _plain_warnings():
                _load(options.pop(_PLUGIN, None) or ())
                verb(*args, **options)
        except SpecError as error:
            if not process_rank():  # all processes read the same document
                show_problems(error.problems)
            raise typer.Exit(WRONG) from None
        except (GraphError, CompileError) as error:
            failure(str(error))
            raise typer.Exit(WRONG) from None
        except NoPermissionError as error:
            failure(f"{error}: {_PERMITTED.get(verb.__name__, 'choose another place with --out')}")
            raise typer.Exit(FAILED) from None
        except GromoGraphError as error:
            failure(str(error))
            raise typer.Exit(FAILED) from None
        except OSError as error:
            if error.filename is None or error.errno == errno.EPIPE:
                raise
            failure(f"{error.filename}: {error.strerror}")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            failure("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    own = inspect.signature(verb, eval_str=True)
    wrapped.__signature__ = own.replace(parameters=[*own.parameters.values(), _plugin_option()])  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


def _load(plugins: Iterable[str]) -> None:
    for module in plugins:
        try:
            imported(module, what=f"--{_PLUGIN} {module}")
        except RunError as error:
            failure(str(error))
            raise typer.Exit(WRONG) from None


def _plugin_option() -> inspect.Parameter:
    """The options and errors that all verbs share."""
    told = typer.Option(
        f"--{_PLUGIN}", metavar="MODULE", help="A module of yours that registers kinds; may be repeated."
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_PLUGIN, kind, default=None, annotation=Annotated[list[str] | None, told])


def say(text: str) -> None:
    """Print a message."""
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
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
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
    """Print a warning as one line, without the place in the code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"{styled('warning:', fg='yellow', bold=True)} {printable(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
