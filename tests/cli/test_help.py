"""Help, other words for verbs, errors as JSON, the amount of messages, and the doctor."""

from __future__ import annotations

import json
import re
import shlex
from importlib import metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from gromo_graph.cli import app
from gromo_graph.cli.examples import EXAMPLES
from gromo_graph.cli.help_group import _OTHER_OPTIONS, _OTHER_WORDS
from gromo_graph.spec.wording import folded
from tests.run.specs import IRIS

VERBS = tuple(str(command.name) for command in app.registered_commands)
OPTIONS = ("help", "version", "show-completion")
ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(IRIS)
    return path


def test_help_has_the_groups_of_the_readme_and_describes_each_verb_in_full() -> None:
    printed = call("-h").stdout
    assert printed == call("--help").stdout
    assert "..." not in printed.split("Start:")[1]
    groups = re.findall(r"^(\w+):\n((?: .*\n)+)", printed, re.MULTILINE)
    shown = {title.lower(): re.findall(r"^  ([\w-]+) ", rows, re.MULTILINE) for title, rows in groups}
    table = (ROOT / "README.md").read_text().split("## Commands")[1]
    for group in ("start", "use", "analyse", "edit"):
        (row,) = re.findall(rf"^\| {group} \| (.*) \|$", table, re.MULTILINE)
        assert set(shown[group]) == set(re.findall(r"(?:^|· )`(\w+)`", row))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_short_help_loudness_and_examples_that_can_be_called(verb: str) -> None:
    printed = call(verb, "-h").stdout
    for option in ("-h, --help", "-q, --quiet", "-v, --verbose", "--plugin"):
        assert option in printed
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert EXAMPLES[verb]
    for example in EXAMPLES[verb]:
        assert f"    gromo-graph {example}\n" in printed
        name, *words = shlex.split(example.split(" > ")[0])
        assert name == verb
        command.make_context(name, words)  # a usage error is raised


def test_examples_and_other_words_are_of_verbs_there_are() -> None:
    assert set(EXAMPLES) == set(VERBS)
    assert {meant.split()[0] for meant in _OTHER_WORDS.values()} <= {*VERBS, *(f"--{o}" for o in OPTIONS)}
    assert not set(_OTHER_WORDS) & set(VERBS)
    assert all(folded(word) == word for word in _OTHER_WORDS)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("train", "grow"), ("fit", "grow"), ("run", "grow"), ("draw", "render"), ("plot", "render"),
        ("view", "inspect RUN --open"), ("check", "validate"), ("init", "new"), ("create", "new"), ("test", "evaluate"),
        ("eval", "evaluate"), ("save", "export"), ("Train", "grow"), ("from-torch", "import"), ("help", "--help"),
    ],
)  # fmt: skip
def test_other_words_for_verbs_are_answered(word: str, meant: str) -> None:
    result = call(word, "my.yaml")
    assert result.exit_code == 2
    assert f"`{word}`: write `gromo-graph {meant}`" in result.stderr


def test_a_slip_in_another_word_for_a_verb_is_answered() -> None:
    assert "`trian`: did you mean `train`? Write `gromo-graph grow`" in call("trian", "my.yaml").stderr
    assert "Did you mean 'grow'" in call("grwo", "my.yaml").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "missing.yaml", "--json"], 2, "there is no such file"),
        (["evaluate", "missing", "--json"], 1, "expected the folder of a run"),
        (["diff", "missing", "small.yaml", "--json"], 2, "missing"),
        (["grow", "small.yaml", "--sede", "3", "--json"], 2, "--seed"),
        (["grow", "small.yaml", "--data", "irs", "--json"], 1, "did you mean `iris`"),
        (["grow", "small.yaml", "--plugin", "no_module", "--json"], 2, "no_module"),
        (["gorw", "--json"], 2, "grow"),
        (["show", "small.yaml", "--json", "-q", "-v"], 2, "keep one of the two"),
    ],
)
def test_an_error_with_json_is_an_object_on_stdout(
    arguments: list[str], code: int, message: str, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    result = call(*arguments)
    assert result.exit_code == code
    found = json.loads(result.stdout)["error"]
    assert list(found) == ["message", "code", "problems"]
    assert message in found["message"]
    assert found["code"] == code
    assert result.stderr  # a person who reads along is told too


def test_the_problems_of_a_spec_are_in_the_json_of_any_verb(spec: Path) -> None:
    spec.write_text(IRIS.replace("relu", "rleu").replace("kind: input", "kind: inptu"))
    found = json.loads(call("grow", spec, "--json").stdout)["error"]
    assert [problem["line"] for problem in found["problems"]] == [3, 4]
    assert set(found["problems"][0]) == {"file", "line", "column", "path", "message"}


def test_quiet_says_nothing_and_verbose_more(spec: Path, tmp_path: Path) -> None:
    assert "drawn" in call("render", spec, "-o", tmp_path / "x.svg").stderr
    assert call("render", spec, "-o", tmp_path / "y.svg", "--quiet").stderr == ""
    assert (tmp_path / "y.svg").is_file()
    assert "no such file" in call("render", tmp_path / "none.yaml", "-q").stderr
    longer = ("--set", "train.epochs=25", "--set", "growth.stop.steps=0")
    told = call("grow", spec, "--out", tmp_path / "run", *longer).stderr
    more = call("grow", spec, "--out", tmp_path / "more", "-v", *longer).stderr
    assert "epoch 3/25" not in told
    assert all(f"epoch {epoch}/25" in more for epoch in range(1, 26))


def test_doctor_of_a_sound_installation() -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["works"] is True
    parts = {part["name"]: part for part in found["parts"]}
    assert {"gromo_graph", "Python", "device", "drawing", "torch", "pygraphviz", "onnx", "skorch"} <= set(
        parts
    )
    assert "pytest" not in parts
    assert "thread" in parts["device"]["found"]
    assert parts["torch"]["needed"]
    assert not parts["skorch"]["needed"]
    table = call("doctor").stdout
    assert all(name in table for name in parts)
    assert "everything that is needed works" in table


def test_doctor_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in ("skorch", "numpy"):
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    result = call("doctor")
    assert result.exit_code == 1
    assert "pip install 'gromo_graph[skorch]'" in result.stdout
    assert "pip install numpy" in result.stdout
    assert "something that is needed does not work" in result.stdout


@pytest.mark.filterwarnings("ignore:nothing will grow")  # a budget of 3, as one for all options
@pytest.mark.parametrize("option", _OTHER_OPTIONS)
def test_options_that_people_try_are_answered_with_what_to_write(spec: Path, option: str) -> None:
    result = call("grow", spec, option, "3", "--json")
    assert result.exit_code == 2
    meant = _OTHER_OPTIONS[option]
    assert f"`{option}`: write `{meant}`" in result.stderr
    assert json.loads(result.stdout)["error"]["message"] == f"`{option}`: write `{meant}`"
    known = call("grow", "--help").stdout
    assert meant.split()[0] in known
    if meant.startswith("--set "):
        path = meant.removeprefix("--set ").removesuffix("=...")
        assert call("validate", spec, "--set", f"{path}=3").exit_code in (0, 2)
        assert "unknown key" not in call("validate", spec, "--set", f"{path}=3").stderr


def test_a_slip_in_an_option_gets_the_nearest_ones(spec: Path) -> None:
    assert "--seed" in call("grow", spec, "--sed", "3").stderr
    assert "write" not in call("render", spec, "--epochs", "3").stderr.split("Error:")[1]
