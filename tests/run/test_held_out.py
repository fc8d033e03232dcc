"""Validation samples in a file of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gromo_graph import RunError, grow, load_run, resume
from gromo_graph.run.data.load_data import load_data
from gromo_graph.spec import Spec, dump_spec, load_spec, parse_spec
from tests.run.specs import iris
from tests.run.tables.tables import shop, shop_spec, written
from tests.run.test_resume import same_runs


def classifier(validation: str) -> Spec:
    sizes = {"nodes__x__shape": "[2]", "nodes__y__features": "2", "train__epochs": "3"}
    return iris(**sizes, train__validation=validation)


def arrays(rows: int, *, columns: int = 2) -> dict[str, np.ndarray]:
    x = np.random.default_rng(rows).normal(size=(rows, columns))
    return {"x": x, "y": (x[:, 0] > 0).astype(int)}


def test_arrays_of_a_file_of_their_own(tmp_path: Path) -> None:
    given, held_out = arrays(50), arrays(11)
    np.savez(tmp_path / "held.npz", **held_out)
    data = load_data(given, classifier("held.npz"), folder=tmp_path)
    assert [len(part) for part in data.parts.values()] == [40, 11, 10]
    own = (held_out["x"] - np.array(data.preparation.mean)) / np.array(data.preparation.scale)
    assert np.allclose(data.validation.take(np.arange(11))[0], own)
    assert np.allclose(data.train.x.mean(dim=0), 0, atol=1e-6), (
        "the training part alone is what teaches the scale"
    )
    other = load_data(given, classifier("0.2"))
    assert other.fingerprint != data.fingerprint
    assert np.allclose(sorted(data.test.y), sorted(other.test.y))


@pytest.mark.filterwarnings("ignore:.*`Bern` read as none")
def test_rows_of_a_file_of_their_own_and_resume_to_the_bit(tmp_path: Path) -> None:
    frame = shop(90)
    written(frame.iloc[:60], tmp_path)
    written(frame.iloc[60:].assign(city="Bern")[frame.columns[::-1]], tmp_path, "later.csv")
    text = dump_spec(shop_spec(12, "{file: shop.csv, target: kind, drop: [customer_id, price]}", epochs=4))
    (tmp_path / "spec.yaml").write_text(text.replace("validation: 0.2", "validation: later.csv"))
    spec = load_spec(tmp_path / "spec.yaml")
    whole = grow(spec, out=tmp_path / "whole", device="cpu")
    assert whole.data is not None
    assert [len(part) for part in whole.data.parts.values()] == [48, 30, 12]
    assert any("later.csv: column `city`: `Bern` read as none" in note for note in whole.summary["notes"])

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(spec, out=tmp_path / "part", device="cpu", on_progress=stop)
    resume(tmp_path / "part")
    same_runs(tmp_path / "part", tmp_path / "whole")
    assert load_run(tmp_path / "part").measure() == whole.measure()


def test_images_of_a_folder_of_their_own(tmp_path: Path) -> None:
    for part, count in (("photos", 8), ("held", 2)):
        for shade, name in ((20, "dark"), (220, "light")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (2, 2), shade + number).save(tmp_path / part / name / f"{number}.png")
    (tmp_path / "spec.yaml").write_text(
        """
nodes: {x: {kind: input, shape: [1, 2, 2]}, flat: {kind: flatten, from: x}, y: {kind: linear, from: flat, features: 2}}
output: y
data: {images: photos}
train: {validation: held, epochs: 1}
"""
    )
    run = grow(tmp_path / "spec.yaml", out=tmp_path / "run", device="cpu")
    assert run.data is not None
    assert [len(part) for part in run.data.parts.values()] == [12, 4, 4]
    assert load_run(tmp_path / "run").measure() == run.measure()


@pytest.mark.parametrize(
    ("held_out", "told"),
    [
        (arrays(9, columns=3), r"found samples of the shape \[3\], but samples of the shape \[2\] in data"),
        ({"x": np.ones((3, 2)), "y": ["a", "b", "a"]}, r"found a target of text, but a target of numbers"),
        (None, "the data cannot be read"),
    ],
)
def test_files_that_do_not_belong_together(
    tmp_path: Path, held_out: dict[str, np.ndarray] | None, told: str
) -> None:
    if held_out is not None:
        np.savez(tmp_path / "held.npz", **held_out)
    with pytest.raises(RunError, match=told):
        load_data(arrays(20), classifier("held.npz"), folder=tmp_path)


def test_a_class_in_the_file_for_validation_alone(tmp_path: Path) -> None:
    frame = shop(90)
    written(frame.iloc[:60], tmp_path)
    kinds = [*frame["kind"].iloc[60:-2], "newer", "unheard"]
    written(frame.iloc[60:].assign(kind=kinds), tmp_path, "later.csv")
    text = dump_spec(shop_spec(12, "{file: shop.csv, target: kind, drop: [customer_id, price]}", epochs=1))
    spec = parse_spec(text.replace("validation: 0.2", "validation: later.csv"))
    told = "later.csv: no sample of .*shop.csv has the classes `newer`, `unheard`: leave these rows out"
    with pytest.raises(RunError, match=told):
        load_data("shop.csv", spec, folder=tmp_path)


def test_a_file_that_a_spec_names_is_no_code() -> None:
    with pytest.raises(RunError, match="is code: it runs only where it is given with --data"):
        load_data(arrays(20), classifier("os:getcwd"))


def test_the_word_survives_writing() -> None:
    spec = classifier("held.npz")
    assert parse_spec(dump_spec(spec)).train.validation == "held.npz"
