"""Figures drawn by matplotlib without a display, as SVG text; what every figure looks like."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from codellama_jax.writing import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#333333",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
}


def new_figure(width: float, height: float) -> "Canvas":
    """An empty figure, sizes in inches, that belongs to no window."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: "Canvas", name: str, label: str) -> str:
    """The figure as an <svg> element that scales with the page; ids are unique by `name`."""
    import html

    import matplotlib

    buffer = io.StringIO()
    none = {key: None for key in ("Creator", "Date", "Format", "Type")}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=none, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    width = re.search(r'width="([\d.]+)pt"', svg)[1]
    svg = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", svg, count=1)
    # Every figure has a figure_1, an axes_1 and so on; on one page ids must differ.
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", svg)
    svg = svg.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    opening = f'<svg role="img" aria-label="{html.escape(label, quote=True)}"'
    return svg.replace("<svg", f'{opening} style="width:100%;max-width:{width}pt"', 1)


def smooth(values: Sequence[float], weights: Sequence[float], horizon: float) -> np.ndarray:
    """Exponential mean over about `horizon` entries, weighted; entries without weight are skipped.

    Returns an array of the same length, nan before the first entry with a weight.
    """
    decay = 1 - 1 / max(horizon, 1.0)
    total = weight = 0.0
    out = np.full(len(values), np.nan)
    for n, (value, w) in enumerate(zip(values, weights)):
        w = w if finite(value) else 0.0
        total = decay * total + (w * value if w else 0.0)
        weight = decay * weight + w
        if weight > 0:
            out[n] = total / weight
    return out
