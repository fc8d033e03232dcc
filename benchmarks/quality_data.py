"""Real data of the quality benchmark; README.md of this folder says how each set is got."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets

Arrays = tuple[Any, Any]

_PACKAGE = "dataset-fashion-mnist"
_IMAGE_HEADER, _LABEL_HEADER = 16, 8  # bytes before the first image and the first label


class MissingDataError(Exception):
    """A set of data is not installed; the message says how to get it."""


@cache
def digits(seed: int = 0) -> Arrays:
    """The 1,797 digits that come with scikit-learn, as images (1, 8, 8)."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return x.reshape(-1, 1, 8, 8), y


def mnist1d(seed: int = 0, *, generator: int = 42) -> Arrays:
    """MNIST-1D, 5,000 sequences (1, 40), as its authors generate it.

    Args:
        seed: not used; the split alone differs between seeds.
        generator: the seed of the generator; 42 is the one of its authors.

    Raises:
        MissingDataError: the package is not installed.
    """
    return _mnist1d(generator)


@cache
def _mnist1d(generator: int) -> Arrays:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise MissingDataError(
            f"MNIST-1D: {error}: install it with `pip install --no-deps mnist1d requests`"
        ) from error
    arguments = get_dataset_args()
    arguments.seed = generator
    made = make_dataset(arguments)
    x = np.concatenate((made["x"], made["x_test"])).reshape(-1, 1, 40)
    return x, np.concatenate((made["y"], made["y_test"]))


def fashion(seed: int = 0) -> Arrays:
    """Fashion-MNIST, 70,000 images (1, 28, 28) with values from 0 to 1.

    Args:
        seed: not used; the split alone differs between seeds.

    Raises:
        MissingDataError: the package is not installed.
    """
    return _fashion()


@cache
def _fashion() -> Arrays:
    files = _files_of_package()
    x = [_bytes(files[f"{part}-images-idx3-ubyte.gz"], _IMAGE_HEADER) for part in ("train", "t10k")]
    y = [_bytes(files[f"{part}-labels-idx1-ubyte.gz"], _LABEL_HEADER) for part in ("train", "t10k")]
    images = np.concatenate(x).reshape(-1, 1, 28, 28).astype(np.float32) / 255.0
    return images, np.concatenate(y).astype(np.int64)


def _files_of_package() -> dict[str, Path]:
    """The files of the Debian package by their names."""
    asked = None
    if shutil.which("dpkg") is not None:
        asked = subprocess.run(["dpkg", "-L", _PACKAGE], capture_output=True, text=True, check=False)
    if asked is None or asked.returncode != 0:
        raise MissingDataError(
            f"Fashion-MNIST: the package {_PACKAGE} is not installed: install it with "
            f"`apt-get install {_PACKAGE}` (Debian, Ubuntu)"
        )
    return {Path(line).name: Path(line) for line in asked.stdout.splitlines()}


def _bytes(path: Path, header: int) -> Any:
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header)
