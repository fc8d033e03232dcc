"""The spec of a run and where it came from: the folder of its files and the values replaced on the way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gromo_graph.errors import RunError
from gromo_graph.spec import Spec, load_spec
from gromo_graph.spec.expand.overrides import Overrides, override_texts


@dataclass(frozen=True)
class SpecSource:
    """A spec that has been read once.

    Attributes:
        spec: as it was read, the overrides in it.
        folder: that relative file names in the spec belong to; None if it has no file.
        overrides: as `path=value`, for `command.json`.
    """

    spec: Spec
    folder: Path | None
    overrides: tuple[str, ...] = ()

    @staticmethod
    def of(spec: Spec | str | os.PathLike[str], overrides: Overrides = ()) -> SpecSource:
        """Read the spec of a file, or take one that has been read.

        Raises:
            SpecError: the file or an override is wrong.
            RunError: overrides for a spec that has been read already.
        """
        if isinstance(spec, Spec):
            if overrides:
                raise RunError("overrides are for the path of a spec: give them to load_spec instead")
            files = {origin.file for origin in spec.origins.values() if origin.block is None}
            known = [Path(file) for file in files if Path(file).is_file()]
            return SpecSource(spec, known[0].parent if len(known) == 1 else None)
        return SpecSource(
            load_spec(spec, overrides=overrides), Path(spec).parent, tuple(override_texts(overrides))
        )
