"""Code of the user's own that a command names: never because a spec or a run folder says so."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from gromo_graph.errors import RunError


def imported(module: str, *, what: str | None = None) -> ModuleType:
    """A module of the user's, found beside the files he works on too, as `python -m` does.

    Args:
        module: its name. what: what messages call it, if that is more than the name.

    Raises:
        RunError: there is none, or it failed.

    >>> imported("json").__name__
    'json'
    """
    what = what or module
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RunError(f"{what}: the module `{module}` cannot be imported: {error}") from error
    except Exception as error:
        raise RunError(f"{what}: importing `{module}` raised {type(error).__name__}: {error}") from error
