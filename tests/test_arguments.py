"""Wrong arguments of the public names: an error of this library that says what was expected, never one of Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gromo_graph as gg
from gromo_graph.arguments import checked

TEXT = """
name: iris
nodes:
  flower: {kind: input, shape: [4]}
  hidden: {kind: linear, from: flower, features: 2, activation: relu}
  kind:   {kind: linear, from: hidden, features: 3}
output: kind
train: {data: iris, epochs: 1}
"""
SPEC = gg.parse_spec(TEXT)
LOSS = torch.nn.functional.cross_entropy


def scheduler(**options: Any) -> gg.GrowthScheduler:
    network = gg.compile_network(SPEC, seed=0)
    return gg.GrowthScheduler(network, LOSS, optimizer=torch.optim.SGD(network.parameters()), **options)


def edited(method: str, *values: Any) -> None:
    with gg.edit(SPEC) as e:
        getattr(e, method)(*values)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: gg.load_spec(3), "load_spec: `path` is 3, expected text or a path"),
        (lambda: gg.load_spec(), "load_spec: missing a required argument: 'path'"),
        (lambda: gg.parse_spec(TEXT, overrides=3), "`overrides` is 3, expected a map or a list of text"),
        (lambda: gg.parse_spec(TEXT, defaults=9), "defaults=9: expected one of the versions 1, 2, 3, 4, 5, 6, 7"),
        (lambda: gg.parse_spec(None), "takes the text of a document, found NoneType"),
        (lambda: gg.check_spec([1]), "`source` is a list, expected a Spec, text or a path"),
        (lambda: gg.dump_spec("my.yaml"), "dump_spec: `spec` is 'my.yaml', expected a Spec"),
        (lambda: gg.write_back("my.yaml", 3), "my.yaml"),
        (lambda: gg.compile_network("my.yaml"), "expected a Spec, call load_spec"),
        (lambda: gg.compile_network(SPEC, device="gpu"), "device 'gpu': Expected one of cpu, cuda"),
        (lambda: gg.compile_network(SPEC, dtype="double"), "`dtype` is 'double', expected a dtype or None"),
        (lambda: gg.grow(SPEC, epoch=3), "there is no argument `epoch`: known are spec, data, out"),
        (lambda: gg.grow(SPEC, datas="iris"), "there is no argument `datas`, did you mean `data`?"),
        (lambda: gg.grow(SPEC, out=3), "grow: `out` is 3, expected text, a path or None"),
        (lambda: gg.grow(SPEC, max_memory=2.5), "max_memory=2.5: expected a number of bytes above 0"),
        (lambda: gg.grow(SPEC, on_progress=3), "`on_progress` is 3, expected a function or None"),
        (lambda: gg.load_run(None), "load_run: `path` is None, expected text or a path"),
        (lambda: gg.resume({}), "resume: `path` is a dict"),
        (lambda: gg.export("run", "a.onnx"), "export: `network` is 'run', expected a GrowingNetwork"),
        (lambda: gg.from_torch(torch.nn.Linear(2, 2), torch.zeros(1, 2), name=3), "`name` is 3"),
        (lambda: gg.render(SPEC, themes="dark"), "did you mean `theme`?"),
        (lambda: gg.diff(SPEC, 3), "cannot compare int: expected a spec, a network or a run"),
        (lambda: scheduler(untrained=3), "GrowthScheduler: `untrained` is 3"),
        (lambda: scheduler(untrained=[3]), "untrained='3': expected a node"),
        (lambda: scheduler(max_parameters=9), 'write `policy={"stop": {"parameters": ...}}`'),
        (lambda: scheduler(madds=9), 'write `policy={"stop": {"madds": ...}}`'),
        (lambda: scheduler(actions=["widen"]), 'write `policy={"actions": ...}`'),
        (lambda: scheduler(policy=gg.Growth().model_copy(update={"stop": {"step": 2}})), "did you mean `steps`?"),
        (lambda: scheduler(policy=gg.Growth().model_copy(update={"ridge": -1.0})), "growth.ridge: found -1"),
        (lambda: scheduler(trainingsteps=3), "did you mean `training_steps`?"),
        (lambda: scheduler(training_steps=3).after_batch(1, 2, []), "after_batch: `y` is 2, expected a Tensor"),
        (lambda: gg.AddAdapter("hidden", "3").spec_of(SPEC), "`rank` is '3', expected an integer"),
        (lambda: gg.AddEdge("flower"), "AddEdge: missing a required argument: 'target'"),
        (lambda: gg.DuplicateBlock(3).spec_of(SPEC), "`names` is 3, expected a list of text"),
        (lambda: edited("remove_node", ["hidden"]), "`name` is a list, expected text"),
        (lambda: edited("rename", "hidden", 3), "found 3 as the name of a node, expected text"),
        (lambda: gg.Growth(neurons=3), "Growth neurons: found 3: write `neurons: {per_step: 3}`"),
        (lambda: gg.Growth(max_parameters=9), "`max_parameters`: write `stop: {parameters: ...}`"),
        (lambda: gg.Train(lr=1, loss="mae"), "Train loss: `mae`: write `l1`\nTrain lr: `lr`: write `optimizer:"),
        (lambda: gg.Optimizer(learning_rate=1), "Optimizer learning_rate: `learning_rate`: write `lr`"),
        (lambda: gg.Stop(400), "Stop: expected its values by their names"),
        (lambda: gg.Stop(parameters="400"), 'Stop parameters: found "400", expected an integer: write 400'),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_told(call: Callable[[], object], told: str) -> None:
    with pytest.raises(gg.GromoGraphError) as refused:
        call()
    assert told in str(refused.value)


def test_an_error_with_sound_arguments_stays_what_it_is() -> None:
    @checked
    def divided(value: float, *, by: int = 0) -> float:
        return value / by

    with pytest.raises(ZeroDivisionError):
        divided(np.float64(2) and 2.0)
    with pytest.raises(gg.ArgumentError, match="divided: `by` is a list, expected an integer"):
        divided(2.0, by=[])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="too many positional arguments"):
        divided(2.0, 3)  # type: ignore[misc]


def test_predict_reads_a_file(tmp_path: Path) -> None:
    run = gg.grow(SPEC, seed=0)
    file = tmp_path / "rows.csv"
    file.write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
    )
    assert (
        run.predict(file).tolist()
        == run.predict(str(file)).tolist()
        == run.predict([[5.1, 3.5, 1.4, 0.2]]).tolist()
    )
    with pytest.raises(gg.RunError, match="none"):
        run.predict("none.csv")
