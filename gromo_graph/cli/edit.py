"""`gromo-graph edit`: changes of a spec's file from the shell; comments and layout stay."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gromo_graph.cli.messages import printable, reported, say
from gromo_graph.cli.options import AsJson
from gromo_graph.errors import GraphError

if TYPE_CHECKING:
    from gromo_graph.graph.edits import SpecEdit
    from gromo_graph.spec import Spec

FORMS = {
    "add-node": "NAME KIND from=NODE key=value ... [read_by=NODE]",
    "remove-node": "NAME",
    "rename": "OLD NEW",
    "connect": "NODE NODE [direct]",
    "disconnect": "NODE NODE",
    "insert": "NODE NODE NAME KIND key=value ...",
    "set": "NODE key=value ..., or growth.key=value or train.key=value",
    "duplicate": "NODE ...",
    "widen-outputs": "FEATURES [OUTPUT] [freeze]",
    "take": "RUN or RUN@STEP",
}
_HELP = "; ".join(f"{action} {form}" for action, form in FORMS.items())


@reported
def edit(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The YAML file; it is changed in place.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of: {_HELP}.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="The words of the action.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the difference of the text, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change a spec's file: nodes, edges and values, or take over what a run has grown; comments stay."""
    from gromo_graph.spec.text.author_file import AuthorFile

    file = AuthorFile.read(spec)
    wanted, renamed = _wanted(file.spec, action, words or [])
    text, found = file.text, file.changed(wanted, renamed)
    if not dry_run:
        file.replace(found)
    lines = list(
        difflib.unified_diff(
            text.splitlines(keepends=True), found.text.splitlines(keepends=True), spec, spec, n=1
        )
    )
    if as_json:
        told = {"changed": found.changed, "notes": list(found.notes), "diff": "".join(lines)}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for line in lines:
        whole = line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        typer.echo(printable(whole), nl=False)
    for note in found.notes:
        say(f"note: {note}")
    if not found.changed:
        say("nothing to change: it says that already")
    elif not dry_run:
        say(f"changed: {spec}")


def _wanted(before: Spec, action: str, words: Sequence[str]) -> tuple[Spec, Mapping[str, str]]:
    """The spec that is asked for, checked as a whole, and the old names of renamed nodes."""
    from gromo_graph.errors import SpecError
    from gromo_graph.spec import check_spec

    if action == "take":
        return with_sizes_of(_exactly(words, 1, action)[0], before), {}
    edited = _edit(action, words).edited(before)
    problems = check_spec(edited.spec)
    if problems:
        raise SpecError(problems)
    return edited.spec, edited.renamed


def with_sizes_of(run: str, author: Spec) -> Spec:
    """The author's spec with the sizes that a run has, or had at a step.

    Raises:
        GraphError: the run is of another network.
    """
    from gromo_graph.render.target import resolve
    from gromo_graph.spec.text.take_over import grown

    begun = resolve(f"{run.rpartition('@')[0] or run}@0", None)[0].spec if _is_run(run) else author
    return grown(author, begun, resolve(run, None)[0].spec, sizes=True)


def _is_run(address: str) -> bool:
    return Path(address).is_dir() or Path(address.rpartition("@")[0]).is_dir()


def _edit(action: str, words: Sequence[str]) -> SpecEdit:
    from gromo_graph.spec.wording import Suggester

    if action not in _ACTIONS:
        hint = Suggester().hint(action, tuple(FORMS), "actions")
        raise GraphError(f"unknown action `{action}`: {hint}")
    return _ACTIONS[action](words)


def _add_node(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import AddNode

    names, values = _split(words, 2, "add-node")
    readers = values.pop("read_by", [])
    node = {"kind": names[1], **values}
    return AddNode(names[0], node, [readers] if isinstance(readers, str) else readers)


def _insert(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import InsertBetween

    names, values = _split(words, 4, "insert")
    return InsertBetween(names[0], names[1], names[2], {"kind": names[3], **values})


def _connect(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import AddEdge

    direct = len(words) == 3 and words[2] == "direct"
    source, target = _exactly(words[:2] if direct else words, 2, "connect")
    return AddEdge(source, target, direct)


def _disconnect(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import RemoveEdge

    return RemoveEdge(*_exactly(words, 2, "disconnect"))


def _remove_node(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import RemoveNode

    return RemoveNode(*_exactly(words, 1, "remove-node"))


def _rename(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import RenameNode

    return RenameNode(*_exactly(words, 2, "rename"))


def _duplicate(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import DuplicateBlock

    if not words:
        _exactly(words, 1, "duplicate")
    return DuplicateBlock(words)


def _set(words: Sequence[str]) -> SpecEdit:
    """Set options of a node, or of a section if the first word is a value already."""
    from gromo_graph.graph.edits import Edits, SetFeatures, SetOptions, SetSection

    if words and "=" in words[0]:
        values = _values(words)
        unknown = [key for key in values if key not in ("growth", "train")]
        if unknown:
            raise GraphError(
                f"`{unknown[0]}`: name the node first, or write growth.key=value or train.key=value"
            )
        return Edits([SetSection(section, inner) for section, inner in values.items()])  # type: ignore[arg-type]
    (name,), values = _split(words, 1, "set")
    edits: list[SpecEdit] = []
    if "features" in values:
        edits.append(SetFeatures(name, values.pop("features")))
    if values:
        edits.append(SetOptions(name, values))
    return Edits(edits)


def _widen_outputs(words: Sequence[str]) -> SpecEdit:
    from gromo_graph.graph.edits import WidenOutputs

    freeze = words[1:][-1:] == ["freeze"]
    given = words[:-1] if freeze else words
    if len(given) not in (1, 2) or not given[0].isdecimal():
        raise GraphError(f"`widen-outputs` takes {FORMS['widen-outputs']}: found {' '.join(words)}")
    output = given[1] if len(given) == 2 else None
    return WidenOutputs(int(given[0]), output, freeze)


_ACTIONS: Mapping[str, Callable[[Sequence[str]], SpecEdit]] = {
    "add-node": _add_node,
    "remove-node": _remove_node,
    "rename": _rename,
    "connect": _connect,
    "disconnect": _disconnect,
    "insert": _insert,
    "set": _set,
    "duplicate": _duplicate,
    "widen-outputs": _widen_outputs,
}


def _exactly(words: Sequence[str], number: int, action: str) -> Sequence[str]:
    if len(words) != number:
        raise GraphError(f"`{action}` takes {FORMS[action]}: found {' '.join(words) or 'nothing'}")
    return words


def _split(words: Sequence[str], number: int, action: str) -> tuple[Sequence[str], dict[str, Any]]:
    """Split words into the first ones and the values behind them."""
    names = _exactly(words[:number], number, action)
    values = _values(words[number:])
    if not values and action == "set":
        _exactly((), 1, action)
    return names, values


def _values(words: Sequence[str]) -> dict[str, Any]:
    """`grow.max=64` as a map; values are read as YAML."""
    from gromo_graph.spec.text.parse_yaml import parse_document

    found: dict[str, Any] = {}
    for word in words:
        key, is_value, written = word.partition("=")
        read = parse_document(written, "<value>")
        if not is_value or not key or (read.problems and written.strip()):
            wrong = f": {read.problems[0].message}" if is_value and key else ""
            raise GraphError(f"`{word}` is no key=value{wrong}")
        *path, last = key.split(".")
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = read.data
    return found
