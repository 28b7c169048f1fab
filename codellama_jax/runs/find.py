"""Where runs are: a run is a folder of phases' folders."""

import os
from collections.abc import Iterator
from pathlib import Path

from codellama_jax.errors import UserError
from codellama_jax.runs.phases import PhaseSummary, is_phase, last_record, summarise_phase
from codellama_jax.runs.settings import planned_phases

_DEPTH = 4  # folders of runs in folders, such as a sweep's


def find_runs(folder: str | Path) -> tuple[dict[Path, list[Path]], list[str]]:
    """Runs below a folder, which may itself be a run or a phase.

    Returns:
      The folders of each run's phases; and a line for each folder directly below that has none.

    Raises:
      UserError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"no folder {folder}: name one of runs, or train one first (`codellama-jax train`)"
        )
    if is_phase(folder):
        return {folder.parent: [folder]}, []
    runs: dict[Path, list[Path]] = {}
    foreign: list[str] = []
    for child in _folders(folder, foreign):
        found = [child] if is_phase(child) else list(_phases(child, _DEPTH, foreign))
        if not found:
            foreign.append(f"{child} is no run")
        for phase in found:
            runs.setdefault(phase.parent, []).append(phase)
    # What else stands in a run's folder, such as the figures of its report, is the run's.
    return runs, [line for line in foreign if folder not in runs or "cannot" in line]


def read_run(phases: list[Path], fresh_seconds: float) -> list[PhaseSummary]:
    """The phases of a run, with those that it plans but has not begun, parents first."""
    planned: dict[str, dict] = {}
    for phase in phases:
        try:
            record, _ = last_record(phase)
        except OSError:
            continue  # told where the phase is summarised
        planned |= planned_phases((record or {}).get("operative_config", ""))
    found = [summarise_phase(path, planned.get(path.name), fresh_seconds) for path in phases]
    found += [
        PhaseSummary(name, str(folder), "not begun", steps=fields.get("steps"),
                     parent=fields.get("parent"))
        for name, fields in planned.items()
        if not is_phase(folder := phases[0].parent / name)
    ]  # fmt: skip
    return found


def _phases(folder: Path, depth: int, unreadable: list[str]) -> Iterator[Path]:
    for child in _folders(folder, unreadable):
        if is_phase(child):
            yield child
        elif depth > 1:
            yield from _phases(child, depth - 1, unreadable)


def _folders(folder: Path, unreadable: list[str]) -> list[Path]:
    """Folders directly below, those with a dot left out."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        unreadable.append(f"cannot read {folder}: {error.strerror}")
        return []
    return [folder / name for name in sorted(names)]
