"""Text as tokens: bytes in windows, with the next byte to tell at each position."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import check_regular
from gromo_graph.run.data.raw import Raw
from gromo_graph.run.data.sources import below

PYTHON_DOCS = "python_docs"
"""The name of the text that comes with Python: what `help()` tells about its words and statements, in ASCII."""

_BYTES = 256  # different ones
_BUILT_IN_BYTES = 100_000


def read_text(
    source: str | Path,
    length: int,
    *,
    folder: Path | None = None,
    limit: int | None = None,
    known: int = _BYTES,
) -> Raw:
    """The windows of a text, one behind the other: x holds `length` bytes each, y the byte behind each of them.

    Args:
        source: `python_docs` or a file, relative to the folder. length: of a window; bytes that fill none are left out.
        limit: of the bytes at the start that are read; None reads all.
        known: how many different bytes the network knows: those from 0 to 127 if it is 128.

    Raises:
        RunError: there is no such file, it has fewer bytes than a window and the one behind it, or a byte that the
            network does not know.

    >>> raw = read_text("python_docs", 8)
    >>> raw.x.shape == raw.y.shape, bool((raw.x[0, 1:] == raw.y[0, :-1]).all())
    (True, True)
    """
    name, content = str(source), _bytes_of(source, folder)[:limit]
    windows = (len(content) - 1) // length
    if windows < 1:
        raise RunError(
            f"{name}: {len(content)} bytes are fewer than the {length + 1} of a window of `shape: [{length}]` and the "
            "byte behind it: give a longer text, or write a shorter shape"
        )
    ids = np.frombuffer(content, dtype=np.uint8).astype(np.float64)
    if ids.max() >= known:
        raise RunError(
            f"{name}: found the byte {int(ids.max())}, and the spec knows {known}: write `vocabulary: {_BYTES}` for "
            f"its embedding and `features: {_BYTES}` for its output, or give a text in ASCII"
        )
    x, y = (ids[start : start + windows * length].reshape(windows, length) for start in (0, 1))
    return Raw(name, x, y, task="classification")


def _bytes_of(source: str | Path, folder: Path | None) -> bytes:
    if str(source) == PYTHON_DOCS:
        from pydoc_data.topics import topics  # a second to import

        text = "\n".join(topics[topic] for topic in sorted(topics))
        return text.encode("ascii", errors="ignore")[:_BUILT_IN_BYTES]
    path = below(folder, source)
    check_regular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
