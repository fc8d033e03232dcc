"""Data that no network can be trained on: one message that has everything, and no run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file

from gromo_graph import GromoGraphError, compile_network, grow, parse_spec
from tests.run.specs import iris
from tests.run.tables.tables import shop

SPEC = """
nodes:
  x: {{kind: input, shape: {shape}}}
  flat: {{kind: flatten, from: x}}
  y: {{kind: linear, from: flat, features: 2}}
output: y
data: {data}
train: {{epochs: 1, {train}}}
"""


def _of_table(
    change: Callable[[pd.DataFrame], object], *, target: str = "kind", train: str = ""
) -> Callable[[Path], str]:
    def text(folder: Path) -> str:
        frame = shop().astype({"age": object, "since": object, "kind": object})
        change(frame)
        frame.to_csv(folder / "shop.csv", index=False)
        data = f"{{file: {folder / 'shop.csv'}, target: {target}, drop: [customer_id]}}"
        return SPEC.format(shape=[12], data=data, train=train)

    return text


def _put(column: str, row: int, value: object) -> Callable[[pd.DataFrame], object]:
    return lambda frame: frame.__setitem__(column, [*frame[column][:row], value, *frame[column][row + 1 :]])


def _all_at_once(frame: pd.DataFrame) -> None:
    for column, row, value in (("since", 3, "2024-13-45"), ("age", 5, "old"), ("kind", 7, None)):
        _put(column, row, value)(frame)
    frame["note"] = [f"the words of row {row}" for row in range(len(frame))]


def _images(folder: Path) -> str:
    for name, size in (("cat", 4), ("dog", 5)):
        (folder / "photos" / name).mkdir(parents=True)
        Image.new("L", (size, 4)).save(folder / "photos" / name / "1.png")
    (folder / "photos/bird").mkdir()
    return SPEC.format(shape=[1, 4, 4], data=f"{{images: {folder / 'photos'}}}", train="")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            _of_table(lambda frame: None, target="kidn"),
            ["`kidn`: the target is missing: did you mean `kind`?"],
        ),
        (
            _of_table(lambda frame: frame.__setitem__("kind", "old")),
            ["`kind`: the target has one class alone, `old`"],
        ),
        (
            _of_table(lambda frame: frame.__setitem__("kind", None)),
            ["`kind`: all cells of the target are empty"],
        ),
        (
            _of_table(
                lambda frame: [
                    frame.__delitem__(name) for name in ("since", "age", "city", "active", "price")
                ]
            ),
            ["there is no column beside the target that can be read"],
        ),
        (
            _of_table(_put("since", 3, "2024-13-45")),
            ["`since`: '2024-13-45' in row 4: expected a date such as 2024-12-31"],
        ),
        (_of_table(_put("age", 5, "old")), ["`age`: 'old' in row 6: expected a number, as in most rows"]),
        (
            _of_table(_all_at_once),
            [
                "4 columns cannot be used",
                "`since`: '2024-13-45' in row 4",
                "`age`: 'old' in row 6",
                "`kind`: row 8 is empty, and a target is needed",
                "`note`: free text (60 different texts in 60 rows)",
            ],
        ),
        (
            _images,
            [
                "images of 2 sizes, height × width: 4 × 4 (cat/1.png), 4 × 5 (dog/1.png)",
                "`bird`: there is no image",
            ],
        ),
        (
            _of_table(lambda frame: None, train="metrics: [r2, f1_macro, mae], watch: rmse"),
            ["`r2` is for numbers", "`mae` is for numbers", "which have no `rmse`"],
        ),
    ],
)
def test_it_is_told_at_once_and_nothing_is_written(
    tmp_path: Path, text: Callable[[Path], str], told: list[str]
) -> None:
    written = text(tmp_path)
    with pytest.raises(GromoGraphError) as error:
        grow(parse_spec(written), out=tmp_path / "run", device="cpu")
    for words in told:
        assert words in str(error.value)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_name_all_that_differs(tmp_path: Path) -> None:
    other = parse_spec(
        "nodes: {x: {kind: input, shape: [4]}, hidden: {kind: linear, from: x, features: 9}, z: {kind: linear, from: "
        "hidden, features: 3}}\noutput: z"
    )
    save_file(compile_network(other).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(GromoGraphError) as error:
        grow(iris(), weights=tmp_path / "other.safetensors", out=tmp_path / "run", device="cpu")
    for words in (
        "`nodes.hidden.layer.weight` is (9, 4) here",
        "`nodes.y.layer.weight` is missing",
        "`nodes.z.layer.weight` is (3, 9) here, and unknown there",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["softmax", "log_softmax"])
def test_shares_are_left_to_the_loss(tmp_path: Path, kind: str) -> None:
    text = f"""
nodes:
  x: {{kind: input, shape: [4]}}
  y: {{kind: linear, from: x, features: 3}}
  z: {{kind: {kind}, from: y}}
output: z
train: {{data: iris, epochs: 1}}
"""
    with pytest.raises(
        GromoGraphError, match=f"`{kind}` with `cross_entropy`: leave it out, the loss applies"
    ):
        grow(parse_spec(text), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
