"""Rows as they are found, for a network that gromo_graph has exported; this file needs torch alone.

    from churn import load, preparation
    from churn_rows import predict

    predict(load(), preparation(), {"age": [41, None], "city": ["Lyon", "Oslo"], "signup": ["2024-05-01", None]})

A column is a list: numbers, texts, or dates (`datetime`, or texts as the table had them), with None for a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import torch
from torch import Tensor, nn

GAPS = {"", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "?"}
DAY = timedelta(days=1)
FIRST = datetime(1970, 1, 1)


def predict(model: nn.Module, preparation: Mapping[str, Any], rows: Any) -> list[Any]:
    """Names of classes, lists of labels, or values in their unit, one for each row."""
    scores = outputs(model, preparation, rows)
    if preparation["task"] == "regression":
        scale, mean = (torch.tensor(preparation[key]).double() for key in ("target_scale", "target_mean"))
        values = scores * scale + mean
        return list((values[:, 0] if values.shape[1] == 1 else values).tolist())
    classes = preparation["classes"]
    if preparation["task"] == "labels":
        return [
            [name for name, score in zip(classes, row, strict=True) if score > 0.0] for row in scores.tolist()
        ]
    if len(classes) == 2:
        above = scores.softmax(dim=1)[:, 1] > preparation.get("threshold", 0.5)
        return [classes[int(each)] for each in above]
    return [classes[place] for place in scores.argmax(dim=1).tolist()]


def probabilities(model: nn.Module, preparation: Mapping[str, Any], rows: Any) -> Tensor:
    """(rows, classes), in the order of `preparation["classes"]`."""
    scores = outputs(model, preparation, rows)
    return scores.sigmoid() if preparation["task"] == "labels" else scores.softmax(dim=1)


def outputs(model: nn.Module, preparation: Mapping[str, Any], rows: Any) -> Tensor:
    """The outputs of the network, (rows, outputs), float64."""
    with torch.no_grad():
        found = model(*samples(preparation, rows))
    (one,) = found.values() if isinstance(found, dict) else (found,)
    tensor: Tensor = one
    return tensor.double()


def samples(preparation: Mapping[str, Any], rows: Any) -> list[Tensor]:
    """The inputs of the network: the numbers of each row, standardised.

    Args:
        preparation: of the exported network. rows: columns by name; of a network without a table raw samples, of
            several inputs by name.
    """
    forms = preparation["several_inputs"]
    table = preparation["table"]
    if table is None:
        given = [rows[form["name"]] for form in forms] or [rows]
        arrays = [torch.as_tensor(values, dtype=torch.float64) for values in given]
        raw = torch.cat([values.reshape(len(values), -1) for values in arrays], dim=1)
    else:
        parts = [FEATURES[column["kind"]](column, rows[column["name"]]) for column in table["columns"]]
        raw = torch.cat(parts, dim=1)
    mean, scale = (torch.tensor(preparation[key], dtype=torch.float64) for key in ("mean", "scale"))
    found = ((raw - mean) / scale).float()
    if not forms:
        return [found.reshape(-1, *preparation["shape"])]
    sizes = [math.prod(form["shape"]) for form in forms]
    by_form = zip(forms, found.split(sizes, dim=1), strict=True)
    shaped = {form["place"]: part.reshape(-1, *form["shape"]) for form, part in by_form}
    return [shaped[place] for place in sorted(shaped)]


def of_numbers(column: Mapping[str, Any], cells: Sequence[Any]) -> Tensor:
    """A number, and whether it is missing."""
    texts = [text_of(cell) for cell in cells]
    filled = [column["fill"] if text is None else float(text) for text in texts]
    return side_by_side([filled], texts, column)


def of_dates(column: Mapping[str, Any], cells: Sequence[Any]) -> Tensor:
    """Days since 1970, year, month, weekday, perhaps the hour, and whether the date is missing."""
    moments = [moment_of(cell, column["form"]) for cell in cells]
    filled = [FIRST + column["fill"] * DAY if moment is None else moment for moment in moments]
    parts: list[list[float]] = [
        [(moment - FIRST) / DAY for moment in filled],
        [moment.year for moment in filled],
        [moment.month for moment in filled],
        [moment.weekday() for moment in filled],
    ]
    if column["hours"]:
        parts.append([24.0 * (((moment - FIRST) / DAY) % 1.0) for moment in filled])
    return side_by_side(parts, moments, column)


def of_categories(column: Mapping[str, Any], cells: Sequence[Any]) -> Tensor:
    """1 at the place of the category, else 0; or the place itself, for an embedding."""
    known = {text: place for place, text in enumerate(column["categories"])}
    texts = [text_of(cell) for cell in cells]
    places = [column["gap"] if text is None else known.get(text, column["unseen"]) for text in texts]
    at = torch.tensor(places)[:, None]
    return at.double() if column["embedded"] else (at == torch.arange(column["places"])).double()


FEATURES = {"number": of_numbers, "date": of_dates, "category": of_categories}


def side_by_side(parts: list[list[float]], cells: Sequence[Any], column: Mapping[str, Any]) -> Tensor:
    """(rows, features), with the gaps at the end if the network reads them."""
    gaps = [[float(cell is None) for cell in cells]] if column["gaps"] else []
    return torch.tensor([*parts, *gaps], dtype=torch.float64).T


def text_of(cell: Any) -> str | None:
    """A cell as text, None for a gap."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    return None if text.lower() in GAPS else text


def moment_of(cell: Any, form: str) -> datetime | None:
    """A cell as a moment in UTC, None for a gap; texts are of the form that the table had."""
    text = None if cell is None else text_of(str(cell))
    if text is None:
        return None
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime(cell.year, cell.month, cell.day)
    else:
        moment = datetime.fromisoformat(text) if form == "ISO8601" else datetime.strptime(text, form)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
