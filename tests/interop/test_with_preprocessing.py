"""export --with-preprocessing: files that read rows as they are found, and predict as the run does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

from gromo_graph import Run, compile_network, grow
from gromo_graph.cli.export import _reads
from gromo_graph.errors import RunError
from gromo_graph.interop.exporting import export
from gromo_graph.interop.raw_columns import prepared_files, standalone_rows
from gromo_graph.run.data.tables.encoded_columns import DateColumn
from gromo_graph.run.data.tables.rows import date_cells, number_cells
from gromo_graph.spec import dump_spec, parse_spec
from tests.cli.test_verbs import call
from tests.run.specs import iris
from tests.run.tables.tables import shop, shop_spec

_TABLE = "{file: shop.csv, target: TARGET, drop: [customer_id, price]}"


@cache
def _run(*, classes: bool = True, **overrides: str) -> Run:
    frame = shop().assign(value=shop()["price"] * 100)
    frame.loc[:2, "city"] = "Ulm"  # rare
    frame["since"] = [f"{day} {row % 24:02d}:30" for row, day in enumerate(frame["since"])]
    data = _TABLE.replace("TARGET", "kind" if classes else "value").replace(
        "price]", "price, " + ("value]" if classes else "kind]")
    )
    return grow(shop_spec(14, data, classes=classes, epochs=4), data=frame, device="cpu")


def _new() -> pd.DataFrame:
    """Rows with gaps in every column, and categories that no training row has."""
    frame = shop(200).drop(columns=["kind", "price"])
    frame["since"] = frame["since"] + " 18:45"
    frame.loc[::5, "since"] = None
    frame.loc[1::6, "city"] = "Kyiv"
    frame["active"] = frame["active"].astype(object)
    frame.loc[::11, "active"] = None
    return frame


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    texts = {name: frame[name].astype(object).where(frame[name].notna(), "") for name in ("city", "active")}
    return {
        "since": date_cells(frame["since"]).values,
        "age": number_cells(frame["age"]).values,
        **{name: np.array([str(text) for text in values], dtype=object) for name, values in texts.items()},
    }


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_classes_of_rows_by_onnx(tmp_path: Path) -> None:
    run, new, threshold = _run(), _new(), 0.7
    done = export(
        run.network,
        tmp_path / "shop.onnx",
        preparation=run.preparation,
        with_preprocessing=True,
        threshold=threshold,
    )
    assert done.difference is not None
    assert done.difference <= 1e-6
    session = _session(tmp_path / "shop.onnx")
    assert [given.name for given in session.get_inputs()] == ["since", "age", "city", "active"]
    labels, probabilities = session.run(["prediction", "probabilities"], _columns(new))
    np.testing.assert_allclose(probabilities, run.probabilities(new), atol=1e-6)
    assert labels.tolist() == run.preparation.labels(run.scores(new), threshold).tolist()
    assert set(labels) == {"new", "old"}


def test_values_of_rows_by_onnx_are_in_their_unit(tmp_path: Path) -> None:
    run, new = _run(classes=False), _new()
    export(run.network, tmp_path / "shop.onnx", preparation=run.preparation, with_preprocessing=True)
    (values,) = _session(tmp_path / "shop.onnx").run(["prediction"], _columns(new))
    np.testing.assert_allclose(values, run.predict(new), rtol=1e-5)
    assert np.std(values) > 1.0
    kept = {each.key: each.value for each in onnx.load(tmp_path / "shop.onnx").metadata_props}
    assert json.loads(kept["preparation"])["table"]["target"] == "value"


def test_a_program_reads_columns_in_their_order(tmp_path: Path) -> None:
    run, new = _run(), _new()
    export(run.network, tmp_path / "shop.pt2", preparation=run.preparation, with_preprocessing=True)
    table = run.preparation.table
    assert table is not None
    columns = [torch.tensor(column.read(new[column.name], ".")) for column in table.columns]
    places, probabilities = torch.export.load(tmp_path / "shop.pt2").module()(*columns)
    np.testing.assert_allclose(probabilities.detach().numpy(), run.probabilities(new), atol=1e-6)
    assert [run.preparation.classes[place] for place in places.tolist()] == run.predict(new).tolist()


def test_raw_samples_of_a_run_without_a_table(tmp_path: Path) -> None:
    spec = parse_spec(dump_spec(iris()).replace("output: y", "outputs: [y]"))  # it gives a map with one entry
    run = grow(spec, device="cpu")
    samples = np.random.RandomState(0).normal(4.0, 2.0, (30, 4))
    export(run.network, tmp_path / "iris.onnx", preparation=run.preparation, with_preprocessing=True)
    labels, probabilities = _session(tmp_path / "iris.onnx").run(None, {"x": samples})
    assert labels.tolist() == run.predict(samples).tolist()
    np.testing.assert_allclose(probabilities, run.probabilities(samples), atol=1e-6)


def test_a_class_for_each_position(tmp_path: Path) -> None:
    ids = np.random.RandomState(0).randint(0, 3, (30, 4))
    spec = parse_spec("""
nodes:
  x: {kind: input, shape: [4]}
  look: {kind: embedding, from: x, vocabulary: 3, features: 2}
  y: {kind: conv1d, from: look, features: 2, kernel: 1}
output: y
train: {epochs: 1}
""")
    run = grow(spec, data={"x": ids, "y": ids % 2, "classes": ["even", "odd"]}, device="cpu")
    export(run.network, tmp_path / "ids.onnx", preparation=run.preparation, with_preprocessing=True)
    session = _session(tmp_path / "ids.onnx")
    assert [output.shape for output in session.get_outputs()] == [["batch", 4], ["batch", 2, 4]]
    labels, _ = session.run(None, {"x": ids.astype(np.float64)})
    assert labels.tolist() == run.predict(ids).tolist()


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    names = {"age": "network/val_0", "city": "prediction ", "active": "Ä: [1]"}
    frame = shop().rename(columns=names)
    spec = shop_spec(12, "{file: shop.csv, target: kind, drop: [customer_id, price]}", epochs=1)
    run = grow(spec, data=frame, device="cpu")
    export(run.network, tmp_path / "shop.onnx", preparation=run.preparation, with_preprocessing=True)
    given = {names.get(name, name): values for name, values in _columns(shop()).items()}
    labels, _ = _session(tmp_path / "shop.onnx").run(None, given)
    assert labels.tolist() == run.predict(frame).tolist()


def test_a_file_that_predicts_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run()
    right = prepared_files.inputs_of
    monkeypatch.setattr(
        prepared_files,
        "inputs_of",
        lambda network, values: {**right(network, values), "age": values[1] + 30.0},
    )
    with pytest.raises(RunError, match=r"gives other predictions than the network.*nothing was written"):
        export(run.network, tmp_path / "shop.onnx", preparation=run.preparation, with_preprocessing=True)
    assert not (tmp_path / "shop.onnx").exists()


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("out", ["shop.py", "shop"])
def test_source_reads_rows_without_gromo_graph(tmp_path: Path, classes: bool, out: str) -> None:
    run, new = _run(classes=classes), _new()
    done = export(
        run.network, tmp_path / out, preparation=run.preparation, with_preprocessing=True, threshold=0.7
    )
    assert done.difference is not None
    assert done.difference <= 1e-6
    assert [path.name for path in done.files][2:] == ["shop_rows.py" if out == "shop.py" else "rows.py"]
    new.to_json(tmp_path / "new.json", orient="columns")
    rows = "shop_rows" if out == "shop.py" else "shop.rows"
    script = f"""
import json, sys
sys.modules["gromo_graph"] = None
from shop import load, preparation
from {rows} import predict
columns = {{name: list(cells.values()) for name, cells in json.load(open("new.json")).items()}}
print(json.dumps(predict(load(), preparation(), columns)))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    predicted = json.loads(found.stdout)
    if classes:
        assert predicted == run.preparation.labels(run.scores(new), 0.7).tolist()
    else:
        np.testing.assert_allclose(predicted, run.predict(new), rtol=1e-5)


def test_dates_of_a_standalone_file_are_those_of_the_run() -> None:
    texts = ["31.12.2023 23:15", None, "29.02.2024 00:00"]
    column = DateColumn("d", "%d.%m.%Y %H:%M", 19_000.25, gaps=True, hours=True)
    expected = column.encode(torch.tensor(column.read(pd.Series(texts), "."))).numpy()
    moments = [None if text is None else datetime.strptime(text, "%d.%m.%Y %H:%M") for text in texts]
    for cells in (texts, moments):
        found = standalone_rows.of_dates(asdict(column), cells).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)
    aware = datetime.fromisoformat("2024-01-01T01:00+02:00")
    assert standalone_rows.moment_of(aware, "ISO8601") == datetime(2023, 12, 31, 23)
    assert standalone_rows.moment_of(date(2024, 1, 1), "ISO8601") == datetime(2024, 1, 1)


def test_what_cannot_carry_the_preprocessing(tmp_path: Path) -> None:
    run = _run()
    several = replace(run.preparation, several=(run.preparation.several or (None,)))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="with several outputs is exported without"):
        export(run.network, tmp_path / "shop.onnx", preparation=several, with_preprocessing=True)
    network = compile_network(iris(), seed=0)
    with pytest.raises(RunError, match="a spec has no preprocessing"):
        export(network, tmp_path / "shop.onnx", with_preprocessing=True)
    assert not list(tmp_path.iterdir())
    assert "--with-preprocessing" in _reads(run.preparation, tmp_path)
    assert "--with-preprocessing" not in _reads(several, tmp_path), "it would be refused"


def test_the_verb_says_what_the_input_must_be(tmp_path: Path) -> None:
    frame = shop()
    frame.to_csv(tmp_path / "shop.csv", index=False)
    spec = shop_spec(12, f"{{file: {tmp_path}/shop.csv, target: kind, drop: [customer_id, price]}}", epochs=1)
    grow(spec, out=tmp_path / "run", device="cpu")
    told = call("export", tmp_path / "run", "-o", tmp_path / "shop.py").stderr
    assert "the network reads 12 standardised numbers that are made of the columns" in told
    done = call("export", tmp_path / "run", "-o", tmp_path / "shop.onnx", "--with-preprocessing")
    assert "standardised" not in done.stderr
    assert len(_session(tmp_path / "shop.onnx").get_inputs()) == 4
