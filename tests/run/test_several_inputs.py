"""Networks with several inputs: maps of arrays, .npz files, and tables with embedded columns."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from gromo_graph import RunError, grow, load_run, resume
from gromo_graph.interop.exporting import export
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.tables.encoded_columns import CategoryColumn, most_places
from gromo_graph.run.data.tables.starter import table_starter
from gromo_graph.spec import Spec, dump_spec, parse_spec
from tests.run.test_resume import same_runs

TEXT = """
name: two
nodes:
  numbers: {kind: input, shape: [3]}
  picture: {kind: input, shape: [1, 2, 2]}
  words: {kind: input, shape: [2]}
  vectors: {kind: embedding, from: words, vocabulary: 6, features: 2}
  seen: {kind: conv2d, from: picture, features: 2, kernel: 1, activation: relu}
  flat: {kind: flatten, from: seen}
  spelled: {kind: flatten, from: vectors}
  all: {kind: merge, from: [numbers, flat, spelled], merge: concat}
  hidden: {kind: linear, from: all, features: 2, activation: relu}
  y: {kind: linear, from: hidden, features: 2}
output: y
growth: {stop: {parameters: 120}}
train: {epochs: 4, batch_size: 16}
"""
SPEC = parse_spec(TEXT)


def samples(rows: int = 60) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "words": random.integers(0, 6, (rows, 2)),
        "numbers": 5.0 + 2.0 * random.normal(size=(rows, 3)),
        "picture": random.normal(size=(rows, 1, 2, 2)) - 3.0,
    }


def labels(x: dict[str, np.ndarray]) -> np.ndarray:
    return (x["numbers"][:, 0] + 2.0 * (x["words"][:, 0] > 2) > 6.0).astype(int)


def test_each_input_is_prepared_by_itself() -> None:
    x = samples()
    data = load_data({"x": x, "y": labels(x)}, SPEC)
    forms = data.preparation.several_inputs
    assert [(form.name, form.shape, form.vocabulary, form.place) for form in forms] == [
        ("words", (2,), 6, 2),
        ("numbers", (3,), None, 0),
        ("picture", (1, 2, 2), None, 1),
    ]
    flat, _ = data.train.take(torch.arange(len(data.train)))
    words, numbers, picture = flat.split([2, 3, 4], dim=1)
    assert set(words.unique().tolist()) <= set(range(6)), "token ids are left as they are"
    assert torch.allclose(numbers.mean(dim=0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(picture.mean(), torch.zeros(()), atol=1e-5), "images by channel"
    assert picture.mean(dim=0).abs().max() > 0.01


def test_arrays_of_a_file_grow_resume_and_predict(tmp_path: Path) -> None:
    x = samples()
    np.savez(tmp_path / "data.npz", y=labels(x), **{f"x.{name}": values for name, values in x.items()})
    text = dump_spec(SPEC).replace("data: digits", f"data: {tmp_path / 'data.npz'}")
    whole = grow(parse_spec(text), out=tmp_path / "whole", device="cpu")
    assert whole.summary["steps"] > 0

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(parse_spec(text), out=tmp_path / "part", device="cpu", on_progress=stop)
    resume(tmp_path / "part")
    same_runs(tmp_path / "part", tmp_path / "whole")
    again = load_run(tmp_path / "part")
    assert again.measure() == whole.measure()
    turned = dict(reversed(x.items()))
    assert again.predict(turned).tolist() == whole.predict(x).tolist(), "inputs go by their names"
    assert again.evaluate({"x": x, "y": labels(x)})["accuracy"] > 0.5
    exported = export(
        again.network, tmp_path / "two.onnx", preparation=again.preparation, with_preprocessing=True
    )
    assert exported.difference is not None
    session = onnxruntime.InferenceSession(str(tmp_path / "two.onnx"))
    given = {name: values.astype(np.float64) for name, values in x.items()}
    _, probabilities = session.run(None, given)
    np.testing.assert_allclose(probabilities, again.probabilities(x), atol=1e-5)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (
            np.zeros((20, 9)),
            "expected samples for each input, numbers, picture, words, found samples without a name",
        ),
        ({"numbers": np.zeros((20, 3))}, "found numbers: give x as a map"),
        (
            {**samples(20), "picture": np.zeros((20, 9))},
            r"`picture` has the shape \[1, 2, 2\], and its samples \[9\]",
        ),
        ({**samples(20), "words": np.full((20, 2), 6)}, "`words`: found the token id 6"),
        ({**samples(20), "numbers": np.zeros((19, 3))}, "different numbers of samples, 20 of `words`, 19 of"),
    ],
)
def test_samples_that_do_not_fit(x: object, told: str) -> None:
    with pytest.raises(RunError, match=told):
        load_data({"x": x, "y": [0, 1] * 10}, SPEC)


def shops(rows: int = 1200) -> pd.DataFrame:
    random = np.random.RandomState(0)
    shop = random.randint(0, 60, rows)
    effect = random.normal(size=60)
    size = random.normal(size=rows)
    return pd.DataFrame(
        {
            "shop": [f"S{number:02d}" for number in shop],
            "size": size,
            "price": 3.0 * size + 5.0 * effect[shop] + 0.5,
        }
    )


def shop_spec(frame: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """The spec that `new table` writes."""
    frame.to_csv(folder / "shops.csv", index=False)
    monkeypatch.chdir(folder)
    text = table_starter("shops.csv", "price").text
    return parse_spec(text.partition("epochs:")[0] + "epochs: 3\n")


def test_a_column_of_many_categories_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = shop_spec(shops(), tmp_path, monkeypatch)
    assert spec.inputs == ("columns", "shop")
    assert spec.data.embedding == ("shop",)
    run = grow(spec, out=tmp_path / "run", device="cpu")
    again = load_run(tmp_path / "run")
    assert again.preparation == run.preparation
    new = shops(4).drop(columns="price")
    new.loc[0, "shop"], new.loc[1, "shop"] = "S99", None
    assert again.predict(new).tolist() == run.predict(new).tolist()
    assert np.ptp(run.predict(new.assign(size=0.0)[2:])) > 0
    for file in ("run.onnx", "run.py"):
        export(again.network, tmp_path / file, preparation=again.preparation, with_preprocessing=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "run.onnx"))
    given = {"size": new["size"].to_numpy(), "shop": new["shop"].fillna("").to_numpy(dtype=object)}
    np.testing.assert_allclose(session.run(None, given)[0], run.predict(new), atol=1e-5, rtol=1e-5)
    monkeypatch.syspath_prepend(tmp_path)
    import run as model
    import run_rows as rows

    cells = {name: [None if value is np.nan else value for value in new[name]] for name in new}
    np.testing.assert_allclose(
        rows.predict(model.load(), model.preparation(), cells), run.predict(new), rtol=1e-4
    )
    del sys.modules["run"], sys.modules["run_rows"]


def test_every_cell_of_an_embedded_column_has_a_place() -> None:
    texts = np.array([*["a"] * 9, *["b"] * 6, *["c"] * 5], dtype=object)
    column = CategoryColumn.learned("x", texts, gaps=True, embedded=True)
    assert (column.places, column.features) == (3, ("x",))
    read = column.read(pd.Series(["a", "new", None]), ".")
    assert read.tolist() == [0, 2, 2], "as the least frequent one"
    rare = CategoryColumn.learned("x", np.array([*texts, "d", None], dtype=object), gaps=True, embedded=True)
    assert rare.read(pd.Series(["c", "d", "new", None]), ".").tolist() == [2, 3, 3, 4]
    assert rare.encode(torch.tensor([3, 0])).tolist() == [[3.0], [0.0]]


def test_the_vocabulary_of_a_starter_is_enough_for_any_split() -> None:
    rng = np.random.default_rng(0)
    texts = np.array(rng.choice(["a", "b", "c", "d", None], 60, p=[0.5, 0.3, 0.1, 0.06, 0.04]), dtype=object)
    places = [
        CategoryColumn.learned("x", rng.permutation(texts)[:36], gaps=True, embedded=True).places
        for _ in range(50)
    ]
    assert len(set(places)) > 1, "other splits have other rare categories"
    assert most_places(texts) >= max(places)


def test_an_embedding_that_is_too_small_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = shop_spec(shops(), tmp_path, monkeypatch)
    text = re.sub(r"vocabulary: \d+", "vocabulary: 9", dump_spec(spec))
    with pytest.raises(
        RunError, match=r"`shop` holds \d\d categories, and its embedding has a vocabulary of 9: write"
    ):
        load_data(shops(), parse_spec(text))
