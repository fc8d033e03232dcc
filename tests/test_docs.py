"""The documentation's commands run, and its links lead somewhere."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from gromo_graph import GrowingModule, compile_network, load_spec

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
MEMBERS = (ROOT / "docs" / "growing_module.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (page.parent / target).exists(), target


def test_terms_of_the_inspector_name_pages_and_headings_that_are_there() -> None:
    script = (ROOT / "gromo_graph/render/pages/templates/inspector/terms.js").read_text()
    named = re.findall(r'"(docs/[^"#]+)#?([^"]*)"', script)
    assert len(named) > 10
    for page, heading in named:
        titles = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not heading or heading in slugs, (page, heading)


def test_the_code_on_growing_modules_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", MEMBERS, re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/growing_module.md", "exec"), names)  # noqa: S102 - our own text


@pytest.mark.parametrize(
    "page",
    [
        *(
            "adapters",
            "diff",
            "drawing",
            "editing",
            "from_gromo",
            "from_keras_and_pytorch",
            "how_large",
            "inspecting",
        ),
        *("interop", "my_data", "processes", "runs", "training", "writing-back"),
    ],
)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"docs/{page}.md", "exec"), names)  # noqa: S102 - our own text


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")  # Lightning's words on workers and folders
@pytest.mark.filterwarnings("ignore::FutureWarning:lightning")
def test_the_code_on_training_elsewhere_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "training_elsewhere.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/training_elsewhere.md", "exec"), names)  # noqa: S102 - our own text
    grown = [names["network"], names["model"].network_, names["again"].network, names["net"].module_]
    grown += [names["search"].best_estimator_.network_]
    assert all(network.graph.parameter_count > 11 for network in grown)
    assert names["model"].score(names["x"], names["y"]) > 0.9
    kept = compile_network(load_spec("grown.yaml"))
    kept.load_state_dict(safetensors.torch.load_file("grown.safetensors"))
    assert torch.equal(kept(names["inputs"]), names["network"](names["inputs"]))


def test_the_code_on_deciding_runs_and_every_action_is_on_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from typing import get_args

    from gromo_graph.spec.settings import Action

    text = (ROOT / "docs" / "deciding.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "docs/deciding.md", "exec"), {})  # noqa: S102 - our own text
    *candidates, last = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in candidates} == {"widen", "new_edge", "new_node"}
    before, after, samples, _ = last.split()
    assert float(after) < float(before)
    assert samples == "200"
    for action in get_args(Action):
        assert f"| `{action}` |" in text


def test_the_reference_of_the_language_is_what_the_models_say() -> None:
    found = runpy.run_path(str(ROOT / "docs" / "language.py"))
    assert found["PAGE"].read_text(encoding="utf-8") == found["page"](), "run `python docs/language.py`"


def test_the_page_for_users_of_keras_and_pytorch_has_every_foreign_word() -> None:
    found = runpy.run_path(str(ROOT / "docs" / "from_keras_and_pytorch.py"))
    path = "docs/from_keras_and_pytorch.py"
    assert found["PAGE"].read_text(encoding="utf-8") == found["page"](), f"run `python {path}`"


def texts(path: Path) -> set[str]:
    """The constant texts in a file; a place that is filled in is `…`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values]
            found.add("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def messages_of_troubleshooting() -> list[list[str]]:
    """Each message of the page, cut where it leaves something out."""
    tables = (ROOT / "docs" / "troubleshooting.md").read_text().split("## Growth ended")[1]
    cells = re.findall(r"^\| (`.*?`) \|", tables, re.MULTILINE)
    messages = [message for cell in cells for message in re.findall(r"`(.*?)`(?: or |, |$)", cell)]
    return [[part.strip(" :;") for part in each.split("...") if part.strip(" :;")] for each in messages]


def test_every_message_of_troubleshooting_is_one_of_the_code() -> None:
    known = set().union(*(texts(path) for path in (ROOT / "gromo_graph").rglob("*.py")))
    messages = messages_of_troubleshooting()
    assert len(messages) > 30
    for parts in messages:
        assert any(all(part in text for part in parts) for text in known), parts


def test_troubleshooting_has_every_reason_for_the_end_of_growth() -> None:
    growth = ROOT / "gromo_graph" / "growth"
    reasons = texts(growth / "stopping.py") | texts(growth / "ticks" / "timekeeper.py")
    reasons = {text for text in reasons if "…" in text and len(text) > 40 and "GrowthScheduler(" not in text}
    assert len(reasons) > 7
    messages = messages_of_troubleshooting()
    for reason in reasons:
        assert any(all(part in reason for part in parts) for parts in messages), reason


def test_the_defaults_on_choosing_are_those_of_the_settings() -> None:
    from gromo_graph import Growth, Train

    text = (ROOT / "docs" / "choosing.md").read_text()
    when, train = Growth().when, Train()
    for name, value in {
        "when.until": when.until,
        "when.begin": when.begin,
        "when.steps": when.steps,
        "train.epochs": train.epochs,
    }.items():
        assert f"| `{name}` | {value} |" in text


def test_every_documented_member_has_its_test() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| \[(\w+)\]\(\.\./(\S+)\) \|$", MEMBERS, re.MULTILINE)
    assert len({member for member, _, _ in rows}) == 42
    for member, test, file in rows:
        assert member == "GrowingModule" or hasattr(GrowingModule, member)
        assert f"def {test}(" in (ROOT / file).read_text()


def test_every_criterion_and_operation_is_on_the_page() -> None:
    from typing import get_args

    from gromo_graph.statistics.solve_neurons import Criterion

    for criterion in get_args(Criterion):
        assert f"| `{criterion}` |" in MEMBERS


@pytest.mark.slow
def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """Its files, its commands in their order, and its Python."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for language, spec in fences:
        if language == "yaml":
            name = re.match(r"name: (\w+)", spec)
            assert name is not None
            (tmp_path / f"{name[1]}.yaml").write_text(spec)
    commands = [line for language, block in fences if not language for line in block.splitlines()]
    assert len(commands) > 12
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "gromo-graph"
        done = subprocess.run(
            [sys.executable, "-m", "gromo_graph", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        differs = words[1] == "diff"
        assert done.returncode == (1 if differs else 0), f"{command}: {done.stderr}"
    (code,) = (block for language, block in fences if language == "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    for made in (
        "digits.svg",
        "growth.gif",
        "runs/digits/inspect.html",
        "pictures/000.svg",
        "exported",
        "grown.svg",
    ):
        assert (tmp_path / made).exists(), made


def test_every_page_is_in_the_site() -> None:
    pages = set(re.findall(r"(\w[\w-]*\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert pages == {path.name for path in (ROOT / "docs").glob("*.md")}
