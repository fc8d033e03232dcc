"""Runs of one spec that differ in their seeds alone, and the mean and the standard error of their results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gromo_graph.records.atomic_files import replace_file, writing
from gromo_graph.run.folder.run_folder import as_json

REPEATED = "repeated.json"
"""The file beside the runs that holds their summary."""

_PARTS = ("train", "validation", "test")
_FACTS = ("parameters", "steps")


def folders_of(path: Path, seeds: Sequence[int]) -> list[Path]:
    """The folder of each run, by its seed, below that of all of them.

    >>> [each.name for each in folders_of(Path("runs/digits-1"), range(3, 5))]
    ['seed-3', 'seed-4']
    """
    return [path / f"seed-{seed}" for seed in seeds]


def repeated_summary(
    path: Path, seeds: Sequence[int], summaries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The results of several runs together.

    Args:
        path: of the folder that holds them. seeds: one a run. summaries: as `Run.summary`.

    Returns:
        `run`, `runs` (the folders), `seeds`, and for `parameters`, `steps` and each measure of `train`, `validation`
        and `test` a map with the `mean`, the `standard_error` of the mean (None of one run) and the `values`. A
        measure that a run does not have is left out.
    """
    return {
        "run": str(path),
        "runs": [str(folder) for folder in folders_of(path, seeds)],
        "seeds": list(seeds),
        **{name: _together([summary[name] for summary in summaries]) for name in _FACTS},
        **{part: _measures([summary[part] for summary in summaries]) for part in _PARTS},
    }


def write_repeated(path: Path, summary: Mapping[str, Any]) -> None:
    """Put the summary beside the runs.

    Raises:
        RunError: it cannot be written.
    """
    with writing(path):
        replace_file(path / REPEATED, as_json(summary))


def _measures(parts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The measures that all runs have."""
    names = [name for name in parts[0] if all(part.get(name) is not None for part in parts)]
    return {name: _together([part[name] for part in parts]) for name in names}


def _together(values: Sequence[float]) -> dict[str, Any]:
    """Mean, and standard error s / √n with the standard deviation s of n values."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_error": error, "values": list(values)}
