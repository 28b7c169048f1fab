"""Figures of the report as SVG text, drawn by matplotlib without a display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codellama_jax.evaluation.report.data import PhaseData
from codellama_jax.evaluation.report.positions import Branch
from codellama_jax.plotting import STYLE, new_figure, smooth, to_svg
from codellama_jax.writing import finite, percent, scientific

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TASK_COLORS = ("#b5884c", "#6aa583", "#9a86b8", "#bd7683", "#7f9dbd", "#a5a05a", "#8f8f8f")
WIDTH = 11.0  # inches; the page shows them a little smaller


def curves(phase: PhaseData, points: int = 400) -> dict[str, Any]:
    """A phase's training curves at `points` steps at most: step, loss, smoothed loss, learning
    rate, and for each task the steps that read it and its
    smoothed loss; losses in nats a token."""
    lines = phase.steps
    if not lines:
        return {}
    kept = np.unique(np.linspace(0, len(lines) - 1, min(points, len(lines))).astype(int))
    horizon = len(lines) / 50

    def column(key: str) -> list[float]:
        return [line.get(key, np.nan) for line in lines]

    weights = [line.get("tokens", 1) for line in lines]
    tasks = sorted({task for line in lines for task in line.get("task_loss", {})})
    return {
        "step": [lines[n]["step"] for n in kept],
        "loss": np.asarray(column("loss"))[kept].tolist(),
        "smoothed": smooth(column("loss"), weights, horizon)[kept].tolist(),
        "learning_rate": np.asarray(column("learning_rate"))[kept].tolist(),
        "task_loss": {task: _task_curve(lines, task, points) for task in tasks},
    }


def _task_curve(lines: Sequence[dict[str, Any]], task: str, points: int) -> dict[str, list]:
    """Smoothed loss of a task at those steps that read it."""
    seen = [line for line in lines if finite(line.get("task_loss", {}).get(task))]
    losses = [line["task_loss"][task] for line in seen]
    weights = [line.get("task_tokens", {}).get(task, 1) for line in seen]
    smoothed = smooth(losses, weights, len(seen) / 25)
    kept = np.unique(np.linspace(0, len(seen) - 1, min(points, len(seen))).astype(int))
    return {"step": [seen[n]["step"] for n in kept], "smoothed": smoothed[kept].tolist()}


def loss_curves(phases: Sequence[PhaseData], name: str, label: str) -> str:
    """A panel a phase: loss, raw and smoothed, and per task; the learning rate below it."""
    import matplotlib

    drawn = [(phase, c) for phase in phases if (c := curves(phase))]
    tasks = sorted({task for _, c in drawn for task in c["task_loss"]})
    sources = sorted({task.removesuffix("_infill") for task in tasks})
    by_source = dict(zip(sources, TASK_COLORS * len(sources)))
    colors = {task: by_source[task.removesuffix("_infill")] for task in tasks}
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 3.4 * rows)
        grid = figure.subfigures(rows, columns, squeeze=False)
        for part, (phase, curve) in zip(grid.flat, drawn):
            top, bottom = part.subplots(2, 1, sharex=True, height_ratios=(4, 1))
            top.set_title(phase.name, color=phase.color, fontweight="bold")
            for task, own in curve["task_loss"].items():
                top.plot(own["step"], own["smoothed"], color=colors[task], lw=1.0, label=task)
            top.plot(curve["step"], curve["loss"], color=phase.color, lw=0.6, alpha=0.22)
            top.plot(curve["step"], curve["smoothed"], color=phase.color, lw=1.8, label="all")
            _limit_to_smoothed(top, curve)
            top.set_ylabel("loss, nats / token", labelpad=7)
            handles, names = top.get_legend_handles_labels()
            top.legend(handles[::-1], names[::-1], loc="upper right", handlelength=1.4,
                       labelspacing=0.25)  # fmt: skip
            bottom.plot(curve["step"], curve["learning_rate"], color="#666666", lw=1.1)
            bottom.set_ylim(bottom=0)
            peak = max((v for v in curve["learning_rate"] if finite(v)), default=0)
            if peak > 0:
                bottom.set_yticks([0, peak], ["0", scientific(peak)])
            bottom.set_ylabel("rate", labelpad=7)
            bottom.set_xlabel("step")
            part.align_ylabels()
        return to_svg(figure, name, label)


def _limit_to_smoothed(axes: "Axes", curve: dict[str, Any]) -> None:
    """The raw curve's spikes may leave the panel: the smoothed ones are what is compared."""
    lines = [curve["smoothed"], *(own["smoothed"] for own in curve["task_loss"].values())]
    values = np.array([value for line in lines for value in line if finite(value)])
    if len(values):
        low, high = values.min(), values.max()
        margin = 0.06 * (high - low) or 0.5
        axes.set_ylim(low - margin, high + margin)


def loss_by_position(branch: Branch, name: str, label: str) -> str:
    """Loss against position of every reading of a branch, with the standard error as a band."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.0, 4.4)
        axes = figure.subplots()
        for reading in branch.readings:
            ends = np.asarray(reading.result["positions"])
            middles = ends - np.diff(ends, prepend=0) / 2
            loss = np.asarray(reading.result["loss"])
            error = np.asarray(reading.result["standard_error"])
            color = reading.phase.color
            style = "-" if reading.own_base else (0, (4, 2))
            marker = "o" if reading.own_base else "s"
            axes.fill_between(middles, loss - error, loss + error, color=color, alpha=0.07, lw=0)
            axes.plot(middles, loss, color=color, ls=style, lw=1.7, marker=marker, ms=3.2,
                      mfc=color if reading.own_base else "white", label=reading.label)  # fmt: skip
        bounds = {branch.length: f"{branch.parent.name} was trained to {branch.length:,}"}
        if "unseen" in branch.regions:
            bounds[branch.longest] = f"the others to {branch.longest:,}"
        for position, text in bounds.items():
            axes.axvline(position, color="#333333", lw=0.9, ls=(0, (1, 2)))
            axes.annotate(text, (position, 1.0), xycoords=("data", "axes fraction"), va="top",
                          xytext=(4, 0), textcoords="offset points",
                          fontsize=8, color="#333333")  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_xlabel("position in the document, tokens (middle of a span)")
        axes.set_ylabel("loss, nats / token")
        axes.grid(axis="y", color="#e4e4e4", lw=0.6)
        figure.legend(loc="outside right center")
        return to_svg(figure, name, label)


def retrieval_maps(
    models: Sequence[tuple[str, str, Sequence[dict[str, Any]]]], name: str, label: str
) -> str:
    """Share of keys found, length × depth: a map for each (name, colour, cells)."""
    import matplotlib

    columns = min(6, len(models))
    rows = -(-len(models) // columns)
    with matplotlib.rc_context({**STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure = new_figure(WIDTH, 2.1 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(models) :]:
            axes.set_visible(False)
        for axes, (title, color, cells) in zip(grid.flat, models):
            lengths = sorted({cell["length"] for cell in cells})
            depths = sorted({cell["depth"] for cell in cells})
            values = np.full((len(depths), len(lengths)), np.nan)
            for cell in cells:
                place = depths.index(cell["depth"]), lengths.index(cell["length"])
                values[place] = cell["accuracy"]
            axes.pcolormesh(values, cmap="Blues", vmin=0, vmax=1, edgecolors="#999999", lw=0.6)
            axes.invert_yaxis()
            for (row, column), value in np.ndenumerate(values):
                axes.text(column + 0.5, row + 0.5, percent(value, 0), ha="center", va="center",
                          fontsize=8, color="white" if value > 0.6 else "#222222")  # fmt: skip
            axes.set_xticks(np.arange(len(lengths)) + 0.5, [f"{n:,}" for n in lengths])
            axes.set_yticks(np.arange(len(depths)) + 0.5, [f"{d:g}" for d in depths])
            axes.tick_params(length=0)
            axes.set_title(title, color=color, fontweight="bold", fontsize=8.5)
            axes.set_xlabel("tokens")
        for axes in grid[:, 0]:
            axes.set_ylabel("depth of the key")
        return to_svg(figure, name, label)
