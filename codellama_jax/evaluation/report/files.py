"""Writing a report: HTML that opens offline, Markdown with its figures, JSON."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.evaluation.report.blocks import Section, Text
from codellama_jax.evaluation.report.markdown import figures, markdown
from codellama_jax.pages import page_environment

FILES = "report_files"


def need_libraries() -> None:
    """Raises UserError when what draws reports is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the report needs {error.name}: pip install 'codellama-jax[eval]'"
        ) from error


def write_report(
    folder: Path,
    title: str,
    scale: str,
    summary: Sequence[str],
    missing: Sequence[str],
    sections: Sequence[Section],
    values: Any,
) -> dict[str, str]:
    """Writes report.html, report.md with figures in report_files/, and report.json.

    Args:
      folder: where.
      title, scale: heading, and the line below it.
      summary: sentences.
      missing: sentences on what could not be shown.
      sections: the rest.
      values: of the JSON; what is not finite becomes null.

    Returns:
      {"html", "markdown", "json": path of each file}.
    """
    template = Path(__file__).with_name("template.html").read_text(encoding="utf-8")
    environment = page_environment()
    environment.tests["kind"] = lambda block, name: type(block).__name__ == name
    environment.filters["commands"] = _commands
    page = environment.from_string(template).render(
        title=title, scale=scale, summary=summary, missing=missing, sections=sections
    )
    notes = [Section("What is missing", "missing", [Text(text, "missing") for text in missing])]
    text = markdown(title, scale, summary, [*(notes if missing else []), *sections], FILES)

    (folder / FILES).mkdir(exist_ok=True)
    for figure in figures([block for section in sections for block in section.blocks]):
        (folder / FILES / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
    paths = {"html": folder / "report.html", "markdown": folder / "report.md"}
    paths["json"] = folder / "report.json"
    paths["html"].write_text(page, encoding="utf-8", errors="replace")
    paths["markdown"].write_text(text, encoding="utf-8", errors="replace")
    paths["json"].write_text(json.dumps(finite_values(values), indent=1, allow_nan=False) + "\n")
    for kind, path in paths.items():
        print(f"{kind:<9} {path}")
    return {kind: str(path) for kind, path in paths.items()}


def finite_values(value: Any) -> Any:
    """JSON values; null stands for what is not finite."""
    if isinstance(value, dict):
        return {str(key): finite_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _commands(text: str) -> str:
    """Escaped text, what stands between `backticks` as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))
