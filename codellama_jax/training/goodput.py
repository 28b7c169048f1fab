"""Where a phase's time went, across restarts: a journal, and what follows from it.

`events.jsonl` in the phase's folder has a line for each of these, with the wall clock's time:

  start   a process took up the phase, from `step`
  mark    `step` is done; the first one after a start includes what was compiled
  stop    the process left the phase; `reason` is done, preempted or failed

Marks and stops carry the process's seconds so far of waiting for data and in saves. A process that
is killed leaves no stop: what it did after its last mark counts as time it was down.
"""

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from codellama_jax.runs import read_lines
from codellama_jax.training.figures import clock

FILE = "events.jsonl"
Event = dict[str, Any]
Reason = Literal["done", "preempted", "failed"]


@dataclasses.dataclass(frozen=True)
class Goodput:
    """Seconds of a phase since its first start, by what they were spent on.

    Attributes:
      productive: steps that are part of the parameters now.
      start_up: from a start to the end of its first step: data, restore, compilation.
      replay: steps done after the checkpoint that a later start went back to.
      data_wait: the loop had no batch.
      checkpoint_stall: the loop stood in a save.
      down: no process, or one that was about to end.
    """

    productive: float = 0.0
    start_up: float = 0.0
    replay: float = 0.0
    data_wait: float = 0.0
    checkpoint_stall: float = 0.0
    down: float = 0.0

    @property
    def wall(self) -> float:
        """All of them."""
        return sum(dataclasses.astuple(self))

    @property
    def share(self) -> float:
        """Productive time over wall time; 0 before the first step."""
        return self.productive / self.wall if self.wall else 0.0

    def __add__(self, other: "Goodput") -> "Goodput":
        return Goodput(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    def __str__(self) -> str:
        lost = [
            f"{name.replace('_', '-')} {seconds / self.wall:.1%}"
            for name, seconds in dataclasses.asdict(self).items()
            if name != "productive" and seconds >= 0.0005 * self.wall > 0
        ]
        told = f"goodput {self.share:.1%} of {clock(self.wall)}"
        return f"{told}; lost: {', '.join(lost)}" if lost else told


def goodput(events: Sequence[Event]) -> Goodput:
    """What a journal tells, up to its last event.

    Steps between two marks are taken to have lasted equally long.

    Args:
      events: of the journal, in order.
    """
    starts = [n for n, event in enumerate(events) if event["event"] == "start"]
    total = Goodput()
    kept = math.inf  # the last step that no later start went back behind
    for first, end in reversed(list(zip(starts, [*starts[1:], len(events)]))):
        for before, after in itertools.pairwise(events[first:end]):
            total += _between(before, after, kept)
        if end < len(events):
            total += Goodput(down=_seconds(events[end - 1], events[end]))
        kept = min(kept, events[first]["step"])
    return total


def _between(before: Event, after: Event, kept: float) -> Goodput:
    """Of two events of one process, one after the other."""
    seconds = _seconds(before, after)
    if before["event"] == "start":
        return Goodput(start_up=seconds)
    steps = after["step"] - before["step"]
    share = min(max((kept - before["step"]) / steps, 0.0), 1.0) if steps else 1.0
    mine = seconds * share
    waited = min(share * (after["waited"] - before["waited"]), mine)
    stalled = min(share * (after["stalled"] - before["stalled"]), mine - waited)
    rest = mine - waited - stalled
    return Goodput(
        productive=rest if steps else 0.0,
        replay=seconds - mine,
        data_wait=waited,
        checkpoint_stall=stalled,
        down=0.0 if steps else rest,
    )


def _seconds(before: Event, after: Event) -> float:
    return max(after["time"] - before["time"], 0.0)  # the next machine's clock may be behind


class Journal:
    """The journal of a phase that a process takes up now.

    Args:
      directory: the phase's folder.
      step: it (re)starts from.
      began: when the process took it up, in seconds of the wall clock.
    """

    def __init__(self, directory: Path, step: int, began: float):
        past = read_lines(directory / FILE)
        self._file = (directory / FILE).open("a+b", buffering=0)
        if self._file.tell() and not (directory / FILE).read_bytes().endswith(b"\n"):
            self._file.write(b"\n")  # ends what a kill cut short
        start = {"time": began, "event": "start", "step": step}
        self._total, self._last = goodput([*past, start]), start
        self._append(start)

    def mark(self, step: int, waited: float, stalled: float) -> Goodput:
        """Notes a step as done; returns where the time went up to now.

        Args:
          step: the step.
          waited: seconds of this process without a batch, so far.
          stalled: seconds of this process in saves, so far.
        """
        return self._note("mark", step, waited, stalled)

    def stop(self, reason: Reason, step: int, waited: float, stalled: float) -> Goodput:
        """Notes that the process leaves the phase after `step`; returns where the time went."""
        told = self._note("stop", step, waited, stalled, reason=reason)
        self._file.close()
        return told

    def _note(self, name: str, step: int, waited: float, stalled: float, **more: str) -> Goodput:
        event = {"time": time.time(), "event": name, "step": step, **more}
        event.update(waited=round(waited, 3), stalled=round(stalled, 3))
        self._append(event)
        self._total += _between(self._last, event, math.inf)
        self._last = event
        return self._total

    def _append(self, event: Event) -> None:
        self._file.write(json.dumps(event).encode() + b"\n")
