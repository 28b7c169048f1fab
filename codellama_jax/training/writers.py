"""Where the figures of a phase go: JSON lines, TensorBoard, Weights & Biases."""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import gin

from codellama_jax.errors import UserError
from codellama_jax.runs import METRICS, read_metrics


class Writer(Protocol):
    """Made with the phase's folder and the step it (re)starts from; forgets what was after that."""

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        """Takes numbers, and mappings of numbers, by name; steps in rising order."""

    def flush(self) -> None:
        """Brings to the disk what was taken."""

    def close(self) -> None:
        """Flushes and ends."""


class JsonLines:
    """`metrics.jsonl`, a line a step."""

    def __init__(self, directory: Path, start: int):
        path = directory / METRICS
        kept = [line for line in read_metrics(directory) if line["step"] <= start]
        other = path.with_suffix(".new")
        other.write_text("".join(json.dumps(line) + "\n" for line in kept))
        other.replace(path)  # at once: a kill here loses nothing
        self._file = path.open("a", buffering=1)

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"step": step, **record}) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """An event file in `tensorboard/`, for `tensorboard --logdir <run>`.

    After a restart TensorBoard drops what it read of the steps done again when it meets a session
    log's START with the first of them. `tf.summary` cannot write one, so the records of the file
    are written as they are: a file of TFRecords, each an Event.
    """

    def __init__(self, directory: Path, start: int):
        from codellama_jax.data.quiet import tf  # heavy: only in the process that writes

        self._tf = tf.compat.v1
        folder = directory / "tensorboard"
        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = tf.io.TFRecordWriter(str(folder / name))
        self._event(file_version="brain.Event:2")
        session = self._tf.SessionLog(status=self._tf.SessionLog.START)
        self._event(step=start + 1, session_log=session)

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        value = self._tf.Summary.Value
        values = [value(tag=tag, simple_value=number) for tag, number in _flat(record)]
        self._event(step=step, summary=self._tf.Summary(value=values))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _event(self, **fields: Any) -> None:
        self._file.write(self._tf.Event(wall_time=time.time(), **fields).SerializeToString())


@gin.configurable
class WeightsAndBiases:
    """A run of Weights & Biases, which a restart continues; its id is kept in `wandb_id`.

    Steps done again stand there twice, over the same `step`: W&B forgets nothing.

    Args:
      directory: the phase's folder.
      start: step it (re)starts from.
      project: W&B's name for the place of the run.
    """

    def __init__(self, directory: Path, start: int, project: str = "codellama-jax"):
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "Progress.writers names 'wandb', which is not installed: pip install wandb, or"
                " leave the name out"
            ) from error
        known = directory / "wandb_id"
        if not known.exists():
            known.write_text(uuid.uuid4().hex[:12])
        name = "/".join(directory.absolute().parts[-2:])  # run/phase
        self._run = wandb.init(
            project=project, name=name, id=known.read_text(), resume="allow", dir=directory
        )
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        self._run.log({**dict(_flat(record)), "step": step})

    def flush(self) -> None:
        pass  # a process of its own sends it

    def close(self) -> None:
        self._run.finish()


WRITERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def open_writers(names: tuple[str, ...], directory: Path, start: int) -> list[Writer]:
    """JSON lines, always, and the writers named.

    Args:
      names: keys of WRITERS.
      directory: the phase's folder.
      start: step the phase (re)starts from.

    Raises:
      UserError: an unknown name, or a package that is not installed.
    """
    for name in names:
        if name not in WRITERS:
            raise UserError(f"Progress.writers names {name!r}: choose of {', '.join(WRITERS)}")
    return [JsonLines(directory, start), *(WRITERS[name](directory, start) for name in names)]


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by name, those of a mapping as name/key."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield prefix + name, float(value)
