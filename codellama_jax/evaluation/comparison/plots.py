"""Figures of the benchmarks' report as SVG text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codellama_jax.evaluation.comparison.results import Evaluated
from codellama_jax.plotting import STYLE, new_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 9.0
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def by_temperature(models: Sequence[Evaluated], benchmark: str, name: str, label: str) -> str:
    """pass@k against temperature; a colour a checkpoint, a dash a k."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 3.8)
        axes = figure.subplots()
        for model in models:
            draws = dict(sorted(model.draws(benchmark).items()))
            ks = [m for m in dict.fromkeys(m for r in draws.values() for m in r["metrics"])
                  if m.startswith("pass@")]  # fmt: skip
            for k, dash in zip(ks, _DASHES):
                points = [
                    (t, 100 * r["metrics"][k]["value"])
                    for t, r in draws.items()
                    if k in r["metrics"]
                ]
                axes.plot(*zip(*points), color=model.color, ls=dash, marker="o", ms=3.5, lw=1.6,
                          label=f"{model.name} {k}")  # fmt: skip
        axes.set_xlabel("temperature")
        axes.set_ylabel("per cent of problems")
        axes.set_ylim(0, max(1, axes.get_ylim()[1]))
        figure.legend(loc="outside right center", handlelength=3.2)
        return to_svg(figure, name, label)


def by_length(
    models: Sequence[Evaluated], names: Sequence[str], figure_name: str, label: str
) -> str:
    """pass@1 (full) and exact match (dashed) by characters missing, a panel a benchmark."""
    import matplotlib

    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 2.9 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        panels = list(zip(grid.flat, names))
        highest = max(_spans_of_holes(axes, models, name) for axes, name in panels)
        for axes, _ in panels:
            axes.set_ylim(0, min(100, 1.08 * max(1, highest)))
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.2)
        return to_svg(figure, figure_name, label)


def _spans_of_holes(axes: "Axes", models: Sequence[Evaluated], name: str) -> float:
    """A panel of `by_length`; gives its highest value."""
    spans = [model.results.get(name, {}).get("by_length", []) for model in models]
    holes = {span["from"]: span["items"] for own in spans for span in own}
    starts = sorted(holes)
    for model, own in zip(models, spans):
        for metric, dash in (("pass@1", "-"), ("exact match", _DASHES[1])):
            axes.plot([starts.index(span["from"]) for span in own],
                      [100 * span[metric] for span in own], color=model.color, ls=dash,
                      marker="o", ms=3, lw=1.5, label=f"{model.name} {metric}")  # fmt: skip
    ends = [*(f"to {start - 1}" for start in starts[1:]), "on"]
    words = [f"{n} {end}\n{holes[n]:,} holes" for n, end in zip(starts, ends)]
    axes.set_xticks(range(len(starts)), words)
    axes.set_title(name.removesuffix("-t0"))
    axes.set_xlabel("characters missing")
    axes.set_ylabel("per cent")
    return max(100 * max(s["pass@1"], s["exact match"]) for own in spans for s in own)


def perplexities(models: Sequence[Evaluated], name: str, label: str) -> str:
    """Perplexity against position, both logarithmic."""
    import matplotlib
    from matplotlib.ticker import LogLocator

    with matplotlib.rc_context(STYLE):
        figure = new_figure(WIDTH, 3.8)
        axes = figure.subplots()
        for model in models:
            spans = model.results["perplexity"]["spans"]
            axes.plot([s["to"] for s in spans], [s["perplexity"] for s in spans], lw=1.7,
                      color=model.color, marker="o", ms=3.5, label=model.name)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ends = sorted({s["to"] for model in models for s in model.results["perplexity"]["spans"]})
        axes.set_xticks(ends, [f"{end:,}" for end in ends])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_xlabel("end of the span of positions, tokens")
        axes.set_ylabel("perplexity")
        axes.grid(axis="y", color="#e4e4e4", lw=0.6)
        figure.legend(loc="outside right center")
        return to_svg(figure, name, label)
