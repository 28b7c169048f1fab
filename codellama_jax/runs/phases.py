"""What a phase's folder tells of it: how far it is, how well it does, whether it goes on."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.runs.digests import is_complete
from codellama_jax.runs.metrics import METRICS, last_metrics
from codellama_jax.runs.records import FOLDER, read_record, saved_steps


@dataclasses.dataclass(frozen=True)
class PhaseSummary:
    """A phase as it stands on disk; None is for what its files do not tell.

    Attributes:
      name: of the phase.
      directory: its folder.
      state: "complete"; "running" (a sign of life not long ago); "interrupted"; "imported" (weights
        that were not trained here); "not begun" (planned by the run); "unreadable".
      step: the last one that metrics or checkpoints tell of.
      steps: planned.
      saved_step: of the last checkpoint with a whole record, where training would continue.
      loss: nats a token, at the last step that has one.
      bits_per_byte: the same.
      tokens: positions trained on, ancestors not counted.
      parent: name of the phase it starts from.
      lineage: names from the first ancestor to itself.
      last_sign: when metrics or checkpoint were last written, in seconds since 1970.
      code_version: that trained it.
      checkpoints: their number.
      checkpoint_bytes: their size on disk.
      damaged: a line for each file that cannot be read.
    """

    name: str
    directory: str
    state: str
    step: int = 0
    steps: int | None = None
    saved_step: int | None = None
    loss: float | None = None
    bits_per_byte: float | None = None
    tokens: int | None = None
    parent: str | None = None
    lineage: tuple[str, ...] = ()
    last_sign: float | None = None
    code_version: str | None = None
    checkpoints: int = 0
    checkpoint_bytes: int = 0
    damaged: tuple[str, ...] = ()


def is_phase(folder: Path) -> bool:
    """Whether a phase has been begun there."""
    return (folder / FOLDER).is_dir() or (folder / METRICS).exists()


def last_record(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest record that can be read, and a line for each newer one that cannot."""
    damaged = []
    for step in reversed(saved_steps(folder)):
        if not is_complete(folder / FOLDER / str(step)):
            damaged.append(f"{folder / FOLDER / str(step)} is not written to its end")
            continue
        try:
            return read_record(folder, step), damaged
        except UserError as error:
            damaged.append(str(error))
    return None, damaged


def summarise_phase(
    folder: Path, planned: dict[str, Any] | None, fresh_seconds: float
) -> PhaseSummary:
    """Reads a phase's folder.

    Args:
      folder: of the phase.
      planned: its settings as another phase's record has them, for one without a checkpoint.
      fresh_seconds: a phase whose last sign is younger counts as running.
    """
    lines: list[dict[str, Any]] = []
    record, damaged, saved, held = None, [], [], 0
    try:
        record, damaged = last_record(folder)
        saved, held = saved_steps(folder), _bytes(folder / FOLDER)
        lines = last_metrics(folder)
    except OSError as error:
        damaged.append(f"cannot read {error.filename or folder}: {error.strerror}")
    entry = record["lineage"][-1] if record else {}
    settings = entry.get("settings") or planned or {}
    saved_step = record["data"].get("step") if record else None
    step = max([saved_step or 0, *(line["step"] for line in lines[-1:])])
    steps = settings.get("steps")
    last_sign = _last_sign(folder)
    if record and steps is None:
        state = "imported"
    elif record and saved_step is not None and saved_step >= steps:
        state = "complete"
    elif not record and not lines:
        state = "unreadable"
    elif last_sign is not None and time.time() - last_sign < fresh_seconds:
        state = "running"
    else:
        state = "interrupted"
    a_step = settings.get("batch_size", 0) * settings.get("sequence_length", 0)
    return PhaseSummary(
        name=entry.get("phase", folder.name),
        directory=str(folder),
        state=state,
        step=step,
        steps=steps,
        saved_step=saved_step,
        loss=_last(lines, "loss"),
        bits_per_byte=_last(lines, "bits_per_byte"),
        tokens=step * a_step if a_step else None,
        parent=settings.get("parent"),
        lineage=tuple(str(ancestor.get("phase")) for ancestor in record["lineage"])
        if record
        else (),
        last_sign=last_sign,
        code_version=entry.get("code_version"),
        checkpoints=len(saved),
        checkpoint_bytes=held,
        damaged=tuple(damaged),
    )


def _last(lines: list[dict[str, Any]], key: str) -> float | None:
    values = (line[key] for line in reversed(lines) if isinstance(line.get(key), (int, float)))
    return next(values, None)


def _last_sign(folder: Path) -> float | None:
    times = []
    for path in (folder / METRICS, folder / FOLDER):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _bytes(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # a run that goes on deletes old checkpoints
                total += os.stat(os.path.join(place, name)).st_size
    return total
