"""Token ids on their way from the data to an embedding: never standardised, and refused where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gromo_graph import GrowingClassifier, GrowthError, RunError, grow, load_run, load_spec
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.spec import Spec, parse_spec

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
SMALL = """
name: words
nodes:
  text:   {kind: input, shape: [4]}
  look:   {kind: embedding, from: text, vocabulary: 6, features: 2}
  places: {kind: positions, from: look}
  pairs:  {kind: conv1d, from: places, features: 2, kernel: 2, activation: relu}
  flat:   {kind: flatten, from: pairs}
  y:      {kind: linear, from: flat, features: 2}
output: y
growth: {when: {every: 1, until: 0.75}, neurons: {per_step: 2}}
train: {data: words.npz, epochs: 6, batch_size: 32, optimizer: {name: adamw, lr: 0.02}}
"""


def spec() -> Spec:
    return parse_spec(SMALL)


def words(samples: int = 200, seed: int = 0) -> tuple[Any, Any]:
    """True if some token stands before itself."""
    x = np.random.default_rng(seed).integers(0, 6, (samples, 4))
    return x, (x[:, 1:] == x[:, :-1]).any(axis=1).astype(int)


def test_the_digits_are_whole_numbers_where_an_embedding_reads_them() -> None:
    data = load_data("digits", load_spec(SPECS / "digits_tokens.yaml"))
    values = torch.cat([part.x for part in (data.train, data.validation, data.test)])
    assert values.shape == (1797, 64)
    assert values.unique().tolist() == list(range(17))
    assert data.preparation.vocabulary == 17
    assert Preparation.from_dict(data.preparation.to_dict()) == data.preparation
    old = {key: value for key, value in data.preparation.to_dict().items() if key != "vocabulary"}
    assert Preparation.from_dict(old).vocabulary is None  # as runs of before have it


@pytest.mark.parametrize(("place", "wrong"), [(0, 6), (150, -1), (199, 2.5)])
def test_what_is_no_token_id_is_refused(place: int, wrong: float) -> None:
    x, y = words()
    x = x.astype(float)
    x[place, 2] = wrong
    with pytest.raises(RunError) as error:
        load_data((x, y), spec())
    assert f"found the token id {wrong:g}: expected whole numbers from 0 to 5" in str(error.value)
    assert "vocabulary of 6" in str(error.value)


def test_a_loader_is_looked_at_too() -> None:
    x, y = (torch.as_tensor(each) for each in words())
    loaders = {"train": [(x, y)], "validation": [(x + 1, y)]}
    with pytest.raises(RunError, match="the validation loader: found the token id 6"):
        load_data(loaders, spec())
    assert load_data({"train": [(x, y)], "validation": [(x, y)]}, spec()).preparation.vocabulary == 6


def test_a_run_grows_and_predicts_from_ids(tmp_path: Path) -> None:
    x, y = words()
    run = grow(spec(), data=(x, y), seed=0, out=tmp_path / "run")
    assert any(event.decision is not None for event in run.events)
    again = load_run(tmp_path / "run")
    direct = again.network.eval()(torch.as_tensor(x))
    torch.testing.assert_close(torch.as_tensor(again.scores(x)), direct.detach())
    assert again.evaluate((x, y))["loss"] >= 0.0
    with pytest.raises(RunError, match="found the token id 9"):
        again.predict(x * 0 + 9)
    with pytest.raises(GrowthError, match="found the token id 9"):
        again.network(torch.full((2, 4), 9))


def test_files_on_the_disk_are_read_as_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gromo_graph.run.data.npz.LARGE", 0)
    x, y = words()
    np.savez(tmp_path / "words.npz", x=x, y=y)
    data = load_data("words.npz", spec(), folder=tmp_path)
    found, _ = data.train.take(torch.arange(5))
    assert torch.equal(found, found.round())
    assert found.max() > 1.0


def test_an_estimator_takes_token_ids() -> None:
    x, y = words()
    model = GrowingClassifier(spec=spec(), epochs=4, random_state=0).fit(x, y)
    assert model.predict(x).shape == y.shape
    assert model.network_.spec.nodes["look"].kind == "embedding"
