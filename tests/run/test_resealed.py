"""Files whose checksums are right and whose values are wrong: each is refused in words, or of no harm."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gromo_graph import GromoGraphError, branch, grow, load_run, parse_spec, replay, resume
from gromo_graph.records import checksum, read_journal
from gromo_graph.render import render
from gromo_graph.render.pages.inspector import inspector_html
from gromo_graph.render.pages.report import report_html
from gromo_graph.run.folder.checkpoint import checkpoints, restore_optimizer, saved_optimizer
from gromo_graph.run.folder.sealed_tensors import sealed, unsealed
from gromo_graph.statistics.saved_statistics import Snapshot
from tests.run.test_resume import broken_off, mlp

TEXT = mlp()
WRONG: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 10**30, 1.5, float("inf"), "", "x", "NaN", "\x00", [], [1], {}, {"a": 1}),
    *(["x", "y"], [[]], "nodes: {}", "../../etc/passwd", 2**63, -(2**70), "é" * 300),
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broken") / "run"
    broken_off(TEXT, path, 5)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    grow(parse_spec(TEXT), out=path, seed=5, device="cpu")
    return path


def mutated(value: Any, dice: random.Random) -> Any:
    """One value somewhere inside put in another one's place, or a key taken away, or one more put in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = [place for place, _ in inner]
    if not places or dice.random() < 0.25:
        return dice.choice(WRONG)
    place = dice.choice(places)
    copy = value.copy()
    if dice.random() < 0.1:
        del copy[place]
    elif dice.random() < 0.05 and isinstance(copy, dict):
        copy[dice.choice(["NaN", "", "x", "\x00"])] = copy.pop(place)
    else:
        copy[place] = mutated(value[place], dice)
    return copy


def reseal_json(file: Path, dice: random.Random) -> None:
    values = json.loads(file.read_bytes())
    if isinstance(values, dict):
        values.pop("checksum", None)
    wrong = mutated(values, dice)
    if isinstance(wrong, dict):
        wrong["checksum"] = checksum(wrong)
    file.write_text(json.dumps(wrong))


def reseal_journal(file: Path, dice: random.Random) -> None:
    lines = file.read_text().splitlines()
    number = dice.randrange(len(lines))
    kept = json.loads(lines[number])
    if isinstance(kept, dict):
        kept = {key: value for key, value in kept.items() if key not in ("checksum", "time")}
    wrong = mutated(kept, dice)
    if isinstance(wrong, dict):
        wrong["checksum"] = checksum(wrong)
    lines[number] = json.dumps(wrong)
    file.write_text("\n".join(lines) + "\n")


def reseal_tensors(file: Path, dice: random.Random) -> None:
    tensors, words = unsealed(file)
    what = dice.random()
    name = dice.choice(sorted(tensors))
    if what < 0.2:
        del tensors[name]
    elif what < 0.3:
        tensors["NaN"] = tensors.pop(name)
    elif what < 0.4:
        tensors[name] = tensors[name].to(
            dice.choice([torch.int64, torch.bool, torch.bfloat16, torch.float64])
        )
    elif what < 0.5:
        tensors[name] = torch.zeros(dice.choice([(), (0,), (3, 1, 2)]))
    elif "gromo_graph" in words:
        words["gromo_graph"] = json.dumps(mutated(json.loads(words["gromo_graph"]), dice))
    else:
        words["spec"] = dice.choice(["", "nodes: {}", "\x00", "x"])
    file.write_bytes(sealed(tensors, words))


RESEALED: dict[str, Callable[[Path, random.Random], None]] = {
    "journal.jsonl": reseal_journal,
    "command.json": reseal_json,
    "data.json": reseal_json,
    "summary.json": reseal_json,
    "weights.safetensors": reseal_tensors,
    "checkpoint": reseal_tensors,
}


def tried(read: Callable[[], object]) -> str | None:
    """The message of a refusal; nothing but errors of this library may be raised."""
    try:
        read()
    except GromoGraphError as error:
        return str(error)
    return None


def readers(path: Path) -> list[Callable[[], object]]:
    x = [[5.1, 3.5, 1.4, 0.2]]
    return [
        partial(load_run, path),
        lambda: load_run(path).predict(x),
        lambda: load_run(path).evaluate(),
        lambda: load_run(path).summary,
        lambda: report_html(read_journal(path)),
        lambda: inspector_html(read_journal(path)),
        partial(render, path),
        lambda: render(f"{path}@1"),
        lambda: replay(path, to=1, out=path.parent / "replayed", force=True),
        lambda: branch(path, at=1, overrides=["train.epochs=6"], out=path.parent / "left", force=True),
        partial(resume, path, device="cpu"),
        partial(load_run, path),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_many_resealed_folders(broken: Path, whole: Path, tmp_path: Path) -> None:
    dice = random.Random(1)
    refused = 0
    for number in range(30):
        path = tmp_path / str(number) / "run"
        shutil.copytree(dice.choice([broken, whole]), path)
        found = checkpoints(path)
        files = [name for name in RESEALED if (path / name).is_file() or (name == "checkpoint" and found)]
        name = dice.choice(files)
        for _ in range(dice.choice([1, 1, 1, 4])):
            RESEALED[name](found[-1] if name == "checkpoint" else path / name, dice)
        said = [tried(read) for read in readers(path)]
        refused += any(said)
        shutil.rmtree(path.parent)
    assert refused > 5


WRONG_DATA: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "both"}, "task: input should be"),
    "a text": ({"outputs": "3"}, "outputs: input should be a valid integer"),
    "a truth": ({"outputs": True}, "outputs: input should be a valid integer"),
    "no sizes": ({"shape": [0]}, "shape.0: input should be greater than 0"),
    "not finite": ({"mean": [float("nan")] * 4}, "mean.0: input should be a finite number"),
    "no scale": ({"scale": [1.0, 0.0, 1.0, 1.0]}, "scale.1: input should be greater than 0"),
    "lengths": ({"mean": [0.0] * 3}, "mean: 3 values, expected 4"),
    "classes": ({"classes": ["a"]}, "classes: 1 values, expected 3"),
    "a label": ({"classes": [None, 1, 2]}, "classes.0"),
    "of another": (
        {"shape": [2], "mean": [0.0] * 2, "scale": [1.0] * 2},
        "of another network: it prepares samples of shape (2,) for 3 outputs, and the network reads (4,) and gives 3",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_data_of_wrong_types_are_told(
    whole: Path, tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    values = json.loads((path / "data.json").read_bytes())
    values.pop("checksum", None)
    values |= wrong
    values["checksum"] = checksum(values)
    (path / "data.json").write_text(json.dumps(values))
    with pytest.raises(GromoGraphError, match=re.escape(message)):
        load_run(path)


@pytest.mark.parametrize("version", [0, 99])
def test_defaults_of_an_unknown_version_are_refused(whole: Path, tmp_path: Path, version: int) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    header, *rest = (path / "journal.jsonl").read_text().splitlines()
    values = json.loads(header) | {"defaults": version}
    values["checksum"] = checksum(values)
    (path / "journal.jsonl").write_text("\n".join([json.dumps(values), *rest]) + "\n")
    with pytest.raises(GromoGraphError, match=f"version {version} of the defaults"):
        resume(path)


def test_moments_of_another_dtype_are_refused() -> None:
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    saved = saved_optimizer(optimizer, network)
    restore_optimizer(optimizer, network, saved)
    halved = {
        place: tensor.to(torch.bfloat16) if tensor.dim() else tensor
        for place, tensor in saved.tensors.items()
    }
    with pytest.raises(ValueError, match="bfloat16"):
        restore_optimizer(optimizer, network, Snapshot(saved.plain, halved))
