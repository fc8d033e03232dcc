"""Reading `.npz`: the arrays x and y, never a pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.raw import Raw, raw_from


def read_npz(path: Path, *, target: bool = True) -> Raw:
    """The data of a `.npz` file: x (samples, ...) and, unless `target` is False, y.

    Raises:
        RunError: the file cannot be read, an array is missing, or one holds Python objects.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise RunError(f"{name}: one array without a name: expected an .npz with the arrays x and y")
            found = sorted(arrays.files)
            missing = [key for key in (("x", "y") if target else ("x",)) if key not in found]
            if missing:
                listed = ", ".join(found) or "nothing"
                raise RunError(
                    f"{name}: the array {' and '.join(missing)} is missing: found {listed}; "
                    "save them with numpy.savez(file, x=..., y=...)"
                )
            return raw_from(name, arrays["x"], arrays["y"] if target else None)
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise RunError(
                f"{name}: it holds Python objects, which are never loaded: save plain arrays of numbers"
            ) from error
        raise RunError(f"{name}: this is no sound .npz file: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise RunError(f"{name}: this is no sound .npz file: {error}") from error
    except MemoryError as error:
        raise RunError(f"{name}: its arrays do not fit into memory") from error
    except OSError as error:
        raise RunError(f"{name}: the data cannot be read: {error.strerror or error}") from error
