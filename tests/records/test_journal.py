"""Reading a journal: what is whole is read, what is damaged is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gromo_graph.errors import RunError
from gromo_graph.records import GrowthEvent, checksum, read_journal
from gromo_graph.render.pages.report import report_html
from gromo_graph.spec import parse_spec
from tests.render.samples import WIDENED, write_journal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    write_journal(path, groups=(("stem", "mix"), ()))
    return path


def rewrite(file: Path, number: int, **changes: object) -> None:
    """Change fields of a line (1-based; None takes one out) and sum it up again."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    line = {key: value for key, value in (lines[number - 1] | changes).items() if value is not None}
    lines[number - 1] = line | {"checksum": checksum(line)}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_whole_journal(file: Path) -> None:
    journal = read_journal(file)
    assert (journal.header.name, journal.header.seed, journal.header.version) == ("digits_residual", 7, 1)
    assert journal.header.data["fingerprint"] == "abc"
    assert [epoch.epoch for epoch in journal.epochs] == [1, 2, 3, 4]
    assert journal.epochs[0].train == {"loss": 1.0, "accuracy": 0.5}
    assert [event.step for event in journal.events] == [1, 1]
    assert [event.step for event in journal.applied] == [1]
    assert journal.applied[0].parameters_before == 1022
    assert not journal.torn


def test_the_folder_stands_for_its_journal(file: Path) -> None:
    assert read_journal(file.parent) == read_journal(file)


def test_an_event_comes_back_as_it_was() -> None:
    for event in (WIDENED, replace(WIDENED, batch=68, epochs_done=4.25)):
        assert GrowthEvent.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    assert (WIDENED.place, replace(WIDENED, epochs_done=4.25).place) == (4.0, 4.25)


@pytest.mark.parametrize("cut", [1, 10, 300])
def test_a_torn_last_line_is_left_out_and_told(file: Path, cut: int) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-cut])
    journal = read_journal(file)
    assert journal.torn
    assert len(journal.events) == 1


def test_clocks_are_not_summed(file: Path) -> None:
    lines = file.read_text().splitlines()
    changed = json.loads(lines[1]) | {"time": {"elapsed": 99.0}}
    file.write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]) + "\n")
    assert len(read_journal(file).epochs) == 4


def test_a_changed_number_is_noticed(file: Path) -> None:
    text = file.read_text()
    file.write_text(text.replace('"lr": 0.003', '"lr": 0.004', 1))
    with pytest.raises(RunError, match=r"journal\.jsonl:2: damaged line: its checksum is '\w{16}'"):
        read_journal(file)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "damaged line: not JSON"),
        (b"", "damaged line: not JSON"),
        (b"\xff\xfe", "damaged line: not JSON"),
        (b"[1]", "damaged line: expected a JSON object, found list"),
        (b"{}", "damaged line: its checksum is None"),
        (b"[" * 100_000, "damaged line: not JSON"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(file: Path, line: bytes, words: str) -> None:
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    with pytest.raises(RunError, match=rf"journal\.jsonl:3: {words}"):
        read_journal(file)


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (2, {"type": "epok"}, "unknown line type 'epok': expected one of header, epoch, setback, step"),
        (2, {"type": None}, "unknown line type None"),
        (2, {"lr": None}, "the epoch line lacks 'lr'"),
        (4, {"gamma": None}, "the step line lacks 'gamma'"),
        (4, {"candidates": 3}, "the step line has a wrong value"),
        (4, {"decision": {"kind": "widen"}}, "the step line lacks 'target'"),
        (4, {"decision": "widen"}, "the step line has a wrong value"),
        (1, {"spec": None}, "the header line lacks 'spec'"),
        (1, {"type": "epoch"}, "the epoch line lacks 'epoch'"),
        (1, {"type": "step"}, "the step line lacks 'step'"),
    ],
)
def test_a_line_that_is_whole_but_wrong_is_named(
    file: Path, number: int, changes: dict[str, object], words: str
) -> None:
    rewrite(file, number, **changes)
    with pytest.raises(RunError, match=rf"journal\.jsonl:{number}: {words}"):
        read_journal(file)


def test_one_header_in_the_first_line(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0], *lines]))
    with pytest.raises(RunError, match=r":2: found a line of type 'header', expected an epoch or a step"):
        read_journal(file)
    file.write_text("".join(lines[1:]))
    with pytest.raises(RunError, match=r":1: found a line of type 'epoch', expected the header"):
        read_journal(file)


def test_missing_empty_and_never_started(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none: there is no such folder: expected the folder of a run"):
        read_journal(tmp_path / "none")
    (tmp_path / "fields-1").mkdir()
    (tmp_path / "fields-1" / "journal.jsonl").touch()
    with pytest.raises(RunError, match=r"expected the folder of a run; did you mean `.*fields-1`\?"):
        read_journal(tmp_path / "fields")
    with pytest.raises(RunError, match=r"this is no run: it holds no journal\.jsonl"):
        read_journal(tmp_path)
    file = tmp_path / "journal.jsonl"
    for content, words in (
        (b"", "the journal is empty.*never started"),
        (b'{"type": "hea', "header is cut off"),
    ):
        file.write_bytes(content)
        with pytest.raises(RunError, match=words):
            read_journal(file)


def test_the_checksum_does_not_hang_on_the_order_of_keys_and_is_pinned() -> None:
    line = {"type": "epoch", "epoch": 3, "train": {"loss": 0.1, "name": "é"}}
    assert checksum(line) == checksum(dict(reversed(line.items()))) == "fdc72d83a1cd5885"
    assert checksum(line | {"epoch": 4}) != checksum(line)


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent / "journals").iterdir()), ids=lambda path: path.stem
)
def test_journals_of_older_releases_stay_readable(file: Path) -> None:
    """Each was written by a release of that day, for a run of three epochs on the irises."""
    journal = read_journal(file)
    assert (journal.header.name, journal.header.version) == ("old", 1)
    assert [epoch.epoch for epoch in journal.epochs] == [1, 2, 3]
    assert len(journal.applied) == 3
    for event in journal.applied:
        assert parse_spec(event.spec).nodes["a"].features == 1 + 2 * event.step  # type: ignore[attr-defined]
        assert event.loss_after < event.loss_before
        assert event.candidates[0].slope == event.slope
    page = report_html(journal)
    assert page.count("<svg") > 4


def test_a_later_version_is_told(file: Path) -> None:
    rewrite(file, 1, version=2)
    with pytest.raises(RunError, match="version 2 of the journal, this release reads up to 1"):
        read_journal(file)
