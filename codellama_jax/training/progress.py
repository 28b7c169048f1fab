"""What a person and a plot see of a phase: a line now and then, and a JSONL file of every step."""

import json
import time
from pathlib import Path
from typing import Any

import gin

from codellama_jax.runs import METRICS, read_metrics
from codellama_jax.training.phase import Phase


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@gin.configurable
class Progress:
    """Writes `metrics.jsonl` in the phase's folder and prints a line every few steps.

    Args:
      directory: the phase's folder.
      phase: the phase.
      start: step it (re)starts from; later lines of an interrupted run are dropped.
      flops_per_token: of the model, for model FLOP/s.
      print_every: steps between printed lines.
    """

    def __init__(
        self,
        directory: Path,
        phase: Phase,
        start: int,
        flops_per_token: float,
        print_every: int = 25,
    ):
        self.phase, self.print_every, self.flops = phase, print_every, flops_per_token
        self._path = directory / METRICS
        kept = [line for line in read_metrics(directory) if line["step"] <= start]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = self._path.open("a", buffering=1)
        self._mark = (start, time.perf_counter(), 0.0)
        self._first = start + 1
        self._seconds_per_step: list[float] = []

    def write(self, step: int, metrics: dict[str, Any], waited: float) -> None:
        """Records a step; `waited` is the loop's total wait for data so far, in seconds."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        if step % self.print_every and step not in (self._first, self.phase.steps):
            return
        now = time.perf_counter()
        last_step, last_time, last_waited = self._mark
        seconds = (now - last_time) / max(step - last_step, 1)
        self._mark = (step, now, waited)
        rate = self.phase.batch_size * self.phase.sequence_length / seconds
        remaining = clock((self.phase.steps - step) * seconds)
        wait = (waited - last_waited) / max(now - last_time, 1e-9)
        if step == self._first and step != self.phase.steps:  # the first step compiles
            took = f"compiled in {now - last_time:.0f} s"
            print(f"{self.phase.name:<22} step {step} done, {took}", flush=True)
            return
        print(
            f"{self.phase.name:<22} step {step:>5}/{self.phase.steps}  loss {metrics['loss']:.4f}"
            f"  {rate:>8,.0f} tokens/s  {rate * self.flops / 1e9:>6.1f} GFLOP/s"
            f"  data wait {wait:>5.1%}  ETA {remaining}",
            flush=True,
        )
        record = {"step": step, "tokens_per_second": rate, "data_wait": wait}
        self._file.write(json.dumps({**record, "model_flops_per_second": rate * self.flops}) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
