"""Any file is read as a table or refused with a message; what can be read can be read again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gromo_graph.errors import RunError
from gromo_graph.run.data.tables.encoding import TableEncoding
from gromo_graph.run.data.tables.learning import learn_table
from gromo_graph.run.data.tables.reading import read_rows
from gromo_graph.run.data.tables.starter import table_starter
from gromo_graph.spec import parse_spec
from gromo_graph.spec.data_sections import TableData

_KINDS = (
    st.sampled_from(["1", "2.5", "-3e2", "1,000", "", "NaN", "9" * 400, "1e999"]),
    st.sampled_from(
        [
            "2024-01-01",
            "9999-12-31",
            "0001-01-01",
            "2024-02-30",
            "31/12/2024",
            "2024-01-01T10:00+02:00",
            "6042",
        ]
    ),
    st.sampled_from(["a", "b", "True", "no", "?", "${x}", "- #", "'", '"', "é", "\u202e", "\x00", "a\nb"]),
    st.text(max_size=6),
)

_NAMES = st.one_of(
    st.sampled_from(["id", "a b", "1", "${x}", "é", "#", "y "]), st.text(min_size=1, max_size=4)
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header and rows; the last column has classes."""
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=4))
    names = draw(st.lists(_NAMES, min_size=len(kinds), max_size=len(kinds), unique_by=str.strip))
    count = draw(st.sampled_from([3, 12, 40]))
    pools = [draw(st.lists(kind, min_size=1, max_size=8)) for kind in kinds]
    rows = [[pool[(row * 7 + place) % len(pool)] for place, pool in enumerate(pools)] for row in range(count)]
    ends = [[str(number % 5), "xz"[number % 2]] for number in range(count)]
    return [*names, "number", "y"], [[*row, *end] for row, end in zip(rows, ends, strict=True)]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@settings(max_examples=25)
@given(tables())
def test_it_is_read_or_refused(tmp_path: Path, table: tuple[list[str], list[list[str]]]) -> None:
    header, rows = table
    lines = [",".join(map(_quoted, line)) for line in (header, *rows)]
    path = tmp_path / "any.csv"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace", newline="")
    section = TableData(file=str(path), target="y")
    try:
        found = read_rows(path, section)
        learned = learn_table(found, section, "classification")
    except RunError:
        event("refused")
        return
    event("read")
    assert np.isfinite(learned.raw.x).all()
    assert learned.raw.x.shape == (len(rows), len(learned.encoding.features))
    text = json.dumps(asdict(learned.encoding), allow_nan=False)
    again = TypeAdapter(TableEncoding).validate_json(text, strict=True)
    np.testing.assert_array_equal(again.raw(found, "classification").x, learned.raw.x)
    starter = parse_spec(table_starter(str(path), "y").text)
    assert starter.data is not None
    assert starter.nodes["columns"].shape == (learned.raw.x.shape[1],)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"\x00\x01\x02", b"\xef\xbb\xbf", b'"', b"a\n\n\n", b"\n\n"]
)
def test_bytes_that_are_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"t\.csv"):
        read_rows(tmp_path / "t.csv", TableData(file="t.csv", target="y"))
