"""Profiler traces of chosen steps, for TensorBoard's profile plugin, XProf and Perfetto."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gin
import jax


@gin.configurable
class Profile:
    """Traces some steps of a phase into `profile/` in its folder; process 0 traces its devices.

    Args:
      directory: the phase's folder.
      first_step: of the phase, the first one traced; by the tenth all is compiled and warm.
      steps: how many; 0 traces nothing.
    """

    def __init__(self, directory: Path, first_step: int = 10, steps: int = 0):
        self._directory = directory / "profile"
        mine = steps if jax.process_index() == 0 else 0
        self._traced = range(first_step, first_step + mine)
        self._step = ExitStack()
        self._running, self._began = False, 0

    def at(self, step: int, state: Any) -> None:
        """To be called before each step.

        Args:
          step: about to begin.
          state: what the step before computes; waited for where a trace begins or ends, so that
            it holds whole steps.
        """
        self._step.close()
        if (step in self._traced) != self._running:
            jax.block_until_ready(state)
            if self._running:
                self.close()
            else:
                jax.profiler.start_trace(self._directory)
                self._running, self._began = True, step
        if self._running:
            self._step.enter_context(jax.profiler.StepTraceAnnotation("train", step_num=step))

    def close(self) -> None:
        """Ends a trace under way; to be called after the last step."""
        self._step.close()
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            print(f"profile from step {self._began} on: {self._directory}", flush=True)
