"""The public names: explicit, sorted, resolved when first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gromo_graph

PROMISED = {
    "load_spec", "parse_spec", "dump_spec", "check_spec", "compile_network", "GrowingNetwork", "GrowingModule",
    "LinearGrowingModule", "Conv2dGrowingModule", "MergeGrowingModule", "TensorStatistic", "GrowthScheduler",
    "GrowthEvent", "grow", "render", "Growth", "Neurons", "Edges", "When", "Stop", "Statistics", "Train", "Optimizer",
}  # fmt: skip


def test_promised_names_are_there_and_sorted() -> None:
    assert set(gromo_graph.__all__) >= PROMISED
    assert gromo_graph.__all__ == sorted(gromo_graph.__all__)
    gromo_graph.Growth  # noqa: B018 - a name that was used is listed once
    assert [name for name in dir(gromo_graph) if not name.startswith("__")] == gromo_graph.__all__


@pytest.mark.parametrize("name", gromo_graph.__all__)
def test_every_name_resolves(name: str) -> None:
    assert getattr(gromo_graph, name) is not None
    assert getattr(gromo_graph, name).__doc__ or name == "render"


def test_no_name_is_hidden_by_a_module_of_the_same_name() -> None:
    """A submodule becomes an attribute of its package once anything imports it."""
    code = """
import importlib, pkgutil
import gromo_graph
for package in {"gromo_graph." + home for home in gromo_graph._HOME.values()}:
    for module in pkgutil.iter_modules(getattr(importlib.import_module(package), "__path__", [])):
        importlib.import_module(f"{package}.{module.name}")
print([name for name in gromo_graph.__all__ if not callable(getattr(gromo_graph, name))])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_tools_see_the_same_names() -> None:
    tree = ast.parse(Path(gromo_graph.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name for statement in block.body for alias in statement.names}
    assert seen == set(gromo_graph.__all__) == set(gromo_graph._HOME)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gromo_graph.nothing  # noqa: B018


def test_importing_reaches_neither_torch_nor_the_drawing() -> None:
    code = (
        "import sys, gromo_graph; gromo_graph.load_spec; gromo_graph.render; gromo_graph.GrowthEvent;"
        "print([name for name in ('torch', 'pygraphviz', 'sklearn', 'rich') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
