"""Are runs what they were? Records short runs before a change to the code, and compares them after it.

    python benchmarks/recorded_runs.py --record FOLDER
    python benchmarks/recorded_runs.py --compare FOLDER [--only NAME ...]

A recorded run is a folder: `start.yaml`, in which every setting that has a value is written out, so that a default
that changes later changes no recorded run; `run.json` with the seed, the growth steps and the epochs; `end.yaml`; and
`end.safetensors`. A setting that is none by default, as most budgets are, cannot be written. A compare runs the stored
start with the stored seed again, whatever the gallery holds by then. Decisions and specs must be the same; losses, step
sizes and weights may differ by a share of 1e-5. A weight counts beside the largest of its tensor.

The script knows the public names and the files of a run folder alone, so that the inside of the package may move.
Record and compare on one machine with one release of torch: others may round in another way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # instead of this folder, whose statistics.py is not the one of Python
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the order of sums depends on it

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import load_file, save_file

from gromo_graph import Spec, grow, load_spec, parse_spec

TOLERANCE = 1e-5
OTHER = math.inf  # how far apart two values are that are no numbers and not the same
START, TOLD, END, WEIGHTS = "start.yaml", "run.json", "end.yaml", "end.safetensors"
STEP = ("type", "step", "epoch", "gamma", "slope", "loss_before", "loss_after", "parameters", "madds")
EPOCH = ("type", "epoch", "train", "validation", "parameters", "madds", "lr")
DECISION = ("kind", "target", "neurons")

DROPOUT = """
version: 1
name: dropout_ties
nodes:
  image:  {kind: input, shape: [1, 8, 8]}
  stem:   {kind: conv2d, from: image, features: 4, kernel: 3, padding: same, activation: relu}
  norm:   {kind: layer_norm, from: image}
  smooth: {kind: conv2d, from: norm, features: 4, kernel: 3, padding: same, activation: tanh, grow: {tie: both}}
  rough:  {kind: depthwise_conv2d, from: stem, kernel: 3, padding: same}
  kinked: {kind: conv2d, from: rough, features: 4, kernel: 1, activation: relu, grow: {tie: both, max: 12}}
  beside: {kind: merge, from: [smooth, kinked], merge: concat}
  small:  {kind: avg_pool2d, from: beside, kernel: 4}
  flat:   {kind: flatten, from: small}
  some:   {kind: dropout, from: flat, p: 0.25}
  hidden: {kind: linear, from: some, features: 4, activation: silu}
  less:   {kind: dropout, from: hidden, p: 0.1}
  logits: {kind: linear, from: less, features: 10}
output: logits
train: {data: digits}
"""

REGRESSION = """
version: 1
name: regression
nodes:
  x:      {kind: input, shape: [10]}
  first:  {kind: linear, from: x, features: 3, activation: tanh}
  second: {kind: linear, from: first, features: 3, activation: softplus}
  y:      {kind: linear, from: second, features: 1}
output: y
train: {data: diabetes, loss: mse}
"""


@dataclass(frozen=True)
class Case:
    """A run worth keeping.

    Attributes:
        name: of its folder.
        source: the name of a gallery spec, or the text of a spec.
        overrides: that make it short, and that say what a default would choose by a rule.
        kinds: growth that it must hold, or it would guard nothing.
        seed: of the run.
        least: growth steps that stand together after one epoch, at least once.
    """

    name: str
    source: str
    overrides: tuple[str, ...]
    kinds: frozenset[str] = frozenset({"widen"})
    seed: int = 0
    least: int = 1

    def spec(self) -> Spec:
        """The spec it starts from."""
        if "\n" in self.source:
            return parse_spec(self.source, overrides=self.overrides)
        return load_spec(ROOT / "specs" / f"{self.source}.yaml", overrides=self.overrides)


def short(epochs: int, groups: int, neurons: int, *others: str) -> tuple[str, ...]:
    """Overrides of a short run that grows after each epoch."""
    return (
        f"train.epochs={epochs}",
        f"growth.groups={groups}",
        f"growth.neurons.per_step={neurons}",
        "growth.when={every: 1, until: 1.0}",
        *others,
    )


CASES = (
    Case("mlp", "digits_mlp", short(4, 1, 8)),
    Case("mlp_realised", "digits_mlp", short(3, 1, 4, "growth.select=realised", "growth.trials=2"), seed=1),
    Case(
        "new_edge",
        "digits_branches",
        short(3, 1, 4, "growth.actions=[new_edge]", "growth.select=slope", "growth.optimizer_state=zeros"),
        kinds=frozenset({"new_edge"}),
        seed=2,
    ),
    Case(
        "new_node",
        "digits_branches",
        short(3, 1, 4, "growth.actions=[new_node]", "growth.select=slope"),
        kinds=frozenset({"new_node"}),
        seed=3,
    ),
    Case(
        "prune",
        "digits_mlp",
        short(
            4, 1, 8, "growth.actions=[prune]", "nodes.hidden1.features=24", "nodes.hidden2.features=24",
            "train.optimizer.lr=0.01", "growth.stop={}",
        ),
        kinds=frozenset({"prune"}),
        seed=4,
    ),
    Case(
        "residual",
        "digits_residual",
        short(4, 2, 4, "growth.apply_delta=true", "growth.optimizer_state=fresh", "growth.scale=alpha_std"),
        seed=5,
    ),
    Case("cnn", "digits_cnn", short(2, 1, 4, "growth.select=slope_per_parameter"), seed=6),
    Case("residual_cnn", "digits_residual_cnn", short(3, 3, 4), seed=7, least=2),
    Case("unet", "digits_unet", short(3, 2, 4), seed=8, least=2),
    Case("u", "digits_u", short(3, 2, 4, "growth.criterion=gradmax", "train.accumulate=2"), seed=9, least=2),
    Case(
        "encoder",
        "digits_encoder",
        short(3, 2, 4, "growth.statistics.samples=256", "growth.select=slope"),
        seed=10,
        least=2,
    ),
    Case(
        "new_head",
        "digits_encoder",
        short(2, 1, 4, "growth.statistics.samples=256", "growth.actions=[new_head]"),
        kinds=frozenset({"new_head"}),
        seed=15,
    ),
    Case("mixer", "digits_mixer", short(2, 2, 4, "growth.statistics.samples=256"), seed=11, least=2),
    Case("tokens", "digits_tokens", short(2, 1, 4, "growth.select=slope_per_madd"), seed=12),
    Case("dropout_ties", DROPOUT, short(3, 2, 4, "growth.optimizer_state=zeros"), seed=13, least=2),
    Case(
        "regression",
        REGRESSION,
        short(
            4, 1, 4, "growth.criterion=variance_transfer", "train.schedule=constant", "train.batch_size=32",
            "train.optimizer={name: sgd, lr: 0.02, momentum: 0.9, weight_decay: 0.001}",
        ),
        seed=14,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """The remains of a run: the lines of its journal, its last spec and its last weights."""

    lines: Sequence[Mapping[str, Any]]
    end: Spec
    weights: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Apart:
    """A place at which two runs were compared, and their distance there, as a share."""

    place: str
    share: float


def spelled(spec: Spec) -> str:
    """The YAML text of a spec with every setting that has a value, defaults included.

    Raises:
        ValueError: the text would be another spec.
    """
    nodes = {name: _written(node) for name, node in spec.nodes.items()}
    output = {"outputs": list(spec.outputs)} if spec.named_outputs else {"output": spec.outputs[0]}
    document = {
        "version": spec.version,
        "name": spec.name,
        "nodes": nodes,
        **output,
        "growth": _written(spec.growth),
        "train": _written(spec.train),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    if parse_spec(text) != spec:
        raise ValueError(f"`{spec.name}` spelled out reads as another spec")
    return text


def _written(section: Any) -> dict[str, Any]:
    values: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_none=True)
    return values


def kept_run(spec: Spec, seed: int) -> Kept:
    """Run a spec, and keep what its folder tells."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        grow(spec, out=folder, seed=seed, device="cpu")
        return Kept(
            lines_of((folder / "journal.jsonl").read_text(encoding="utf-8")),
            load_spec(folder / "spec.yaml"),
            load_file(folder / "weights.safetensors"),
        )


def lines_of(journal: str) -> list[dict[str, Any]]:
    """The lines of a journal behind its header, without clocks, words and candidates."""
    kept = []
    for line in map(json.loads, journal.splitlines()[1:]):
        keys = {"step": STEP, "epoch": EPOCH}.get(line["type"], ("type", "epoch"))
        told = {key: line[key] for key in keys}
        if line["type"] == "step":
            made = line["decision"]
            told["decision"] = None if made is None else {key: made[key] for key in DECISION}
        kept.append(told)
    return kept


def record(cases: Sequence[Case], folder: Path) -> bool:
    """Run all cases and keep them; were they what they are there for?"""
    sound = True
    for case in cases:
        start = case.spec()
        text = spelled(start)
        run = kept_run(parse_spec(text), case.seed)
        missing = lacks(case, run.lines)
        sound &= not missing
        place = folder / case.name
        place.mkdir(parents=True, exist_ok=True)
        (place / START).write_text(text, encoding="utf-8")
        (place / END).write_text(spelled(run.end), encoding="utf-8")
        told = {"seed": case.seed, "lines": run.lines}
        (place / TOLD).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        save_file(dict(run.weights), place / WEIGHTS)
        print(f"{case.name:14s} {'LACKS ' + missing if missing else 'recorded'}: {growth_of(run.lines)}")
    return sound


def lacks(case: Case, lines: Sequence[Mapping[str, Any]]) -> str:
    """Names everything that a run was to hold and does not."""
    made = [line for line in lines if line.get("decision")]
    epochs = [line["epoch"] for line in made]
    found = {line["decision"]["kind"] for line in made}
    together = max((epochs.count(epoch) for epoch in epochs), default=0)
    few = [] if together >= case.least else [f"{case.least} steps after one epoch"]
    return ", ".join([*sorted(case.kinds - found), *few])


def growth_of(lines: Sequence[Mapping[str, Any]]) -> str:
    """The growth of a run in words."""
    made = [line["decision"] for line in lines if line.get("decision")]
    return ", ".join(f"{step['kind']} {step['target']} {step['neurons']}" for step in made) or "no growth"


def stored_run(place: Path) -> tuple[Spec, int, Kept]:
    """The start, the seed and the result of a recorded run."""
    told = json.loads((place / TOLD).read_text(encoding="utf-8"))
    kept = Kept(told["lines"], load_spec(place / END), load_file(place / WEIGHTS))
    return load_spec(place / START), told["seed"], kept


def compare(folder: Path, only: Sequence[str]) -> bool:
    """Run again what is recorded, and print one line a run; are all equal?"""
    places = [
        path.parent for path in sorted(folder.glob(f"*/{TOLD}")) if not only or path.parent.name in only
    ]
    if not places:
        print(f"{folder}: nothing is recorded here")
    equal = bool(places)
    for place in places:
        try:
            start, seed, old = stored_run(place)
            apart = list(differences(old, kept_run(start, seed)))
        except Exception as error:  # one broken run hides no other
            apart = [Apart(f"the run ends with {type(error).__name__}: {error}", OTHER)]
        beyond = [one for one in apart if not one.share <= TOLERANCE]
        largest = max(apart, key=lambda one: one.share)
        line = f"{place.name:14s} {'DIFFERS' if beyond else 'equal':8s} largest relative difference {largest.share:.1e}"
        line += f" at {largest.place}" if largest.share else ""
        print(line + (f"; first beyond {TOLERANCE:g}: {beyond[0].place}" if beyond else ""), flush=True)
        equal &= not beyond
    return equal


def differences(old: Kept, new: Kept) -> Iterator[Apart]:
    """The distances of two runs, in the order of their events."""
    for was, now in zip(old.lines, new.lines, strict=False):
        yield from values_apart(was, now, f"{was['type']} {was.get('step', was['epoch'])}")
    yield Apart(
        f"lines of the journal: {len(old.lines)}, now {len(new.lines)}", _same(len(old.lines), len(new.lines))
    )
    yield Apart(f"spec: {spec_words(old.end, new.end)}", _same(old.end, new.end))
    yield from weights_apart(old.weights, new.weights)


def values_apart(was: Any, now: Any, place: str) -> Iterator[Apart]:
    """The distance of two values of a journal; maps by key, floats as a share, all else the same or not."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*was, *now]):
            yield from values_apart(was.get(key), now.get(key), f"{place}, {key}")
    elif isinstance(was, float) and isinstance(now, int | float):
        yield Apart(f"{place}: {was:g}, now {now:g}", abs(was - now) / (max(abs(was), abs(now)) or 1.0))
    else:
        yield Apart(f"{place}: {was}, now {now}", _same(was, now))


def weights_apart(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> Iterator[Apart]:
    """The distances of tensors, as shares of the largest entry of the old one."""
    for name in dict.fromkeys([*old, *new]):
        shapes = [tensors[name].shape if name in tensors else None for tensors in (old, new)]
        if shapes[0] != shapes[1]:
            yield Apart(f"weights {name}: shape {shapes[0]}, now {shapes[1]}", OTHER)
            continue
        was, now = (tensors[name].astype(np.float64) for tensors in (old, new))
        gap = float(np.abs(was - now).max(initial=0.0))
        share = gap / (float(np.abs(was).max(initial=0.0)) or 1.0)
        yield Apart(f"weights {name}", share if math.isfinite(share) else OTHER)


def spec_words(old: Spec, new: Spec) -> str:
    """The nodes and sections in which two specs differ."""
    nodes = [
        name for name in dict.fromkeys([*old.nodes, *new.nodes]) if old.nodes.get(name) != new.nodes.get(name)
    ]
    parts = [part for part in ("growth", "train", "outputs") if getattr(old, part) != getattr(new, part)]
    return ", ".join([*nodes, *parts]) or "the order of nodes, or the name"


def _same(was: Any, now: Any) -> float:
    return 0.0 if was == now else OTHER


def main() -> None:
    """Record or compare, as asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    way = options.add_mutually_exclusive_group(required=True)
    way.add_argument("--record", type=Path, metavar="FOLDER")
    way.add_argument("--compare", type=Path, metavar="FOLDER")
    options.add_argument("--only", nargs="+", metavar="NAME", default=[])
    chosen = options.parse_args()
    torch.set_num_threads(1)
    if chosen.record is not None:
        cases = [case for case in CASES if not chosen.only or case.name in chosen.only]
        sound = bool(cases) and record(cases, chosen.record)
    else:
        sound = compare(chosen.compare, chosen.only)
    print(f"{time.process_time():.0f} s of CPU")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
