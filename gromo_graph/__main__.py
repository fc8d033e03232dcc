"""`python -m gromo_graph` and the `gromo-graph` command."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        _run()
    except KeyboardInterrupt:  # before a verb has begun
        _end_interrupted()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End at once in the middle of an import, which would make another error of Ctrl-C, or swallow it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end_interrupted()
        frame = frame.f_back
    raise KeyboardInterrupt


def _end_interrupted() -> NoReturn:
    print("error: interrupted", file=sys.stderr)
    leave(INTERRUPTED)


def _run() -> None:
    # A verb that draws is over in half a second, most of it imports, whose objects are no garbage: do not look for any
    # among them, and less often later; and do not search the installed packages for plugins of pydantic.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from gromo_graph.cli import app
    from gromo_graph.environment import process_count
    from gromo_graph.operating_system import write_utf8

    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()
    write_utf8(sys.stdout, sys.stderr)
    if process_count() == 1:
        app()
        return
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    leave(code if isinstance(code, int) else int(code is not None))


def leave(code: int) -> NoReturn:
    """End one of several processes at once: threads of torch.distributed may abort an interpreter that closes down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
