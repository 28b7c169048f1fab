"""Curves of two phases beside each other: at common steps, as a line of blocks, as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codellama_jax.plotting import STYLE, new_figure, smooth, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

Line = dict[str, Any]
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLORS = ("#2f5d8a", "#c0682b")


def common_curve(first: Sequence[Line], second: Sequence[Line], key: str, rows: int) -> list[Line]:
    """Means of `key` over the same steps of two phases, at `rows` steps at most.

    A row is about the steps behind the row before, up to its own: losses of single steps say little
    when batches are small.
    """
    curves = [
        {line["step"]: line[key] for line in lines if key in line} for lines in (first, second)
    ]
    steps = sorted(curves[0].keys() & curves[1].keys())
    values = []
    for part in np.array_split(np.array(steps), min(rows, len(steps))) if steps else ():
        means = [float(np.mean([curve[step] for step in part.tolist()])) for curve in curves]
        values.append({"step": int(part[-1]), "first": means[0], "second": means[1]})
    return values


def blocks(curves: Sequence[Sequence[Line]], width: int) -> list[str]:
    """Losses as lines of block characters, on the same scales of steps and of loss.

    The one that has fewer steps is shorter.
    """
    last = max((line["step"] for lines in curves for line in lines), default=0)
    if not last:
        return ["" for _ in curves]
    width = min(width, last)
    binned = []
    for lines in curves:
        sums, counts = np.zeros(width), np.zeros(width)
        for line in lines:
            place = min(width - 1, (line["step"] - 1) * width // last)
            sums[place] += line["loss"]
            counts[place] += 1
        binned.append(np.divide(sums, counts, out=np.full(width, np.nan), where=counts > 0))
    known = np.concatenate(binned)
    known = known[np.isfinite(known)]
    if not len(known):
        return ["" for _ in curves]
    low, span = known.min(), np.ptp(known) or 1.0
    return [
        "".join(
            _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] if np.isfinite(value) else " "
            for value in values
        ).rstrip()
        for values in binned
    ]


def loss_figure(panels: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Line]]]]) -> "Canvas":
    """A panel for each pair of phases: title, their labels, their losses raw and smoothed."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = new_figure(8.0, 3.2 * len(panels))
        grid = figure.subplots(len(panels), 1, squeeze=False)
        for axes, (title, labels, curves) in zip(grid.flat, panels):
            axes.set_title(title, fontweight="bold")
            for label, lines, color in zip(labels, curves, _COLORS):
                steps = [line["step"] for line in lines]
                losses = [line["loss"] for line in lines]
                weights = [line.get("tokens", 1) for line in lines]
                smoothed = smooth(losses, weights, len(lines) / 50)
                axes.plot(steps, losses, color=color, lw=0.6, alpha=0.22)
                axes.plot(steps, smoothed, color=color, lw=1.7, label=label)
            axes.set_xlabel("step")
            axes.set_ylabel("loss, nats / token")
            axes.legend(loc="upper right")
        return figure


def write_png(figure: "Canvas", path: str | Path) -> None:
    """The figure as an image."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure.savefig(path, format="png", dpi=150)


def figure_svg(figure: "Canvas") -> str:
    """The figure as an <svg> element."""
    return to_svg(figure, "loss", "Loss against steps of the phases compared")
