"""A file -> Document; whatever is wrong with the file is a problem of the document."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from gromo_graph.records.journal import no_weights
from gromo_graph.spec.text.locations import Document
from gromo_graph.spec.text.parse_yaml import MAX_BYTES, broken, parse_document

_ALIKE = 0.75  # of two names; all of them end alike


def read_document(path: str | os.PathLike[str]) -> Document:
    """The document of a file; never more of the file is read than a document may hold."""
    file = os.fspath(path)
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return broken(
                file, f"the file is too large: at most {MAX_BYTES // 1_000_000} MB are read", place=None
            )
        text = content.decode("utf-8")
        return replace(parse_document(text, file), size=len(content), text=text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte 0x{content[error.start]:02x} is no UTF-8: save the file as UTF-8"
        return broken(file, message, place=(line, column))
    except FileNotFoundError:
        return broken(file, no_weights(file) or f"there is no such file{_near(Path(file))}", place=None)
    except IsADirectoryError:
        return broken(file, "this is a folder, expected a YAML file", place=None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return broken(file, f"the file cannot be read: {reason}", place=None)


def _near(path: Path) -> str:
    """Advice for a file that is not there: the YAML files of its folder with the nearest names."""
    names: list[str] = []
    with suppress(OSError, ValueError):  # there is no such folder, or it may not be read
        names = [each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")]
    near = get_close_matches(path.name, sorted(names), n=3, cutoff=_ALIKE)
    listed = " or ".join(f"`{path.with_name(name)}`" for name in near)
    return f": did you mean {listed}?" if near else ""
