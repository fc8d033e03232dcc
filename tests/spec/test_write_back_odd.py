"""Write-back into documents with anchors, comments and odd line breaks: it keeps what is not edited, or is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gromo_graph import (
    Edits,
    GraphError,
    RemoveNode,
    RunError,
    SetFeatures,
    load_spec,
    parse_spec,
    write_back,
)
from gromo_graph.graph.edits import Edited
from gromo_graph.spec.differences import differences
from gromo_graph.spec.text.author_file import AuthorFile
from gromo_graph.spec.text.parse_yaml import parse_document
from gromo_graph.spec.text.spans import spans_of
from gromo_graph.spec.text.write_back import WrittenBack, write_back_text
from tests.network.edits import sequence
from tests.spec.odd_documents import OddDocument
from tests.spec.test_write_back import SPECS


@settings(max_examples=50)
@given(seed=st.integers(0, 10**9), path=st.sampled_from(SPECS), length=st.integers(1, 3))
def test_an_edit_keeps_every_comment_of_what_it_does_not_touch(seed: int, path: Path, length: int) -> None:
    chance = random.Random(seed)
    odd = OddDocument(chance)
    text = odd.text(parse_document(path.read_text(), "f").data)
    spec = parse_spec(text)
    edited = Edits(list(sequence(spec, chance, length))).edited(spec)
    found = written_or_refused(text, edited)
    event("refused" if found is None else "done")
    if found is None:
        return
    assert parse_spec(found.text) == edited.spec
    now = {old: new for new, old in edited.renamed.items()}
    touched = {key[1] for key in differences(spec, edited.spec) if key[0] == "nodes"}
    for comment in set(odd.comments) - set(spans_of(found.text).comments()):
        place = odd.comments[comment]
        assert place[:1] in (("nodes",), ("output",), ("outputs",)), comment
        assert len(place) < 2 or place[1] in touched or now.get(place[1], place[1]) in touched, comment


def written_or_refused(text: str, edited: Edited) -> WrittenBack | None:
    try:
        return write_back_text(text, edited.spec, renamed=edited.renamed)
    except GraphError:  # any other error is a fault
        return None


SHARED = """# my notes
vars: {drop: 0.1}
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: &x x, features: &w 4, activation: relu}     # first
  g: {kind: linear, from: h, features: *w, grow: false}   # as wide as h was
  y: {kind: linear, from: g, features: 3}
output: y
"""


def written(text: str, *edits: SetFeatures) -> str:
    return write_back_text(text, Edits(edits).edited(parse_spec(text)).spec).text


def test_an_alias_is_replaced_by_its_value_if_the_anchor_changes_alone() -> None:
    assert written(SHARED, SetFeatures("h", 9)) == SHARED.replace("&w 4", "&w 9").replace("*w", "4")


def test_an_alias_that_changes_alone_is_replaced() -> None:
    assert written(SHARED, SetFeatures("g", 9)) == SHARED.replace("*w", "9")


def test_an_anchor_changes_for_all_its_aliases_if_they_change_alike() -> None:
    assert written(SHARED, SetFeatures("h", 9), SetFeatures("g", 9)) == SHARED.replace("&w 4", "&w 9")


def test_what_an_alias_stands_for_keeps_its_expressions() -> None:
    text = SHARED.replace("features: &w 4", "features: 4").replace("*w", "4")
    text = text.replace("vars: {drop: 0.1}", "vars: {w: 4}").replace(
        "  y: {kind: linear, from: g, features: 3}",
        '  a: &a {kind: linear, from: x, features: "${w}"}\n  b: *a\n'
        "  y: {kind: merge, from: [a, b, g], merge: concat}",
    )
    found = written(text, SetFeatures("a", 7))
    assert '  b: {kind: linear, from: x, features: "${w}"}' in found
    assert "a: &a {kind: linear, from: x, features: 7}" in found


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_break_is_kept(newline: str) -> None:
    text = SHARED.replace("\n", newline)
    assert written(text, SetFeatures("y", 5)) == text.replace("features: 3", "features: 5")
    wanted = RemoveNode("g").spec_of(parse_spec(text))
    expected = [line.replace("from: g", "from: h") for line in SHARED.splitlines() if "  g:" not in line]
    assert write_back_text(text, wanted).text == newline.join([*expected, ""])


WHOLE = """
nodes:
  x: {kind: input, shape: [4]}
  y:   # whole
    kind: linear   # a
    from: x
    # b
    features: 2
output: y
"""


def test_comments_inside_a_node_that_is_written_anew_stand_above_it() -> None:
    wanted = parse_spec(
        WHOLE.replace("linear", "embedding").replace("features: 2", "features: 2\n    vocabulary: 9")
    )
    found = write_back_text(WHOLE, wanted).text
    assert "  # whole\n  # a\n  # b\n  y: {kind: embedding" in found


def test_a_change_that_would_lose_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gromo_graph.spec.text import rewriting

    path = tmp_path / "a.yaml"
    path.write_text(SHARED)
    wanted = SetFeatures("h", 9).spec_of(load_spec(path))
    replace = rewriting.EditedText._replace

    def careless(self: rewriting.EditedText, *args: object) -> None:
        replace(self, *args)  # type: ignore[arg-type]
        self.text = self.text.replace("# my notes\n", "")
        self._spans = None

    monkeypatch.setattr(rewriting.EditedText, "_replace", careless)
    with pytest.raises(GraphError, match="the file is as it was"):
        write_back(path, wanted)
    assert path.read_text() == SHARED


def test_the_second_of_two_editors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SHARED)
    first, second = AuthorFile.read(path), AuthorFile.read(path)
    first.replace(first.changed(SetFeatures("h", 9).spec_of(first.spec)))
    between = path.read_text()
    with pytest.raises(RunError, match="somebody else has changed it meanwhile"):
        second.replace(second.changed(SetFeatures("y", 9).spec_of(second.spec)))
    assert path.read_text() == between
