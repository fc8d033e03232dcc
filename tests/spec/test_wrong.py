"""Every wrong document of tests/spec/wrong gives exactly the problems that its first comment lines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph import SpecError, check_spec, load_spec

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))


def expected(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("# "))
    return [line.removeprefix("# ") for line in lines[:end]]


@pytest.mark.timeout(30)  # none of them may hang; a time is not asserted, machines differ
@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_the_problems_are_those_the_document_promises(path: Path) -> None:
    problems = check_spec(path)
    told = [str(problem).removeprefix(f"{path}:") for problem in problems]
    assert [line.replace(f"{path.parent}/", "") for line in told] == expected(path)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.problems == problems


def test_the_corpus_is_there() -> None:
    assert len(WRONG) >= 100
    assert all(expected(path) for path in WRONG)
