"""Figures of a sweep: how trials went, the best so far, and which values led where."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codellama_jax.plotting import STYLE, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_BLUE, _ORANGE, _GREY = "#2f5d8a", "#c0682b", "#b9b7b0"


def figures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and <svg> of each figure that the trials suffice for; raises ImportError."""
    import matplotlib

    rows = [row for row in result["trials"] if row["curve"]]
    complete = [row for row in rows if row["state"] == "complete"]
    drawn: list[tuple[str, Canvas]] = []
    with matplotlib.rc_context(STYLE):
        if rows:
            drawn.append(("Every trial, by tokens", _curves(rows, result)))
        if complete:
            drawn.append(("Trials in their order, and the best so far", _history(rows, result)))
        if len(complete) > 1:
            drawn.append(("Values, and where they led", _parallel(complete, result["objective"])))
        if result["importance"]:
            drawn.append(("Importance of each setting", _importance(result["importance"])))
        return [(title, to_svg(figure, f"f{n}", title)) for n, (title, figure) in enumerate(drawn)]


def _curves(rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> "Canvas":
    figure = new_figure(8.0, 3.2)
    axes = figure.subplots()
    for row in rows:
        tokens, values = zip(*row["curve"])
        best = row["trial"] == result["best"]
        color = _ORANGE if best else _BLUE if row["state"] == "complete" else _GREY
        width, order = (2.0, 3) if best else (0.9, 2)
        axes.plot(tokens, values, color=color, lw=width, zorder=order, marker=".", ms=3)
    axes.set_xlabel("tokens (orange: best; grey: not to the end)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel(result["objective"])
    return figure


def _history(rows: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> "Canvas":
    figure = new_figure(8.0, 2.6)
    axes = figure.subplots()
    done = [row for row in rows if row["state"] == "complete"]
    for group, color in ((done, _BLUE), ([row for row in rows if row not in done], _GREY)):
        numbers, values = [r["trial"] for r in group], [r["objective"] for r in group]
        axes.scatter(numbers, values, s=14, color=color, zorder=3)
    best = np.minimum.accumulate([row["objective"] for row in done])
    axes.step([row["trial"] for row in done], best, where="post", color=_ORANGE, lw=1.4)
    axes.set_xlabel("trial")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(result["objective"])
    return figure


def _parallel(rows: Sequence[Mapping[str, Any]], objective: str) -> "Canvas":
    """A line for each trial over an axis for each entry; dark ones end low."""
    from matplotlib import colormaps

    names = sorted({name for row in rows for name in row["values"]})
    columns = [[row["values"][name] for row in rows] for name in names]
    heights = [_heights(column) for column in columns]
    last = [row["objective"] for row in rows]
    heights.append(_heights(last))
    figure = new_figure(8.0, 3.4)
    axes = figure.subplots()
    ranks = np.argsort(np.argsort(last)) / max(len(rows) - 1, 1)
    for n in np.argsort(ranks)[::-1]:
        color = colormaps["viridis"](0.9 * ranks[n])
        axes.plot([height[n] for height in heights], color=color, lw=1.3, alpha=0.85)
    for place, column in enumerate([*columns, last]):
        _label(axes, place, column, heights[place])
    axes.set_xticks(range(len(heights)), [*names, objective])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.2, len(heights) - 0.6)
    return figure


def _heights(column: Sequence[Any]) -> np.ndarray:
    """Places on an axis from 0 to 1: by rank of choices, by logarithm over decades."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column):
        values = np.array(column, float)
        if values.min() > 0 and values.max() > 8 * values.min():
            values = np.log(values)
    else:
        choices = sorted(set(column), key=str)
        values = np.array([choices.index(value) for value in column], float)
    return (values - values.min()) / (np.ptp(values) or 1.0)


def _label(axes: "Axes", place: int, column: Sequence[Any], heights: np.ndarray) -> None:
    axes.axvline(place, color="#555555", lw=0.8)
    shown: dict[float, Any] = dict(zip(heights.tolist(), column))
    if len(shown) > 4:
        shown = {height: shown[height] for height in (min(shown), max(shown))}
    for height, value in shown.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        axes.annotate(text, (place, height), (3, 2), textcoords="offset points", fontsize=7)


def _importance(shares: Mapping[str, float]) -> "Canvas":
    figure = new_figure(8.0, 0.7 + 0.3 * len(shares))
    axes = figure.subplots()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=_BLUE, height=0.6)
    axes.set_xlim(0, 1)
    return figure
