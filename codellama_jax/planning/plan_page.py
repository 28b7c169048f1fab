"""A plan as one HTML page that opens offline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.pages import rendered
from codellama_jax.planning.plan_text import (
    WORDS,
    options_lines,
    problem_lines,
    slice_line,
    summary,
    tables,
)


def plan_page(result: Mapping[str, Any]) -> str:
    """The page's HTML. Raises UserError without jinja2 and matplotlib."""
    try:
        from codellama_jax.planning.plan_plots import memory_figure, scaling_figure, time_figure

        phases = result["phases"]
        fitting = [phase for phase in phases if phase["fits"]]
        figures = {
            "memory, GiB a device": memory_figure(phases) if phases else "",
            "a step": time_figure(fitting) if fitting else "",
        }
        if any(row["fits"] for row in result["scaling"]):
            title = f"scaling of {result['scaling'][0]['name']}"
            figures[title] = scaling_figure(result["scaling"])
        template = Path(__file__).with_name("plan_template.html")
        return rendered(
            template,
            name=result["topology"]["name"],
            line=slice_line(result["topology"]),
            summary=summary(result),
            options=[*options_lines(phases), *problem_lines(result)],
            tables=list(tables(result)),
            figures=figures,
            refused=[phase for phase in phases if not phase["fits"]],
            words=WORDS,
        )
    except ImportError as error:
        raise UserError(
            f"plan.html needs jinja2 and matplotlib: pip install 'codellama-jax[eval]' ({error})"
        ) from error
