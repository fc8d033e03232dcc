"""Reading images: a folder of class folders, or the bytes of an .npz file; they stay bytes until they are used."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import check_regular
from gromo_graph.run.data.raw import Array, Raw, targets_from
from gromo_graph.spec.data_sections import ImageData

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
_SHOWN = 3
_CHANNELS = (1, 3, 4)


def read_images(path: Path, section: ImageData, *, target: bool = True) -> Raw:
    """The images of a folder or a file, with the names of their folders as classes.

    Args:
        path: a folder with a folder for each class, or an .npz file with x (samples, height, width) or with channels at
            either end, of bytes, and y.
        section: what is said about them. target: False reads images alone: a folder may then hold them itself.

    Raises:
        RunError: with everything that is wrong: a class without images, files that are none, images of several sizes.
    """
    if path.suffix.lower() == ".npz":
        return _from_npz(path, target=target)
    if not path.is_dir():
        raise RunError(f"{path}: expected a folder with a folder for each class, or an .npz file")
    problems: list[str] = []
    files = {folder: _images_in(folder) for folder in _folders_in(path, target, problems)}
    problems += [f"`{folder.name}`: there is no image in it" for folder, found in files.items() if not found]
    named = [file for found in files.values() for file in found]
    pixels = _read(named, section, problems)
    if problems:
        refuse(str(path), problems)
    classes = [folder.name for folder, found in files.items() for _ in found]
    return Raw(str(path), np.stack(pixels), np.array(classes, dtype=np.str_) if target else None)


def _folders_in(path: Path, target: bool, problems: list[str]) -> list[Path]:
    """The folders of the classes; without targets perhaps the folder itself."""
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not target:
        return folders or [path]
    if not folders:
        problems.append("there are no folders in it: expected one for each class, with its images")
    elif len(folders) == 1:
        problems.append(f"`{folders[0].name}` is the only class: two are needed")
    return folders


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())


def _read(files: Sequence[Path], section: ImageData, problems: list[str]) -> list[Array]:
    """The images of files (`pixels_of`)."""
    from PIL import Image

    found: list[tuple[str, Any]] = []
    broken: list[str] = []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as image:
                    image.load()
                    found.append((_called(file), image.copy()))
        except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
            broken.append(_called(file))
    if broken:
        problems.append(f"{_some(broken)} cannot be read as images")
    return pixels_of(found, section, problems)


def pixels_of(images: Sequence[tuple[str, Any]], section: ImageData, problems: list[str]) -> list[Array]:
    """(channels, height, width) of each image in bytes: one channel if all are grey, else three.

    Args:
        images: with their names, of Pillow. section: the size that is asked for. problems: takes what is wrong.
    """
    from PIL import Image

    found = [(name, image.convert("L" if image.mode in ("1", "L") else "RGB")) for name, image in images]
    if section.size is not None:
        height, width = section.size
        found = [(name, image.resize((width, height), Image.Resampling.BILINEAR)) for name, image in found]
    sizes: dict[tuple[int, int], str] = {}
    for name, image in found:
        sizes.setdefault((image.height, image.width), name)
    if len(sizes) > 1:
        listed = ", ".join(f"{h} × {w} ({name})" for (h, w), name in list(sizes.items())[:_SHOWN])
        problems.append(
            f"images of {len(sizes)} sizes, height × width: {listed}{', ...' if len(sizes) > _SHOWN else ''}: write "
            "`data.size: [height, width]` to have them resized"
        )
    grey = all(image.mode == "L" for _, image in found)
    if grey:
        return [np.asarray(image)[None] for _, image in found]
    return [np.asarray(image.convert("RGB")).transpose(2, 0, 1) for _, image in found]


def _from_npz(path: Path, *, target: bool) -> Raw:
    name = str(path)
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in (("x", "y") if target else ("x",)) if key not in arrays.files]
            if missing:
                raise RunError(f"{name}: the array {' and '.join(missing)} is missing")
            x, y = arrays["x"], arrays["y"] if target else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"{name}: this is no .npz file of plain arrays: {error}") from error
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or not len(x):
        raise RunError(
            f"{name}: x is {x.dtype} of shape {list(x.shape)}: expected uint8 (samples, height, width), "
            "or with channels"
        )
    targets = None if y is None else targets_from(name, y)
    if targets is not None and len(targets) != len(x):
        raise RunError(
            f"{name}: {amount(len(x), 'image')} in x but {amount(len(targets), 'target')} in y: expected one for each"
        )
    return Raw(name, _channels_first(x), targets)


def _channels_first(x: Array) -> Array:
    """(samples, channels, height, width) of images with channels at the end, at the beginning, or without any."""
    if x.ndim == 3:
        return x[:, None]
    if x.shape[-1] in _CHANNELS and x.shape[1] not in _CHANNELS:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def _called(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def refuse(name: str, problems: Sequence[str]) -> None:
    """
    Raises:
        RunError: with all problems.
    """
    if len(problems) == 1:
        raise RunError(f"{name}: {problems[0]}")
    raise RunError(f"{name}: these images cannot be used:" + "".join(f"\n  {each}" for each in problems))
