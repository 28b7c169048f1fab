"""Metrics of a phase: one JSON object a line, one line or more a step."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codellama_jax.runs.lines import parse_lines, read_lines

METRICS = "metrics.jsonl"
_TAIL = 1 << 18  # bytes; hundreds of steps


def read_metrics(directory: str | Path) -> list[dict[str, Any]]:
    """Lines of a phase's metrics file; a last line cut short by a kill is left out."""
    return _steps(read_lines(Path(directory) / METRICS))


def last_metrics(directory: str | Path) -> list[dict[str, Any]]:
    """The last of those lines, read from the file's end: as quick for a month as for a minute."""
    path = Path(directory) / METRICS
    if not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    return _steps(parse_lines(lines[1:] if size > _TAIL else lines))


def _steps(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if isinstance(line.get("step"), int)]
