"""Figures of a plan: what fills the memory, what a step's time goes to, how it scales."""

from collections.abc import Mapping, Sequence
from typing import Any

from codellama_jax.plotting import STYLE, new_figure, to_svg
from codellama_jax.writing import count

Planned = Mapping[str, Any]
GIB = 2**30
_COLORS = ("#3b6ea5", "#d08a3c", "#6a9a58", "#a5504b", "#7b6ba8", "#8c8c84", "#4f9d9d", "#c3a23f")


def memory_figure(phases: Sequence[Planned]) -> str:
    """A bar for each phase: what a device keeps, by arithmetic, the room to work in, the limit."""
    bars = []
    for phase in phases:
        parts = {kind: size / GIB for kind, size in phase["held"].items() if kind != "all"}
        if phase["fits"]:
            room = phase["memory"]["peak"] - phase["held"]["all"]
            parts["working room"] = max(room, 0) / GIB
        bars.append((phase["name"], parts))
    limit = phases[0]["device_bytes"] / GIB
    return _stacked(bars, "GiB a device", "plan-memory", "memory of a device", limit)


def time_figure(phases: Sequence[Planned]) -> str:
    """A bar for each phase: the parts of its step's time."""
    bars = [(phase["name"], phase["parts"]) for phase in phases]
    return _stacked(bars, "seconds a step", "plan-time", "parts of a step's time", None)


def scaling_figure(rows: Sequence[Planned]) -> str:
    """Tokens a second over chips, beside what the first slice would give without any loss, and
    what of it a chip keeps."""
    import matplotlib

    rows = sorted((row for row in rows if row["fits"]), key=lambda row: row["chips"])
    chips = [row["chips"] for row in rows]
    rates = [row["tokens_per_second"] for row in rows]
    alone = [row["tokens_per_second_per_chip"] for row in rows]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.6, 3.2)
        left, right = figure.subplots(1, 2)
        ideal = [rates[0] * n / chips[0] for n in chips]
        left.plot(chips, ideal, "--", color=_COLORS[5], linewidth=0.9, label="without loss")
        left.plot(chips, rates, "o-", color=_COLORS[0], label="estimated")
        left.set_yscale("log")
        left.set_ylabel("tokens a second")
        left.legend()
        right.plot(chips, alone, "o-", color=_COLORS[0])
        right.set_ylim(0, 1.1 * max(alone))
        right.set_ylabel("tokens a second of a chip")
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(chips, [f"{n:,}" for n in chips])
            axes.minorticks_off()
            axes.yaxis.set_major_formatter(lambda value, _: count(value))
            axes.set_xlabel("chips")
    return to_svg(figure, "plan-scaling", "tokens a second over chips")


def _stacked(
    bars: Sequence[tuple[str, Mapping[str, float]]],
    unit: str,
    name: str,
    label: str,
    limit: float | None,
) -> str:
    import matplotlib

    kinds = list(dict.fromkeys(kind for _, parts in bars for kind in parts))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.6, 0.9 + 0.42 * len(bars))
        axes = figure.subplots()
        places = range(len(bars))
        left = [0.0] * len(bars)
        for n, kind in enumerate(kinds):
            widths = [parts.get(kind, 0.0) for _, parts in bars]
            axes.barh(places, widths, left=left, height=0.62, color=_COLORS[n % len(_COLORS)],
                      label=kind)  # fmt: skip
            left = [start + width for start, width in zip(left, widths)]
        for place, end in zip(places, left):
            axes.annotate(
                f"{end:.3g}", (end, place), xytext=(4, 0), textcoords="offset points", va="center"
            )
        if limit is not None:
            axes.axvline(limit, color="#1d1d1b", linewidth=1.0, linestyle="--",
                         label=f"{limit:.4g}, what a program can have")  # fmt: skip
        axes.set_yticks(places, [bar for bar, _ in bars])
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        figure.legend(loc="outside upper left", ncols=6)
    return to_svg(figure, name, label)
