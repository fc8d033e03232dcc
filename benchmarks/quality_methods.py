"""The methods of the quality benchmark: grown, from scratch, train wide then prune.

Every run is charged what it trains, what it decides, and one look at the validation part after each epoch. A run that
grows sets the multiply-adds; the others train as many steps as come to the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.quality_counting import Meter, MultiplyAdds, training_madds
from benchmarks.quality_tasks import BATCH, DECAY, Task, uniform_width
from gromo_graph import GrowingNetwork, GrowthScheduler, Run, Spec, compile_network, grow, parse_spec
from gromo_graph.run.data.load_data import load_data

Arrays = tuple[Any, Any]
Part = tuple[Tensor, Tensor]

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "mse": mse_loss}

# Train wide, then prune: how many times the budget it begins with, the shares of the multiply-adds between which
# neurons are taken out, in how many rounds, and the most samples that say which.
WIDER, PRUNED_FROM, PRUNED_UNTIL, ROUNDS, PRUNING_SAMPLES = 3, 0.4, 0.6, 4, 1024


@dataclass(frozen=True)
class Measures:
    """The outcome of a run.

    Attributes:
        score: on the test part: 100 times the accuracy, or 100 times the explained share of the variance.
        loss: on the test part.
        validation_score, validation_loss, train_loss: on the other parts.
        parameters: at the end. widths: of each node that has features, at the end.
        madds: multiply-adds in all. deciding: the part of them spent on decisions.
        steps: growth steps applied. reason: why growth ended.
        cpu: seconds of CPU of this process; a run that grows includes some for counting.
    """

    score: float
    loss: float
    validation_score: float
    validation_loss: float
    train_loss: float
    parameters: int
    widths: dict[str, int]
    madds: float
    deciding: float
    steps: int
    reason: str
    cpu: float


def grown(
    task: Task, data: Arrays, *, seed: int, rate: float, overrides: Sequence[str], exact: bool = False
) -> Measures:
    """`grow` with default settings, but for overrides.

    Args:
        exact: count every operation of torch instead of working it out from sizes; three times as slow.
    """
    begun, meter, whole = time.process_time(), Meter(), MultiplyAdds()
    spec = task.spec(task.start, rate=rate, overrides=tuple(overrides))
    if exact:
        with whole:
            run = grow(spec, data=data, seed=seed, device="cpu")
        madds = whole.count - _final_look(run)
    else:
        with meter.watching():
            run = grow(spec, data=data, seed=seed, device="cpu")
        madds = _madds_of(run, meter, [spec, *(parse_spec(e.spec) for e in run.events if e.decision)])
    summary = run.summary
    scores = {
        part: _score(summary[part]["loss"], summary[part]["accuracy"]) for part in ("test", "validation")
    }
    return Measures(
        score=scores["test"],
        loss=summary["test"]["loss"],
        validation_score=scores["validation"],
        validation_loss=summary["validation"]["loss"],
        train_loss=summary["train"]["loss"],
        parameters=summary["parameters"],
        widths=_widths(run.network),
        madds=madds,
        deciding=meter.deciding.count,
        steps=summary["steps"],
        reason=summary["reason"],
        cpu=time.process_time() - begun,
    )


def _madds_of(run: Run, meter: Meter, specs: Sequence[Spec]) -> float:
    """Training, deciding, and a look at the validation part after each epoch.

    Raises:
        RuntimeError: the run trained a network of a size that no event tells of.
    """
    parts = run.parts()
    samples = len(parts["train"])
    batch = samples / math.ceil(samples / run.spec.train.batch_size)
    costs = {compile_network(spec, seed=0).graph.parameter_count: training_madds(spec) for spec in specs}
    unknown = set(meter.steps) - set(costs)
    if unknown:
        raise RuntimeError(
            f"the run trained networks of {sorted(unknown)} parameters, known are {sorted(costs)}"
        )
    training = sum(costs[size] * steps * batch for size, steps in meter.steps.items())
    looking = sum(epoch.madds for epoch in run.epochs) * len(parts["validation"])
    return training + looking + meter.deciding.count


def _final_look(run: Run) -> float:
    """The measures of all parts at the end, which no method is charged."""
    return float(run.network.graph.multiply_adds * sum(len(part) for part in run.parts().values()))


def from_scratch(task: Task, data: Arrays, *, seed: int, rate: float, madds: float) -> Measures:
    """Uniform widths that fill the budget, from new weights, for so many multiply-adds."""
    begun = time.process_time()
    spec = task.spec(uniform_width(task.name, task.parameters), rate=rate)
    training = _Training.of(task, spec, data, seed=seed, rate=rate)
    steps = max(1, round(madds / training.cost_of_step()))
    for step in range(steps):
        training.step(step / steps)
    return training.measures(deciding=0.0, steps=0, reason="", begun=begun)


def pruned(task: Task, data: Arrays, *, seed: int, rate: float, madds: float) -> Measures:
    """Begin wider than the budget, take out what is missed least, and train on, for so many multiply-adds in all.

    The neurons of all groups compete: the library's `prune` takes out those whose readers can best make up for them.
    """
    begun = time.process_time()
    width, end = uniform_width(task.name, WIDER * task.parameters), uniform_width(task.name, task.parameters)
    training = _Training.of(task, task.spec(width, rate=rate), data, seed=seed, rate=rate)
    size = training.network.graph.parameter_count
    deciding, done = MultiplyAdds(), 0
    while (share := (training.spent + deciding.count) / madds) < 1.0:
        if done < ROUNDS and share >= PRUNED_FROM + (PRUNED_UNTIL - PRUNED_FROM) * done / (ROUNDS - 1):
            done += 1
            with deciding:
                training.prune_to(size * (task.parameters / size) ** (done / ROUNDS), wide=end)
        training.step(share)
    return training.measures(deciding=deciding.count, steps=0, reason="", begun=begun)


@dataclass
class _Training:
    """Plain training: AdamW with a cosine schedule, as in `grow`.

    Attributes:
        task: what it learns. network, optimizer: as they stand. parts: prepared samples.
        rate: at the start. chance: of the order of the samples. spent: multiply-adds so far.
        waiting: batches that are left of this epoch. costs: multiply-adds of a step, by parameters.
    """

    task: Task
    network: GrowingNetwork
    optimizer: torch.optim.Optimizer
    parts: dict[str, Part]
    rate: float
    chance: torch.Generator
    spent: float = 0.0
    waiting: Iterator[Tensor] = field(default_factory=lambda: iter(()))
    costs: dict[int, float] = field(default_factory=dict)

    @staticmethod
    def of(task: Task, spec: Spec, data: Arrays, *, seed: int, rate: float) -> _Training:
        """At the beginning, with data prepared as `grow` prepares them."""
        torch.manual_seed(seed)
        network = compile_network(spec, seed=seed)
        prepared = load_data(data, spec)
        parts = {name: part.take(torch.arange(len(part))) for name, part in prepared.parts.items()}
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
        chance = torch.Generator().manual_seed(seed)
        return _Training(task, network, optimizer, parts, rate, chance)

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        return LOSSES[self.task.loss]

    def cost_of_step(self, spec: Spec | None = None) -> float:
        """Multiply-adds of a batch, with its share of a look at the validation part after each epoch."""
        spec = self.network.spec if spec is None else spec
        samples, looks = len(self.parts["train"][0]), len(self.parts["validation"][0])
        look = looks * compile_network(spec, seed=0).graph.multiply_adds
        return (training_madds(spec) * samples + look) / math.ceil(samples / BATCH)

    def step(self, progress: float) -> None:
        """Train on a batch."""
        rows = next(self.waiting, None)
        if rows is None:
            order = torch.randperm(len(self.parts["train"][0]), generator=self.chance)
            self.waiting = iter(_batches(order))
            rows = next(self.waiting)
        x, y = (values[rows] for values in self.parts["train"])
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * 0.5 * (1.0 + math.cos(math.pi * progress))
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.network(x), y).backward()
        self.optimizer.step()
        size = self.network.graph.parameter_count
        if size not in self.costs:
            self.costs[size] = self.cost_of_step()
        self.spent += self.costs[size]

    def prune_to(self, parameters: float, *, wide: int) -> None:
        """Take out neurons until so many parameters are left, one at a time near the budget.

        Args:
            wide: the width of a uniform network that fills the budget.
        """
        x, y = self.parts["train"]
        rows = torch.randperm(len(x), generator=self.chance)[: min(PRUNING_SAMPLES, len(x) // 4)]
        batches = [(x[part], y[part]) for part in rows.split(256)]
        held_out = [tuple(values[: len(rows)] for values in self.parts["validation"])]
        while (size := self.network.graph.parameter_count) > parameters:
            near = size < 1.2 * self.task.parameters
            policy = {
                "actions": ["prune"],
                "neurons": {"per_step": 1 if near else max(1, wide // 4)},
                "when": {"worth": 1e9},  # whatever the loss does: training goes on
            }
            scheduler = GrowthScheduler(
                self.network,
                self.loss,
                optimizer=self.optimizer,
                policy=policy,
                epochs=self.task.epochs,
                undoable=False,
            )
            candidates = [each for each in scheduler.plan(batches).candidates if each.reason is None]
            if not candidates:
                return
            scheduler.apply(candidates[0], 1.0, loader=held_out)

    def measures(self, *, deciding: float, steps: int, reason: str, begun: float) -> Measures:
        """Of the network as it now stands."""
        cpu = time.process_time() - begun
        found = {name: self._measured(part) for name, part in self.parts.items()}
        return Measures(
            score=_score(*found["test"]),
            loss=found["test"][0],
            validation_score=_score(*found["validation"]),
            validation_loss=found["validation"][0],
            train_loss=found["train"][0],
            parameters=self.network.graph.parameter_count,
            widths=_widths(self.network),
            madds=self.spent + deciding,
            deciding=deciding,
            steps=steps,
            reason=reason,
            cpu=cpu,
        )

    def _measured(self, part: Part) -> tuple[float, float | None]:
        """Mean loss, and accuracy of classes."""
        self.network.eval()
        loss, right = 0.0, 0
        with torch.no_grad():
            for rows in torch.arange(len(part[0])).split(4096):
                x, y = part[0][rows], part[1][rows]
                prediction = self.network(x)
                loss += float(self.loss(prediction, y)) * len(x)
                right += 0 if y.is_floating_point() else int((prediction.argmax(dim=1) == y).sum())
        labels = not part[1].is_floating_point()
        return loss / len(part[0]), right / len(part[0]) if labels else None


def _batches(order: Tensor) -> list[Tensor]:
    """Batches of an epoch; a norm cannot train on a single sample, so that one joins the batch before."""
    batches = list(order.split(BATCH))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _score(loss: float, accuracy: float | None) -> float:
    return 100.0 * (1.0 - loss if accuracy is None else accuracy)


def _widths(network: GrowingNetwork) -> dict[str, int]:
    nodes = network.spec.nodes
    return {name: nodes[name].features for name in nodes if hasattr(nodes[name], "features")}
