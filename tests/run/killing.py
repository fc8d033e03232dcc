"""Commands that are killed in the middle of a write, in forks of a process that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["gromo_graph.run.training_loop", "gromo_graph.cli.grow", "torch._dynamo", "sklearn.datasets"]
)


def killed(folder: Path, at: int, *words: str, everywhere: bool = True) -> bool:
    """True if the command was killed, at its `at`-th write: at an fsync, and if it is asked for where a file goes."""
    process = _FORKS.Process(target=_run, args=(folder, at, words, everywhere))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _run(folder: Path, at: int, words: tuple[str, ...], everywhere: bool) -> None:
    from gromo_graph.__main__ import main

    left = [at]

    def mortal(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    os.fsync = mortal(os.fsync)
    if everywhere:
        os.unlink, Path.replace = mortal(os.unlink), mortal(Path.replace)  # type: ignore[method-assign]
    os.chdir(folder)
    sys.argv = ["gromo-graph", *words]
    warnings.simplefilter("ignore")
    main()
