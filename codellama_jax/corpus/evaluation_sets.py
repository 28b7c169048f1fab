"""Reads the evaluation sets that a corpus must not contain: JSON objects, one a line."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError


@dataclass(frozen=True)
class Task:
    """One problem of an evaluation set; `passages` are the texts of its named fields."""

    name: str
    passages: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationSet:
    """The tasks of one file; `file` is its path as it was given."""

    file: str
    sha256: str
    tasks: list[Task]

    @property
    def name(self) -> str:
        """The file's name without its directory."""
        return self.file.rpartition("/")[2]


def read_evaluation_sets(
    packaged: str | None, files: Sequence[str], fields: Sequence[str], task_field: str
) -> list[EvaluationSet]:
    """Every set of a directory inside this package, then those of `files`.

    Args:
      packaged: the directory, relative to the package; None for none.
      files: paths of JSONL files, plain or compressed (.gz).
      fields: names of fields with text, or a list of texts; a task has those it has of them.
      task_field: name of the field that names the task; without it a task is named by its line.

    Raises:
      UserError: a file cannot be read, or a line of it is no task; names both.
    """
    sources: list[tuple[str, Traversable | Path]] = []
    if packaged is not None:
        # By path and not by module: this room knows nothing of the one that evaluates.
        directory = resources.files("codellama_jax") / packaged
        if not directory.is_dir():
            raise UserError(
                f"DecontaminateSettings.packaged={packaged!r} is no directory of this package: name"
                " one, or None for none"
            )
        inside = sorted(entry.name for entry in directory.iterdir())
        sources = [
            (f"{packaged}/{n}", directory / n) for n in inside if n.endswith((".jsonl", ".gz"))
        ]
    sources += [(str(file), Path(file)) for file in ([files] if isinstance(files, str) else files)]
    return [_read(name, file, fields, task_field) for name, file in sources]


def _read(
    name: str, file: Traversable | Path, fields: Sequence[str], task_field: str
) -> EvaluationSet:
    try:
        raw = file.read_bytes()
        data = gzip.decompress(raw) if name.endswith(".gz") else raw
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot read the evaluation set {name}: {why}; mend DecontaminateSettings.files"
        ) from error
    tasks = [
        _task(line, f"{name}, line {number}", fields, task_field, number)
        for number, line in enumerate(data.split(b"\n"), start=1)
        if line.strip()
    ]
    if not tasks:
        raise UserError(f"{name} holds no tasks; it needs one JSON object a line")
    return EvaluationSet(name, hashlib.sha256(raw).hexdigest(), tasks)


def _task(line: bytes, place: str, fields: Sequence[str], task_field: str, number: int) -> Task:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error}); one object a line is needed") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: not a JSON object; one a line is needed")
    passages = [text for field in fields if (text := _text(record.get(field))) is not None]
    if not passages:
        raise UserError(
            f"{place}: none of the fields {', '.join(fields)} holds text, only"
            f" {', '.join(record)} are there; set DecontaminateSettings.fields"
        )
    return Task(str(record.get(task_field, f"line {number}")), tuple(passages))


def _text(value: Any) -> str | None:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return value if isinstance(value, str) else None
