"""Stops a run at a safe place after Ctrl-C or a signal: the batch or growth step in work is finished first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from gromo_graph.operating_system import stop_signals


class Interruption:
    """While it is entered, a first Ctrl-C or SIGTERM is kept until `check` is called; a second one breaks off at once.

    A growth step that is broken off in the middle would leave a network of which nobody knows the sizes.
    Outside the main thread Python gives no signals, and nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        in_main = threading.current_thread() is threading.main_thread()
        for number in stop_signals() if in_main else ():
            if signal.getsignal(number) is not signal.SIG_IGN:  # ignored by `nohup` and the like
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.default_int_handler if before is None else before)
        self._before = {}

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
