"""Reading `.npz`: the arrays x and y, and perhaps sample_weight, never a pickle."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.run.data.raw import Array, Raw, raw_from, sample_weights
from gromo_graph.run.data.several_inputs import with_several_inputs
from gromo_graph.run.data.several_targets import with_several_targets

LARGE = 512 * 1024 * 1024
"""Bytes that the samples of a file may take in memory; larger ones stay on the disk."""

_LOCAL_HEADER = 30  # bytes of a member's header in a zip file, before its name


def mapped(path: Path, member: str) -> Array | None:
    """A large array of a `.npz` file without reading it; None for a small or a compressed one (numpy.savez does not
    compress).

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER:
            raise zipfile.BadZipFile(f"the member {member} lies beyond its end")
        name, extra = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        file.seek(info.header_offset + _LOCAL_HEADER + name + extra)
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        if dtype.kind not in "biuf" or 4 * math.prod(shape) <= LARGE:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def read_npz(path: Path, *, target: bool = True) -> Raw:
    """The data of a `.npz` file: x (samples, ...) and, unless `target` is False, y, perhaps with sample_weight.

    Of several inputs and outputs the arrays are called x.NAME and y.NAME.

    Raises:
        RunError: the file cannot be read, an array is missing, or one holds Python objects.
    """
    with _told_as_run_errors(str(path)), path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise RunError(f"{path}: one array without a name: expected an .npz with the arrays x and y")
        return _raw_of(path, arrays, target=target)


def _raw_of(path: Path, arrays: np.lib.npyio.NpzFile, *, target: bool) -> Raw:
    """The data of open arrays; `x` is mapped if it is large."""
    name = str(path)
    several, inputs = (_named(arrays, prefix) for prefix in ("y.", "x."))
    wanted = {"x": not inputs, "y": target and not several}
    _check_there(name, arrays, [key for key, is_wanted in wanted.items() if is_wanted])
    y = arrays["y"] if wanted["y"] else None
    if inputs:
        raw = with_several_inputs(name, inputs, y)
    else:
        x = mapped(path, "x.npy")
        raw = raw_from(name, arrays["x"] if x is None else x, y)
    if not target:
        return raw
    if several:
        raw = with_several_targets(raw, several)
    if "sample_weight" not in arrays.files:
        return raw
    return replace(raw, weights=sample_weights(arrays["sample_weight"], len(raw.x), name))


def _named(arrays: np.lib.npyio.NpzFile, prefix: str) -> dict[str, Array]:
    """The arrays whose names begin with a prefix, by the rest of their names."""
    return {key.removeprefix(prefix): arrays[key] for key in sorted(arrays.files) if key.startswith(prefix)}


def _check_there(name: str, arrays: np.lib.npyio.NpzFile, needed: Sequence[str]) -> None:
    """
    Raises:
        RunError: an array is missing.
    """
    missing = [key for key in needed if key not in arrays.files]
    if missing:
        listed = ", ".join(sorted(arrays.files)) or "nothing"
        raise RunError(
            f"{name}: the array {' and '.join(missing)} is missing: found {listed}; "
            "save them with numpy.savez(file, x=..., y=...)"
        )


@contextmanager
def _told_as_run_errors(name: str) -> Iterator[None]:
    """Say what is wrong with a file if numpy cannot read it.

    Raises:
        RunError: it cannot be read.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise RunError(
            f"{name}: y holds bytes that are no ASCII text: save labels as text (dtype=str) or as numbers"
        ) from error
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        if isinstance(error, ValueError) and "pickle" in str(error).lower():
            raise RunError(
                f"{name}: it holds Python objects, which are never loaded: save plain arrays of numbers"
            ) from error
        raise RunError(f"{name}: this is no sound .npz file: {error}") from error
    except MemoryError as error:
        raise RunError(f"{name}: its arrays do not fit into memory") from error
    except OSError as error:
        raise RunError(f"{name}: the data cannot be read: {error.strerror or error}") from error
