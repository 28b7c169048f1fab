"""What a person and a plot see of a phase: a line now and then, and its figures in files."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import jax

from codellama_jax.training.figures import memory, speed, terminal_line
from codellama_jax.training.goodput import Journal, Reason
from codellama_jax.training.phase import Phase
from codellama_jax.training.writers import open_writers


@gin.configurable
class Progress:
    """Writes the metrics of every step, and every few steps prints a line and writes the figures.

    Of several processes the first one does; the others do nothing.

    Args:
      directory: the phase's folder.
      phase: the phase.
      start: step it (re)starts from; what an interrupted process wrote of later ones is dropped.
      flops_per_token: of the model, for model FLOP/s.
      began: when this process took up the phase, in seconds of the wall clock.
      print_every: steps between printed lines.
      writers: where figures go besides metrics.jsonl, of "tensorboard" and "wandb".

    Raises:
      UserError: a writer that is unknown or not installed.
    """

    def __init__(
        self,
        directory: Path,
        phase: Phase,
        start: int,
        flops_per_token: float,
        began: float,
        print_every: int = 25,
        writers: Sequence[str] = ("tensorboard",),
    ):
        self._silent = jax.process_index() != 0
        if self._silent:
            return
        self._phase, self._print_every, self._flops = phase, print_every, flops_per_token
        self._writers = open_writers(tuple(writers), directory, start)
        self._journal = Journal(directory, start, began)
        self._first = start + 1
        self._now = self._mark = (start, time.perf_counter(), 0.0, 0.0)

    def write(self, step: int, metrics: dict[str, Any], waited: float, stalled: float) -> None:
        """Records a step.

        Args:
          step: the step.
          metrics: its numbers by name, or mappings of numbers; a loss among them.
          waited: seconds that this process's loop had no batch, so far.
          stalled: seconds that it stood in saves, so far.
        """
        if self._silent:
            return
        saved, self._now = stalled > self._now[3], (step, time.perf_counter(), waited, stalled)
        ends = step in (self._first, self._phase.steps)
        printed = ends or step % self._print_every == 0
        record = dict(metrics)
        if printed or saved:  # a restart begins at a save, and what it replays ends there
            goodput = self._journal.mark(step, waited, stalled)
        if printed:
            record.update(self._rates(), goodput=goodput.share, **memory())
        for writer in self._writers:
            writer.write(step, record)
            if printed or saved:
                writer.flush()
        if printed:
            self._print(step, record)

    def close(self, reason: Reason, waited: float, stalled: float) -> None:
        """Ends the files and prints where the time went.

        Args:
          reason: why the loop ends.
          waited: as for `write`.
          stalled: as for `write`, with the wait for saves under way at the end.
        """
        if self._silent:
            return
        told = self._journal.stop(reason, self._now[0], waited, stalled)
        for writer in self._writers:
            writer.close()
        print(f"{self._phase.name}: {told}", flush=True)

    def _rates(self) -> dict[str, float]:
        """Of the steps since the last printed one; none of the first step, which compiles."""
        (last, since, waited, stalled), self._mark = self._mark, self._now
        step, now, waited_now, stalled_now = self._now
        seconds = max(now - since, 1e-9)
        self._seconds_left = (self._phase.steps - step) * seconds / (step - last)
        if step == self._first and step != self._phase.steps:
            return {"compile_seconds": seconds}
        rate = (step - last) * self._phase.batch_size * self._phase.sequence_length / seconds
        return {
            **speed(rate, self._flops, jax.device_count(), jax.devices()[0].device_kind),
            "data_wait": (waited_now - waited) / seconds,
            "checkpoint_stall": (stalled_now - stalled) / seconds,
        }

    def _print(self, step: int, record: dict[str, Any]) -> None:
        if "compile_seconds" in record:
            took = f"compiled in {record['compile_seconds']:.0f} s"
            print(f"{self._phase.name:<12} step {step} done, {took}", flush=True)
        else:
            print(terminal_line(self._phase, step, record, self._seconds_left), flush=True)
