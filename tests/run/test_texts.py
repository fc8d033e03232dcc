"""A class at each position: texts as windows of bytes, masks, the loss and the measures of all positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from gromo_graph import RunError, SpecError, compile_network, grow, load_run
from gromo_graph.cli.predict import as_csv
from gromo_graph.interop.exporting import export
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.targets import IGNORED
from gromo_graph.run.data.text import read_text
from gromo_graph.run.training.objective import Objective
from gromo_graph.run.training.output_losses import output_loss
from gromo_graph.spec import Spec, parse_spec

SMALL = """
name: letters
nodes:
  text:   {kind: input, shape: [6]}
  look:   {kind: embedding, from: text, vocabulary: 128, features: 4}
  places: {kind: positions, from: look}
  query:  {kind: conv1d, from: places, features: 2, kernel: 1}
  key:    {kind: conv1d, from: places, features: 2, kernel: 1}
  value:  {kind: conv1d, from: places, features: 2, kernel: 1}
  seen:   {kind: attention, from: [query, key, value], causal: true}
  back:   {kind: conv1d, from: seen, features: 4, kernel: 1}
  sum:    {kind: merge, from: [places, back]}
  next:   {kind: conv1d, from: sum, features: 128, kernel: 1}
output: next
data: {text: TEXT}
growth: {when: {every: 1, until: 0.75}, neurons: {per_step: 2}}
train: {epochs: 4, batch_size: 16, optimizer: {name: adamw, lr: 0.02}}
"""


def spec(text: object = "python_docs") -> Spec:
    return parse_spec(SMALL.replace("TEXT", str(text)))


def tokens(samples: int = 30) -> tuple[Any, Any]:
    x = np.random.default_rng(0).integers(0, 128, (samples, 6))
    y = np.roll(x, -1, axis=1)
    y[:, -1] = IGNORED
    return x, y


@pytest.mark.parametrize("class_weight", [(), (1.0, 2.0, 0.5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_torch_over_all_positions_that_count(
    class_weight: tuple[float, ...], smoothing: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(5, 3, 4, generator=generator)
    target = torch.randint(0, 3, (5, 4), generator=generator)
    target[0, 1:] = IGNORED
    loss = output_loss("cross_entropy", class_weight=class_weight, smoothing=smoothing, positions=True)
    objective = Objective(loss)
    weight = torch.tensor(class_weight) if class_weight else None
    expected = cross_entropy(prediction, target, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(objective(prediction, target), expected)
    parts = [(prediction[:2], target[:2]), (prediction[2:], target[2:])]
    shares = [objective.share(*part) for part in parts]
    mean = sum(float(objective(*part)) * share for part, share in zip(parts, shares, strict=True))
    assert mean / sum(shares) == pytest.approx(float(expected), rel=1e-6)
    assert loss.each(prediction, target).sum() / sum(shares) == pytest.approx(float(expected), rel=1e-6)
    right = objective.right(prediction, target)
    assert right is not None
    assert right.shape == (17,)


def test_a_text_is_windows_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abcdefghijk")
    raw = read_text("a.txt", 5, folder=tmp_path)
    assert [bytes(row.astype(np.uint8)) for row in raw.x] == [b"abcde", b"fghij"]
    assert raw.y is not None
    assert [bytes(row.astype(np.uint8)) for row in raw.y] == [b"bcdef", b"ghijk"]
    assert len(read_text("a.txt", 5, folder=tmp_path, limit=10).x) == 1
    with pytest.raises(RunError, match="11 bytes are fewer than the 12"):
        read_text("a.txt", 11, folder=tmp_path)
    with pytest.raises(RunError, match="No such file"):
        read_text("b.txt", 5, folder=tmp_path)


def test_a_language_model_grows_from_a_text(tmp_path: Path) -> None:
    text = tmp_path / "abc.txt"
    text.write_text("abcab " * 200)
    run = grow(spec(text), seed=0, out=tmp_path / "run")
    assert any(event.decision is not None for event in run.events)
    test = run.summary["test"]
    assert test["log_loss"] == pytest.approx(test["loss"], rel=1e-5)
    assert test["accuracy"] > test["majority_rate"]
    again = load_run(tmp_path / "run")
    assert again.evaluate()["loss"] == pytest.approx(test["loss"], rel=1e-6)
    assert again.preparation.positions == (6,)
    x = np.frombuffer(b"abcab ", dtype=np.uint8)[None].astype(np.int64)
    assert again.predict(x).shape == (1, 6)
    assert as_csv(again, again.read(str(text))).splitlines()[0].split(",")[-1] == "prediction_6"
    other = tmp_path / "other.txt"
    other.write_text("cabba " * 20)
    assert set(again.measure(other)) == {"all"}


def test_the_text_of_python_is_found_again(tmp_path: Path) -> None:
    small = spec("python_docs, limit: 1000")
    grow(small, seed=0, out=tmp_path / "run")
    assert load_run(tmp_path / "run").evaluate()["loss"] > 0.0


def test_positions_that_count_for_nothing() -> None:
    data = load_data(tokens(), spec())
    assert Preparation.from_dict(data.preparation.to_dict()) == data.preparation
    x, y = data.train.take(torch.arange(2))
    assert y[:, -1].tolist() == [IGNORED] * 2
    torch.testing.assert_close(y[:, :-1], x[:, 1:].long())


def wrong_shape(y: Any) -> Any:
    return y[:, 0]


def all_ignored(y: Any) -> Any:
    y[3] = IGNORED
    return y


def no_class(y: Any) -> Any:
    y[3, 0] = 200
    return y


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (wrong_shape, "expected a class for each position of the output"),
        (all_ignored, "all targets of sample 4 are -100"),
        (no_class, "labels outside the classes: found 200"),
    ],
)
def test_targets_that_do_not_fit(change: Any, problem: str) -> None:
    x, y = tokens()
    with pytest.raises(RunError, match=problem):
        load_data((x, change(y)), spec())


def test_numbers_at_positions_are_refused() -> None:
    text = SMALL.replace("TEXT", "python_docs").replace("train: {", "train: {loss: mse, ")
    with pytest.raises(RunError, match=r"the output `next` has the shape \[128, 6\]"):
        load_data(tokens(), parse_spec(text))


def test_an_address_is_no_text() -> None:
    with pytest.raises(SpecError, match="is an address: expected the path of a file"):
        spec("http://example.org/a.txt")


@pytest.mark.parametrize("ending", ["pt2", "onnx"])
def test_a_language_model_is_exported_for_any_length(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("onnxscript")
    network = compile_network(spec(), seed=0)
    with torch.no_grad():  # they begin with 0, and would not be missed
        for parameter in network.parameters():
            if parameter.shape == (4, 6):
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    done = export(network, tmp_path / f"model.{ending}", any_length=True)
    assert done.difference is not None
    assert done.difference <= 1e-5
    if ending == "pt2":
        program: Any = torch.export.load(tmp_path / "model.pt2").module()
        x = torch.tensor([[1, 2, 3, 4, 5, 6]])
        torch.testing.assert_close(program(x[:, :3]), network.eval()(x)[:, :, :3], rtol=0, atol=1e-5)
    with pytest.raises(RunError, match="is for onnx and torchexport"):
        export(network, tmp_path / "model.py", any_length=True)


def test_a_text_of_its_own_for_validation(tmp_path: Path) -> None:
    for name, content in (("a.txt", "abcabc " * 20), ("b.txt", "cbacba " * 10)):
        (tmp_path / name).write_text(content)
    text = SMALL.replace("TEXT", "a.txt").replace("train: {", "train: {validation: b.txt, ")
    data = load_data("a.txt", parse_spec(text), folder=tmp_path)
    assert len(data.validation) == (7 * 10 - 1) // 6
    first, _ = data.validation.take(torch.arange(1))
    assert bytes(first[0].byte().tolist()) == b"cbacba"


def test_a_byte_that_the_network_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Größe " * 100, encoding="utf-8")
    with pytest.raises(
        RunError, match=r"found the byte 195, and the spec knows 128: write `vocabulary: 256` for its"
    ):
        load_data(tmp_path / "words.txt", spec("words.txt"))


def test_rotary_positions_are_exported_for_any_length(tmp_path: Path) -> None:
    network = compile_network(
        parse_spec("""
        nodes:
          x: {kind: input, shape: [6]}
          e: {kind: embedding, from: x, vocabulary: 9, features: 8}
          q: {kind: conv1d, from: e, features: 8, kernel: 1}
          k: {kind: conv1d, from: e, features: 8, kernel: 1}
          turned q: {kind: rotary, from: q, heads: 2}
          turned k: {kind: rotary, from: k, heads: 2, interleaved: true}
          a: {kind: attention, from: [turned q, turned k, e], heads: 2, causal: true}
        output: a
        """),
        seed=0,
    )
    export(network, tmp_path / "model.pt2", any_length=True)
    program: Any = torch.export.load(tmp_path / "model.pt2").module()
    x = torch.tensor([[1, 2, 3, 4, 5, 6]])
    torch.testing.assert_close(program(x[:, :4]), network.eval()(x)[:, :, :4], rtol=0, atol=1e-5)


def test_a_network_of_one_length_is_refused(tmp_path: Path) -> None:
    network = compile_network(
        parse_spec("""
        nodes:
          x: {kind: input, shape: [2, 8]}
          flat: {kind: flatten, from: x}
          y: {kind: linear, from: flat, features: 2}
        output: y
        """),
        seed=0,
    )
    with pytest.raises(RunError, match="reads inputs of one length alone"):
        export(network, tmp_path / "model.pt2", any_length=True)
