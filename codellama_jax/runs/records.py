"""Checkpoint records of a phase: which there are, and what they say. Plain JSON files.

<phase>/checkpoints/<step>/record/metadata    model, data position, lineage, configuration
<phase>/checkpoints/<step>/digests/           what is written last (digests.py)
"""

import json
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.runs.digests import is_complete

FOLDER = "checkpoints"
_PARTS = {"model": dict, "lineage": list, "data": dict}


def saved_steps(phase_directory: str | Path) -> list[int]:
    """Steps that a phase has a checkpoint of, first to last; their records may be damaged."""
    folder = Path(phase_directory) / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def latest_step(phase_directory: str | Path) -> int:
    """The last step of a phase that was saved to its end.

    Raises:
      UserError: there is none.
    """
    folder = Path(phase_directory) / FOLDER
    steps = [step for step in saved_steps(phase_directory) if is_complete(folder / str(step))]
    if not steps:
        raise UserError(
            f"no checkpoint in {phase_directory}: train that phase first (`codellama-jax train`)"
            " or name another folder"
        )
    return steps[-1]


def read_record(phase_directory: str | Path, step: int | None = None) -> dict[str, Any]:
    """The record of a phase's checkpoint.

    Args:
      phase_directory: the phase's folder.
      step: of the checkpoint; None takes the last.

    Raises:
      UserError: there is no such checkpoint, or its record cannot be read.
    """
    step = latest_step(phase_directory) if step is None else step
    path = Path(phase_directory) / FOLDER / str(step) / "record/metadata"
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the checkpoint record {path}: {error}") from error
    if not _whole(record):
        raise UserError(f"{path} is no checkpoint record: it lacks one of {', '.join(_PARTS)}")
    return record


def _whole(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if not all(isinstance(record.get(part), kind) for part, kind in _PARTS.items()):
        return False
    entries = [entry for entry in record["lineage"] if isinstance(entry, dict)]
    return bool(entries) and entries == record["lineage"] and "settings" in entries[-1]
