"""`codellama-jax runs A B`: what two runs, or two phases, were trained with, and how they went."""

import math
from pathlib import Path
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.runs.compare_page import comparison_page
from codellama_jax.runs.compare_text import comparison_text
from codellama_jax.runs.curves import blocks, common_curve, figure_svg, loss_figure, write_png
from codellama_jax.runs.find import find_runs
from codellama_jax.runs.metrics import read_metrics
from codellama_jax.runs.phases import is_phase, last_record
from codellama_jax.runs.settings import differences, resolved_settings


@gin.configurable
def compare_runs(
    first: str,
    second: str,
    folder: str = "runs",
    rows: int = 12,
    width: int = 60,
    html: str | None = None,
    png: str | None = None,
) -> dict[str, Any]:
    """Prints which settings and data of two phases differ, and their losses beside each other.

    Args:
      first: folder of a run or of a phase.
      second: another. Of two runs the phases of the same name are compared.
      folder: where they are looked for when they are not there as written.
      rows: steps at most of the table of losses.
      width: characters of the drawn curves.
      html: path of a page to write with the same.
      png: path of an image of the curves to write.

    Returns:
      {"first", "second", "only_first", "only_second": names of phases, "phases": comparisons by
      name} as JSON values.

    Raises:
      UserError: no run or phase there, no phase in common, or a library for the page not installed.
    """
    if rows < 1 or width < 1:
        raise UserError(f"compare_runs.rows = {rows}, width = {width}: both must be at least 1")
    sides = [_phases(path, folder) for path in (first, second)]
    if len(sides[0]) == len(sides[1]) == 1:  # two phases, whatever they are called
        ((a, one),), ((b, other),) = (list(side.items()) for side in sides)
        pairs = {a if a == b else f"{a} and {b}": (one, other)}
    else:
        pairs = {name: (one, sides[1][name]) for name, one in sides[0].items() if name in sides[1]}
    if not pairs:
        raise UserError(
            f"{first} and {second} have no phase in common: name two phases, of"
            f" {', '.join(sides[0])} and of {', '.join(sides[1])}"
        )
    compared = {path.name for pair in pairs.values() for path in pair}
    lines = {
        name: tuple([line for line in read_metrics(path) if _has_loss(line)] for path in pair)
        for name, pair in pairs.items()
    }
    result = {
        "first": first,
        "second": second,
        "only_first": [name for name in sides[0] if name not in compared],
        "only_second": [name for name in sides[1] if name not in compared],
        "phases": {name: _compared(pair, lines[name], rows, width) for name, pair in pairs.items()},
    }
    print("\n".join(comparison_text(result)))
    if html or png:
        panels = [
            (name, [str(path) for path in pairs[name]], curves) for name, curves in lines.items()
        ]
        try:
            figure = loss_figure(panels)
            if html:
                page = comparison_page(result, figure_svg(figure))
                Path(html).write_text(page, encoding="utf-8")
            if png:
                write_png(figure, png)
        except ImportError as error:
            raise UserError(
                f"the figure needs {error.name}: pip install 'codellama-jax[eval]'"
            ) from error
        print("", *(f"wrote {path}" for path in (html, png) if path), sep="\n")
    return result


def _compared(pair: tuple[Path, Path], lines: Any, rows: int, width: int) -> dict[str, Any]:
    """One comparison; settings and data are None where a record of either cannot be read."""
    records = [last_record(path)[0] for path in pair]
    whole = all(records)
    with_bits = [[line for line in own if "bits_per_byte" in line] for own in lines]
    return {
        "folders": [str(path) for path in pair],
        **(_settings(*map(resolved_settings, records)) if whole else _UNKNOWN),
        "data": differences(*map(_fingerprint, records)) if whole else None,
        "loss": common_curve(*lines, "loss", rows),
        "bits_per_byte": common_curve(*with_bits, "bits_per_byte", rows),
        "drawn": blocks(lines, width),
    }


_UNKNOWN = {"settings": None, "settings_in_one": None}


def _settings(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What both have and have otherwise; and what one alone has, of which the other says nothing:
    gin records a setting once it has been used."""
    return {
        "settings": differences(
            *({k: s[k] for k in first.keys() & second} for s in (first, second))
        ),
        "settings_in_one": [sorted(first.keys() - second), sorted(second.keys() - first)],
    }


def _fingerprint(record: dict[str, Any]) -> dict[str, Any]:
    """The data's; without it (imported weights) nothing was read."""
    fingerprint = record["data"].get("fingerprint") or {}
    return {**fingerprint, "changes accepted": record["data"].get("changes", [])}


def _phases(path: str, folder: str) -> dict[str, Path]:
    """Folders of phases by name: of the run, or the one that `path` names."""
    place = next((p for p in (Path(path), Path(folder) / path) if p.is_dir()), None)
    if place is None:
        raise UserError(f"no run or phase {path}, neither here nor in {folder}: name its folder")
    if is_phase(place):
        return {place.name: place}
    runs, _ = find_runs(place)
    if place not in runs:
        raise UserError(f"{place} is no run or phase: `codellama-jax runs {folder}` lists them")
    return {phase.name: phase for phase in runs[place]}


def _has_loss(line: dict[str, Any]) -> bool:
    return isinstance(line.get("loss"), (int, float)) and math.isfinite(line["loss"])
