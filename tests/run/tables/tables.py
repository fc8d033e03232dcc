"""A table with columns of every kind, and specs for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gromo_graph.spec import Spec, parse_spec

ROWS = 60


def shop(rows: int = ROWS) -> pd.DataFrame:
    """An id, a date, a number with gaps, a category with gaps, a truth value, and two targets that follow from them."""
    random = np.random.RandomState(0)
    age = random.randint(18, 80, rows).astype(float)
    city = np.array(["Lyon", "Oslo", "Rome"], dtype=object)[random.randint(0, 3, rows)]
    active = random.rand(rows) > 0.5
    start = np.datetime64("2024-01-01") + random.randint(0, 400, rows)
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(rows),
            "since": start.astype(str),
            "age": age,
            "city": city,
            "active": active,
            "price": 10.0 * age + 100.0 * (city == "Oslo") + 0.5,
            "kind": np.where(age + 30.0 * active > 60.0, "old", "new"),
        }
    )
    frame.loc[::9, "age"] = np.nan
    frame.loc[::7, "city"] = None
    return frame


def written(frame: pd.DataFrame, folder: Path, name: str = "shop.csv") -> Path:
    """The file of a table."""
    frame.to_csv(folder / name, index=False)
    return folder / name


def shop_spec(features: int, data: str, *, classes: bool = True, epochs: int = 3) -> Spec:
    """A small network for the table."""
    return parse_spec(
        f"""
name: shop
nodes:
  x: {{kind: input, shape: [{features}]}}
  hidden: {{kind: linear, from: x, features: 2, activation: relu}}
  y: {{kind: linear, from: hidden, features: {2 if classes else 1}}}
output: y
data: {data}
growth: {{stop: {{parameters: 100}}}}
train: {{loss: {"cross_entropy" if classes else "mse"}, epochs: {epochs}, batch_size: 16, optimizer: {{lr: 0.02}}}}
"""
    )
