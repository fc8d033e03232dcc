"""A run as it is read from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.arguments import checked
from gromo_graph.errors import RunError, SpecError
from gromo_graph.network import GrowingNetwork, compile_network
from gromo_graph.records.atomic_files import check_regular
from gromo_graph.records.journal import Journal
from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.folder.own_files import DATA, SPEC, WEIGHTS
from gromo_graph.run.folder.run_folder import RunFolder, open_folder, why_no_spec
from gromo_graph.run.folder.weights_file import load_weights, spec_of_weights
from gromo_graph.run.run import NOT_MEASURED, Run
from gromo_graph.spec import Spec, dump_spec, load_spec


@checked
def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder, on the CPU, also while it is still going on or after it was broken off.

    Raises:
        RunError: there is no run, or a file of it is missing or damaged (which, and what is wrong).
    """
    folder = open_folder(Path(path))
    network, journal = _weighted(folder)
    try:
        preparation = Preparation.from_dict(folder.read_json(DATA))
    except ValueError as error:
        raise RunError(f"{folder.file(DATA)}: this file is damaged: {error}") from error
    _check_same(folder, network, preparation)
    return Run(
        network=network,
        events=journal.events,
        epochs=journal.epochs,
        preparation=preparation,
        fingerprint=str(journal.header.data.get("fingerprint")),
        results=folder.summary() if folder.is_over else _so_far(journal),
        path=folder.path,
    )


def _check_same(folder: RunFolder, network: GrowingNetwork, preparation: Preparation) -> None:
    """Refuse a preparation of samples that the network does not read, as that of another run."""
    spec, shapes = network.spec, network.graph.shapes
    reads = [shapes[name] for name in spec.inputs]
    several = sorted(preparation.several_inputs, key=lambda form: form.place)
    prepared = [form.shape for form in several] or [preparation.shape]
    gives = shapes[spec.outputs[0]][0]
    if reads != prepared or (len(spec.outputs) == 1 and gives != preparation.outputs):
        raise RunError(
            f"{folder.file(DATA)}: this file is of another network: it prepares samples of shape {preparation.shape} "
            f"for {amount(preparation.outputs, 'output')}, and the network reads "
            f"{', '.join(map(str, reads))} and gives {gives}"
        )


def _weighted(folder: RunFolder) -> tuple[GrowingNetwork, Journal]:
    """The network with its weights, and the journal.

    The files of a run that takes a growth step are not replaced at once: the journal tells the step first, then come
    the weights, which say of which spec they are, then `spec.yaml`. They are read in the opposite order, and again if
    the weights have been replaced meanwhile.

    Raises:
        RunError: a file is missing or damaged, or the weights are those of another network.
    """
    path = folder.file(WEIGHTS)
    while True:
        spec = _spec_file(folder)
        text = spec_of_weights(path)
        journal = folder.journal()
        known = {journal.header.spec, *(event.spec for event in journal.applied)}
        own = folder.parsed(text) if text in known and text != dump_spec(spec) else spec
        network = compile_network(own, seed=0)
        try:
            load_weights(path, network)
        except RunError:
            if spec_of_weights(path) == text:
                raise
        else:
            return network, journal


def _spec_file(folder: RunFolder) -> Spec:
    check_regular(folder.file(SPEC))
    try:
        return load_spec(folder.file(SPEC), defaults=folder.defaults)
    except SpecError as error:
        raise RunError(f"{folder.path}: the run's {why_no_spec(SPEC, error)}: {error}") from error


def _so_far(journal: Journal) -> dict[str, Any]:
    """The results of a run that is not finished, as far as the journal tells them."""
    last = journal.epochs[-1] if journal.epochs else None
    return {
        "steps": len(journal.applied),
        "reason": f"not finished: {amount(last.epoch if last else 0, 'epoch')} done",
        "train": {**NOT_MEASURED, **(last.train if last else {})},
        "validation": {**NOT_MEASURED, **(last.validation if last else {})},
        "test": dict(NOT_MEASURED),
    }
