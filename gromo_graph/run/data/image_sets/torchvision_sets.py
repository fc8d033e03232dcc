"""Data sets of torchvision by their names, with the test set that comes with them."""

from __future__ import annotations

import inspect
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gromo_graph.errors import RunError
from gromo_graph.run.data.held_out import with_test
from gromo_graph.run.data.image_sets.images import pixels_of, refuse
from gromo_graph.run.data.raw import Raw
from gromo_graph.spec.data_sections import ImageData

_PREFIX = "torchvision:"


def is_torchvision(source: object) -> bool:
    """True for the name of a data set of torchvision.

    >>> is_torchvision("torchvision:CIFAR10"), is_torchvision("photos")
    (True, False)
    """
    return isinstance(source, str) and source.startswith(_PREFIX)


def read_torchvision(name: str, section: ImageData) -> Raw:
    """The images of a data set, with the names of its classes; nothing is downloaded.

    Args:
        name: `torchvision:` and the name of a class of torchvision.datasets, whose items are an image and a class.
        section: what is said about the images.

    Raises:
        RunError: torchvision or the files are missing, or there is no such set of images with a class each.
    """
    kind = _kind_of(name)
    folder = Path(torch.hub.get_dir()).parent / "datasets"
    try:
        found = [_raw(name, kind(**options), section) for options in _options_of(name, kind, folder)]
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"{name}: it cannot be read from {folder}: {said}; download it once, in Python: torchvision.datasets."
            f"{kind.__name__}({os.fspath(folder)!r}, download=True)"
        ) from error
    return found[0] if len(found) == 1 else with_test(*found)


def _kind_of(name: str) -> type[Any]:
    """
    Raises:
        RunError: torchvision is missing, or there is no such data set.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise RunError(f"{name}: torchvision is missing: pip install torchvision") from error
    label = name.removeprefix(_PREFIX)
    kind = getattr(datasets, label, None)
    if not (isinstance(kind, type) and issubclass(kind, datasets.VisionDataset)):
        near = get_close_matches(label, dir(datasets), n=1)
        hint = f": did you mean `{near[0]}`?" if near else ""
        raise RunError(f"{name}: torchvision has no such data set{hint}")
    return kind


def _options_of(name: str, kind: type[Any], folder: Path) -> list[dict[str, Any]]:
    """The arguments that give a data set, one part after the other.

    Raises:
        RunError: it needs others.
    """
    parameters = inspect.signature(kind).parameters
    place = {"root": os.fspath(folder)} if "root" in parameters else {}
    parts: list[dict[str, Any]] = [place]
    if "train" in parameters:
        parts = [{**place, "train": True}, {**place, "train": False}]
    elif "split" in parameters:
        parts = [{**place, "split": "train"}, {**place, "split": "test"}]
    for each in parameters.values():
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD and each.name not in parts[0]:
            raise RunError(
                f"{name}: it needs `{each.name}`: expected a data set of images with a class "
                "each, such as torchvision:CIFAR10"
            )
    return parts


def _raw(name: str, items: Any, section: ImageData) -> Raw:
    pairs = [items[place] for place in range(len(items))]
    if not pairs or not all(hasattr(image, "convert") and isinstance(label, int) for image, label in pairs):
        raise RunError(f"{name}: its items are no pairs of an image and the number of a class")
    problems: list[str] = []
    pixels = pixels_of([(str(place), image) for place, (image, _) in enumerate(pairs)], section, problems)
    if problems:
        refuse(name, problems)
    labels = np.array([label for _, label in pairs])
    names = getattr(items, "classes", None)
    return Raw(name, np.stack(pixels), np.array(names)[labels] if names else labels.astype(np.float64))
