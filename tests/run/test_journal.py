"""The journal's writer and its reader agree, and every line is on the disk before the run goes on."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from gromo_graph.records import Candidate, Decision, GrowthEvent
from gromo_graph.records.journal import read_journal
from gromo_graph.run.folder.journal_writer import JournalWriter

_EVENT = GrowthEvent(
    step=1,
    epoch=2,
    decision=Decision("widen", "größe", 2, ("größe",), 10, 8),
    reason="first: steepest",
    gamma=16.0,
    slope=0.1,
    loss_before=1 / 3,
    loss_after=0.25,
    parameters=30,
    madds=20,
    candidates=(Candidate("widen", "größe", 2, 0.1, 0.1, 10, 8), Candidate("widen", "y", reason="output")),
    spec="name: a\n",
    time={"plan": 0.5},
)


def _write(path: Path) -> None:
    with JournalWriter(path) as journal:
        journal.header(name="a", seed=3, spec="name: a\n", data={"fingerprint": "f", "train": 6})
        journal.step(_EVENT)
        journal.epoch(
            2,
            train={"loss": 0.1 + 0.2, "accuracy": None},
            validation={"loss": 0.5, "accuracy": None},
            parameters=30,
            madds=20,
            lr=0.1,
            seconds=0.25,
        )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "journal.jsonl")
    journal = read_journal(tmp_path)
    assert (journal.header.seed, journal.header.data["fingerprint"]) == (3, "f")
    assert journal.events == (_EVENT,)
    assert journal.events[0].time["plan"] == 0.5
    assert journal.epochs[0].train == {"loss": 0.1 + 0.2}
    assert not journal.torn


def test_clocks_are_in_time_alone(tmp_path: Path) -> None:
    _write(tmp_path / "journal.jsonl")
    for line in (tmp_path / "journal.jsonl").read_text().splitlines():
        assert list(json.loads(line))[-2:] == ["time", "checksum"]


def test_lines_are_flushed_and_synced_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    seen = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        seen.append(path.read_bytes().count(b"\n"))
        real(descriptor)

    monkeypatch.setattr("gromo_graph.run.folder.journal_writer.os.fsync", sync)
    _write(path)
    assert seen == [1, 2, 3]


def test_numbers_that_json_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _write(path)
    with JournalWriter(path) as journal:
        journal.epoch(
            3, train={"loss": math.inf}, validation={}, parameters=1, madds=1, lr=0.1, seconds=math.nan
        )
    assert read_journal(path).epochs[-1].train == {"loss": None}
