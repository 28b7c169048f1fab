"""The graph of phases as a drawing: a box a phase, an arrow from each parent to each child."""

from typing import Any

from codellama_jax.evaluation.report.data import RunData, is_control
from codellama_jax.plotting import STYLE, new_figure, to_svg
from codellama_jax.writing import count, scientific

BOX = (2.95, 1.12)  # inches, width and height
GAP = (0.55, 0.28)
PALE = "#9a9a9a"


def phase_graph(run: RunData, name: str, label: str) -> str:
    """The drawing, ancestors left of their descendants."""
    import matplotlib
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    settings = {phase.name: phase.settings for phase in run.phases.values()}
    settings.update({name: fields for name, fields in run.untrained.items()})
    places = _places(settings)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    width = columns * BOX[0] + (columns - 1) * GAP[0] + 0.1
    height = rows * BOX[1] + (rows - 1) * GAP[1] + 0.1
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, height)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")

        def corner(node: str) -> tuple[float, float]:
            column, row = places[node]
            return 0.05 + column * (BOX[0] + GAP[0]), 0.05 + row * (BOX[1] + GAP[1])

        for node, fields in settings.items():
            x, y = corner(node)
            phase = run.phases.get(node)
            color = phase.color if phase else PALE
            dashed = is_control(fields) or not phase
            axes.add_patch(
                FancyBboxPatch(
                    (x + 0.06, y + 0.06), BOX[0] - 0.12, BOX[1] - 0.12,
                    boxstyle="round,pad=0.06,rounding_size=0.07", facecolor="#fdfdfc",
                    edgecolor=color, linewidth=1.5, linestyle=(0, (4, 2)) if dashed else "-",
                )
            )  # fmt: skip
            axes.text(x + 0.13, y + 0.25, node, color=color, fontsize=10, fontweight="bold")
            tag = "not trained" if not phase else "control" if phase.control else ""
            axes.text(x + BOX[0] - 0.13, y + 0.25, tag, ha="right", fontsize=8, style="italic",
                      color="#555555")  # fmt: skip
            lines = _lines(fields, phase.step if phase else None, phase.rates if phase else {})
            for n, line in enumerate(lines):
                axes.text(x + 0.13, y + 0.48 + 0.175 * n, line, fontsize=7.6,
                          color="#333333" if phase else PALE)  # fmt: skip
            parent = fields.get("parent")
            if parent in places:
                px, py = corner(parent)
                right, turn, level = px + BOX[0], px + BOX[0] + 0.45 * GAP[0], y + BOX[1] / 2
                from_level = py + BOX[1] / 2
                axes.plot((right, turn, turn), (from_level, from_level, level), color="#555555",
                          lw=1.1, solid_joinstyle="round")  # fmt: skip
                axes.add_patch(
                    FancyArrowPatch(
                        (turn, level), (x, level), arrowstyle="-|>", mutation_scale=11,
                        color="#555555", linewidth=1.1, shrinkA=0, shrinkB=1,
                    )
                )  # fmt: skip
        return to_svg(figure, name, label)


def _places(settings: dict[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Column (generation) and row of each phase; a first child stands in its parent's row."""
    children: dict[str | None, list[str]] = {}
    for name, fields in settings.items():
        parent = fields.get("parent")
        children.setdefault(parent if parent in settings else None, []).append(name)
    places: dict[str, tuple[int, int]] = {}
    free = 0

    def place(name: str, column: int) -> None:
        nonlocal free
        places[name] = (column, free)
        # Those that are continued come first, so that lines of descent run straight.
        for n, child in enumerate(sorted(children.get(name, []), key=lambda c: c not in children)):
            if n:
                free += 1
            place(child, column + 1)

    for n, root in enumerate(children.get(None, [])):
        if n:
            free += 1
        place(root, 0)
    return places


def _lines(fields: dict[str, Any], step: int | None, rates: dict[str, float]) -> list[str]:
    steps, length = fields.get("steps", 0), fields.get("sequence_length", 0)
    done = steps if step is None else step
    infilled = any(task.endswith("_infill") for task in rates)
    of = "" if done == steps else f" of {steps:,}"
    tokens = done * fields.get("batch_size", 0) * length
    lines = [
        f"{done:,}{of} steps, {count(tokens)} tokens",
        f"sequence {length:,}, rotary base {scientific(fields.get('rope_base', 0.0))}",
        fields.get("mixture", "") + (", infilling" if infilled else ""),
    ]
    if rates:
        shares = sorted(rates.items(), key=lambda item: -item[1])
        total = sum(rates.values())
        parts = [f"{task.removesuffix('_infill')} {100 * r / total:.3g}" for task, r in shares]
        lines.append(" · ".join(parts) + " %")
    return lines
