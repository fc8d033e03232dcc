"""The house is as the documents say: what they name exists, and what the code cites can be read there."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "gromo_graph"
DESIGN = (ROOT / "docs" / "design.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
_FILE = re.compile(r"`([\w/]+\.py)`")
_NAMED = re.compile(r"`([\w/]+\.py)`: (`[\w.]+`(?:, `[\w.]+`)*(?:[^`;]*; `\w+`)?)")


def texts() -> Iterator[tuple[Path, str]]:
    """All text of the project that is kept in git."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no working copy of git")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yml", ".yaml", ".cff", "") and path.is_file():
            yield path, path.read_text()


def flat(text: str) -> str:
    """A text without the breaks of its lines, and without the signs of comments."""
    return re.sub(r"\s*\n\s*(?:#+ )?", " ", text)


def names_in(path: Path) -> set[str]:
    """Functions, classes and methods that a file defines."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def home_of(file: str) -> Path:
    """A file that a document names: in the package, or from the root."""
    return next((path for path in (CODE / file, ROOT / file) if path.exists()), CODE / file)


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports for types count: a circle of these, too, can only be understood as a whole."""
    graph = grimp.build_graph("gromo_graph", cache_dir=None)
    imports = nx.DiGraph(
        (name, imported)
        for name in graph.modules
        for imported in graph.find_modules_directly_imported_by(name)
        if not name.startswith(f"{imported}.")  # a file may import the package that it is in
    )
    assert not [sorted(circle) for circle in nx.strongly_connected_components(imports) if len(circle) > 1]


def test_no_folder_is_crowded() -> None:
    """Folders of one file a kind or a verb may be."""
    for folder in [CODE, *(path for path in CODE.rglob("*") if path.is_dir())]:
        if folder.name not in ("cli", "layers", "kinds"):
            assert len(list(folder.glob("*.py"))) <= 25, folder


@pytest.mark.parametrize("page", [DESIGN, CONTRIBUTING], ids=["design", "contributing"])
def test_every_file_and_folder_that_is_named_exists(page: str) -> None:
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    named = [*_FILE.findall(prose), *re.findall(r"`((?:[\w]+/)+)`", prose)]
    assert len(named) > 5
    missing = [name for name in named if not home_of(name).exists() and "NAME" not in name]
    assert not missing


def test_every_function_that_is_named_exists() -> None:
    found = _NAMED.findall(DESIGN)
    assert len(found) > 20
    for file, names in found:
        defined = names_in(home_of(file))
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in defined, f"{file}: {name}"


def test_each_value_goes_down_the_floors() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [re.findall(r"\w+", floor) for floor in contracts[0]["layers"]]
    level = {folder: place for place, floor in enumerate(floors) for folder in floor}
    walks = re.findall(r"### (.*?)\n(.*?)(?=\n##|\Z)", DESIGN, re.DOTALL)
    assert len(walks) == 3
    for title, walk in walks:
        passed = [level[file.split("/")[0]] for file in _FILE.findall(walk)]
        assert len(passed) >= 8, title
        assert passed == sorted(passed), title


def test_every_section_of_the_maths_that_is_cited_exists() -> None:
    sections = set(re.findall(r"^## (.*)$", (ROOT / "docs" / "maths.md").read_text(), re.MULTILINE))
    cited = 0
    for path, text in texts():
        if path.suffix != ".py" or path == Path(__file__):
            continue
        for after in re.findall(r"docs/maths\.md(.{,60})", flat(text)):
            title = re.match(r", \"([^\"]+)\"", after)
            assert title, f'{path}: expected `docs/maths.md, "SECTION"`, found {after!r}'
            assert title[1] in sections, f"{path}: {title[1]}"
            cited += 1
    assert cited > 15


def test_no_text_refers_to_a_document_that_is_not_there() -> None:
    for path, text in texts():
        for name in re.findall(r"\b[A-Z_]{3,}\.md\b", text):
            assert (ROOT / name).exists(), f"{path} refers to {name}"
