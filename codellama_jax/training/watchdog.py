"""Ends a process that hangs: a collective whose partner is gone, a file system that is stuck."""

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import gin
import jax

from codellama_jax.errors import RESTART


@gin.configurable
class Watchdog:
    """Expects a sign of life again and again, and ends the process without one.

    What every thread was doing is then written to `stacks.<process>.txt`, one line says so, and the
    exit code is 75, on which a launcher starts the program again.

    Args:
      directory: the phase's folder.
      step_seconds: longest time from one step to the next, saves and measurements included.
      start_seconds: longest time until the first step is done: restoring and compiling.
    """

    def __init__(
        self, directory: Path, step_seconds: float = 1800.0, start_seconds: float = 7200.0
    ):
        self._path = directory / f"stacks.{jax.process_index()}.txt"
        self._step_seconds = step_seconds
        self._place, self._limit = "the start", start_seconds
        self._deadline = time.monotonic() + start_seconds
        self._ended = threading.Event()

    def __enter__(self) -> "Watchdog":
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def beat(self, place: str) -> None:
        """A sign of life; the next one is due within `step_seconds`."""
        self._place, self._limit = place, self._step_seconds
        self._deadline = time.monotonic() + self._step_seconds

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._step_seconds / 4)):
            if time.monotonic() > self._deadline:
                self._end()

    def _end(self) -> None:
        with self._path.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        print(
            f"codellama-jax: hung: nothing for {self._limit:.0f} s after {self._place}; what every"
            f" thread was doing is in {self._path}; start again: it continues from the last"
            " checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(RESTART)
