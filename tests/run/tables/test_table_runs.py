"""Runs on tables: from the file to predictions of new rows."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gromo_graph import grow, load_run, resume
from gromo_graph.cli.predict import as_csv
from gromo_graph.errors import RunError, SpecError
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.tables.starter import table_starter
from gromo_graph.spec import dump_spec, load_spec, parse_spec
from gromo_graph.spec.data_sections import Augment, ImageData
from gromo_graph.spec.differences import default_of, differences, differing
from tests.run.tables.tables import shop, shop_spec, written


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return written(shop(), tmp_path)


_SHOP = "{file: shop.csv, target: kind, drop: [customer_id, price]}"


def _started(folder: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec that `new table` writes, beside the table."""
    monkeypatch.chdir(folder)
    path = folder / f"{target}.yaml"
    text = table_starter("shop.csv", target).text
    path.write_text(text.partition("epochs:")[0] + "epochs: 3\n")
    return path


@pytest.mark.parametrize("target", ["kind", "price"])
def test_the_starter_grows_as_it_is(table: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _started(table.parent, target, monkeypatch)
    monkeypatch.chdir("/")  # the file is found beside the spec
    run = grow(spec, out=table.parent / "run", device="cpu")
    again = load_run(table.parent / "run")
    assert again.spec == run.spec
    assert again.preparation == run.preparation
    new = shop().drop(columns=target).head(3)
    new.loc[0, "city"], new.loc[1, "age"] = "nowhere", None
    pd.testing.assert_series_equal(pd.Series(run.predict(new)), pd.Series(again.predict(new)))
    assert run.evaluate() == again.evaluate() == again.evaluate(table)


def test_the_starter_names_every_column(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table.parent)
    starter = table_starter("shop.csv", "kind")
    spec = parse_spec(starter.text)
    assert spec.data is not None
    assert set(spec.data.columns) == {"customer_id", "since", "age", "city", "active", "price"}
    assert starter.notes == ("customer_id: a different whole number in each row, like an id: not read",)
    assert re.search(r"\n    - city +# 3 categories: Lyon, Oslo, Rome; 9 gaps\n", starter.text)
    assert parse_spec(dump_spec(spec)) == spec


def test_odd_names_and_cells_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = shop().rename(columns={"city": "${city}: #1", "age": "on"})
    frame["${city}: #1"] = frame["${city}: #1"].replace({"Oslo": "a\nb: # {"})
    frame["note"] = [f"some words of row {n}" for n in range(len(frame))]
    written(frame, tmp_path)
    monkeypatch.chdir(tmp_path)
    starter = table_starter("shop.csv", "kind")
    spec = parse_spec(starter.text)
    assert spec.data is not None
    assert (spec.data.categorical, spec.data.numeric) == (("${city}: #1", "active"), ("on", "price"))
    assert "note" in spec.data.drop
    assert "note: free text, of which nothing is read" in starter.notes


def test_a_run_that_is_broken_off_goes_on(table: Path) -> None:
    spec = shop_spec(12, f"{{file: {table}, target: kind, drop: [customer_id, price]}}", epochs=6)

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    whole = grow(spec, out=table.parent / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        grow(spec, out=table.parent / "part", device="cpu", on_progress=stop)
    assert resume(table.parent / "part").evaluate() == whole.evaluate()
    assert (table.parent / "part/weights.safetensors").read_bytes() == (
        table.parent / "whole/weights.safetensors"
    ).read_bytes()


def test_other_data_are_no_data_of_the_run(table: Path) -> None:
    spec = shop_spec(12, f"{{file: {table}, target: kind, drop: [customer_id, price]}}", epochs=1)
    run = grow(spec, out=table.parent / "run", device="cpu")
    written(shop().assign(age=30.0), table.parent)
    with pytest.raises(RunError, match="these are not the data of the run any more"):
        load_run(table.parent / "run").evaluate()
    assert load_run(table.parent / "run").measure(shop()) == {
        name: pytest.approx(values) for name, values in run.measure().items()
    }


def test_a_frame_is_read_as_the_file(table: Path) -> None:
    spec = shop_spec(12, _SHOP, epochs=1)
    of_frame, of_file = grow(spec, data=shop(), device="cpu"), grow(spec, data=table, device="cpu")
    assert of_frame.preparation == of_file.preparation
    assert of_frame.fingerprint == of_file.fingerprint
    rows = shop().drop(columns="kind").to_dict("records")
    assert of_frame.predict(rows).tolist() == of_file.predict(shop()).tolist()
    with pytest.raises(RunError, match="the columns have no names"):
        of_frame.predict(np.zeros((2, 12)))


def test_classes_keep_their_names(table: Path) -> None:
    frame = shop().assign(kind=np.where(shop()["kind"] == "old", 10, 2))
    spec = shop_spec(12, _SHOP, epochs=1)
    run = grow(spec, data=frame, device="cpu")
    assert run.preparation.classes == ("10", "2")


def test_switches_are_not_standardised(table: Path) -> None:
    spec = shop_spec(12, _SHOP, epochs=1)
    prepared = grow(spec, data=shop(), device="cpu").preparation
    assert prepared.table is not None
    places = [prepared.features.index(name) for name in ("city=Oslo", "age: missing")]
    assert [prepared.mean[place] for place in places] == [0, 0]
    assert [prepared.scale[place] for place in places] == [1, 1]
    assert prepared.scale[prepared.features.index("age")] > 5


def test_a_column_weighs_the_rows(table: Path) -> None:
    section = "{file: shop.csv, target: kind, drop: [customer_id, price], sample_weight: paid}"
    frame = shop().assign(paid=np.where(shop()["kind"] == "old", 0.0, 2.0))
    run = grow(shop_spec(12, section, epochs=20), data=frame, device="cpu")
    assert run.probabilities(frame)[:, 0].mean() > 0.8  # nothing is learned of rows that weigh nothing
    assert run.data is not None
    assert run.data.train.weighted
    assert "paid" not in run.preparation.features
    assert len(run.predict(frame.drop(columns="paid"))) == len(frame)
    with pytest.raises(RunError, match=r"column `paid`: '-1' in row 1.*expected a weight of 0 or more"):
        grow(shop_spec(12, section), data=frame.assign(paid=-1), device="cpu")
    with pytest.raises(RunError, match="column `paid`: the column of weights is missing"):
        grow(shop_spec(12, section), data=shop(), device="cpu")


def test_an_input_of_another_size_says_which_is_needed(table: Path) -> None:
    spec = shop_spec(7, _SHOP)
    with pytest.raises(RunError, match=r"write `shape: \[12\]`"):
        grow(spec, data=shop(), out=table.parent / "run")
    assert not (table.parent / "run").exists()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{file: a.csv}", "`target` is missing"),
        ("{file: a.csv, target: y, numeric: [y]}", "the column `y` is named twice"),
        ("{file: a.csv, target: y, dates: [b], drop: [b]}", "the column `b` is named twice"),
        ("{file: http://a/b.csv, target: y}", "is no table"),
        ("{file: 'os:system', target: y}", "is no table"),
        ("{file: a.csv, target: y, encoding: utf-9}", "is unknown"),
        ("{file: a.csv, target: y, missing: mean}", "unknown missing"),
        ("{file: a.csv, target: y, colums: [a]}", "unknown key"),
        ("a.csv", "expected a map with file"),
    ],
)
def test_sections_that_are_wrong(data: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        shop_spec(3, data)


def test_data_that_are_named_twice() -> None:
    text = dump_spec(shop_spec(3, "{file: a.csv, target: y}")).replace("train:", "train:\n  data: iris")
    with pytest.raises(SpecError, match="the section `data` names the data too"):
        parse_spec(text)


def test_sections_are_compared() -> None:
    one, other, none = (shop_spec(3, f"{{file: a.csv, target: {target}}}") for target in ("a", "b", "c"))
    none = replace(none, data=None)
    assert differences(one, other) == {("data", "target"): "b"}
    assert differences(one, none)["data", "target"] is None
    assert differing([one, other, none])["data", "target"] == ("a", "b", None)
    assert default_of(none, ("data", "missing")) is None
    assert default_of(one, ("data", "missing")) == "indicator"
    assert copy.deepcopy(one) == one != other
    with pytest.raises(RunError, match="not other nodes or data"):
        BranchPoint(1, ("data.target=z",)).spec_of(one)
    images = replace(none, data=ImageData(images="photos", augment=Augment(flip=True)))
    assert parse_spec(dump_spec(images)) == images
    assert parse_spec(dump_spec(images, defaults=False)) == images
    assert differences(none, images)["data", "augment"]["flip"] is True


def test_the_preparation_is_json(table: Path) -> None:
    spec = shop_spec(12, f"{{file: {table}, target: kind, drop: [customer_id, price]}}", epochs=1)
    grow(spec, out=table.parent / "run", device="cpu")
    kept = json.loads((table.parent / "run/data.json").read_text())
    assert [column["kind"] for column in kept["table"]["columns"]] == [
        "date",
        "number",
        "category",
        "category",
    ]
    assert load_spec(table.parent / "run/spec.yaml").data == spec.data


def test_several_targets_of_numbers_and_of_labels(table: Path) -> None:
    frame = shop().assign(double=lambda rows: 2.0 * rows["price"], is_old=lambda rows: rows["kind"] == "old")
    frame["is_new"] = (~frame["is_old"]).astype(int)
    frame["is_old"] = frame["is_old"].astype(int)
    section = "{file: shop.csv, target: [price, double], drop: [customer_id, kind, is_old, is_new]}"
    spec = parse_spec(dump_spec(shop_spec(12, section)).replace("loss: cross_entropy", "loss: mse"))
    run = grow(spec, data=frame, out=table.parent / "run", device="cpu")
    assert load_run(table.parent / "run").preparation == run.preparation
    assert run.predict(frame.drop(columns=["price", "double"])).shape == (len(frame), 2)
    header, *_ = as_csv(run, run.read(frame, target=False)).splitlines()
    assert header == "prediction_price,prediction_double"
    wrong = frame.assign(price=frame["price"].where(frame.index != 3)).drop(columns="double")
    with pytest.raises(RunError, match=r"`price`: row 4 is empty(.|\n)*`double`: the target is missing"):
        grow(spec, data=wrong)
    labels = "{file: shop.csv, target: [is_old, is_new], drop: [customer_id, kind, price, double]}"
    text = dump_spec(shop_spec(12, labels)).replace("loss: cross_entropy", "loss: binary_cross_entropy")
    run = grow(parse_spec(text), data=frame, device="cpu")
    assert run.preparation.classes == ("is_old", "is_new")
    with pytest.raises(RunError, match="several targets are numbers or labels"):
        grow(shop_spec(12, section), data=frame)
    text = dump_spec(spec).replace("output: y", "outputs: [price, double]")
    text = text.replace("loss: mse", "loss: {price: mse, double: l1}")
    heads = (f"  {name}: {{kind: linear, from: hidden, features: 1}}\n" for name in ("price", "double"))
    two = parse_spec(re.sub(r"  y: .*\n", "".join(heads), text))
    assert sorted(grow(two, data=frame, device="cpu").predict(frame)) == ["double", "price"]


def test_new_rows_may_be_utf8_where_the_training_file_was_not(tmp_path: Path) -> None:
    rows = "".join(f"{city};{place % 7};{place % 3}\n" for place in range(60) for city in ("Köln", "Zürich"))
    (tmp_path / "old.csv").write_text("Stadt;Größe;y\n" + rows, encoding="cp1252")
    spec = tmp_path / "spec.yaml"
    text = table_starter(tmp_path / "old.csv", "y").text
    assert "encoding: cp1252" in text
    spec.write_text(text.partition("epochs:")[0] + "epochs: 2\n", encoding="utf-8")
    run = grow(spec, device="cpu")
    new = "Stadt;Größe\nKöln;1\nZürich;5\n"
    for encoding in ("cp1252", "utf-8", "utf-16"):
        (tmp_path / f"{encoding}.csv").write_text(new, encoding=encoding)
    found = [
        np.asarray(run.predict(run.read(tmp_path / f"{each}.csv", target=False)))
        for each in ("cp1252", "utf-8", "utf-16")
    ]
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
