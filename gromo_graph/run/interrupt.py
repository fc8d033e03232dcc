"""Ctrl-C at a safe place: the batch or growth step in work is finished first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """While it is entered, a first Ctrl-C is kept until `check` is called; a second one breaks off at once.

    A growth step that is broken off in the middle would leave a network of which nobody knows the sizes.
    Outside the main thread Python gives no signals, and nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._active = False

    def __enter__(self) -> Interruption:
        in_main = threading.current_thread() is threading.main_thread()
        if (
            in_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):  # ignored by `nohup` and the like
            self._before = signal.signal(signal.SIGINT, self._on_signal)
            self._active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler if self._before is None else self._before)
            self._active = False

    def check(self) -> None:
        """A safe place.

        Raises:
            KeyboardInterrupt: it was asked for.
        """
        if self.asked:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
