"""`new table`, and the verbs for the run that grows from it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from gromo_graph.spec import parse_spec
from tests.cli.test_verbs import call, failed
from tests.run.tables.tables import shop, written


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    written(shop(), tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("default::UserWarning")
def test_from_a_table_to_predictions_of_new_rows(place: Path) -> None:
    made = call("new", "table", "--data", "shop.csv", "--target", "kind")
    assert "note: customer_id: a different whole number in each row" in made.stderr
    (place / "shop.yaml").write_text(made.stdout)
    assert call("validate", "shop.yaml").exit_code == 0
    grown = call("grow", "shop.yaml", "--set", "train.epochs=2", "-o", "run", "--json")
    assert "notes" not in json.loads(grown.stdout)  # the spec says that the id is not read
    (place / "new.csv").write_text(
        "city,age,active,since,price\nOslo,,True,2024-05-01,1.5\nKyiv,40,False,,2.5\n"
    )
    said = call("predict", "run", "--data", "new.csv", "-o", "out.csv")
    assert "column `city`: `Kyiv` read as none of the categories" in said.stderr
    with (place / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] in ("old", "new") for row in rows] == [True, True]
    assert json.loads(call("evaluate", "run", "--json").stdout)["test"]["loss"] > 0


def test_several_targets(place: Path) -> None:
    rows = "".join(f"0.{n},{n % 2},{n // 2 % 2},{n}\n" for n in range(40))
    (place / "both.csv").write_text(f"x,a,b,c\n{rows}")
    labels = call("new", "table", "--data", "both.csv", "--target", "a", "--target", "b").stdout
    assert "target: [a, b]" in labels
    assert "loss: binary_cross_entropy" in labels
    numbers = parse_spec(call("new", "table", "--data", "both.csv", "--target", "a", "--target", "c").stdout)
    assert (numbers.train.loss, numbers.nodes["value"].features) == ("mse", 2)


def test_a_format_of_dates_that_is_none_is_refused(place: Path) -> None:
    text = call("new", "table", "--data", "shop.csv", "--target", "kind").stdout
    (place / "shop.yaml").write_text(text.replace("  missing:", '  date_format: "%Q"\n  missing:'))
    assert "`date_format: %Q` is no format of dates" in failed(call("validate", "shop.yaml"), 2)


def test_new_rows_that_cannot_be_read(place: Path) -> None:
    (place / "shop.yaml").write_text(call("new", "table", "--data", "shop.csv", "--target", "kind").stdout)
    call("grow", "shop.yaml", "--set", "train.epochs=1", "-o", "run")
    (place / "new.csv").write_text("city,age,active,price\nOslo,forty,True,1\n")
    told = failed(call("predict", "run", "--data", "new.csv"), 1)
    assert "new.csv: 2 columns cannot be used" in told
    assert "`age`: 'forty' in row 1: expected a number" in told
    assert "`since`: is missing" in told


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), 2, "a table needs both: --data FILE --target COLUMN"),
        (("--data", "shop.csv"), 2, "a table needs both"),
        (("--data", "digits", "--target", "y"), 1, "this is no table"),
        (("--data", "none.csv", "--target", "y"), 1, "cannot be read"),
        (("--data", "shop.csv", "--target", "kinds"), 1, "did you mean `kind`?"),
    ],
)
def test_tables_without_a_starter(place: Path, options: tuple[str, ...], code: int, told: str) -> None:
    result = call("new", "table", *options)
    assert told in failed(result, code)
    assert result.stdout == ""


def test_other_starters_have_no_table(place: Path) -> None:
    assert "are for a table: new table" in failed(call("new", "mlp", "--data", "shop.csv"), 2)
