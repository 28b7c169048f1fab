"""The report of a run: one HTML file that opens offline, the same as Markdown, and as JSON."""

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.report_blocks import Section, Text
from codellama_jax.evaluation.report_corpus import corpus_section, settings_section
from codellama_jax.evaluation.report_data import RunData, gather
from codellama_jax.evaluation.report_examples import (
    infilling_section,
    programs_section,
    samples_section,
)
from codellama_jax.evaluation.report_markdown import figures, markdown
from codellama_jax.evaluation.report_plots import curves
from codellama_jax.evaluation.report_positions import Branch, branches
from codellama_jax.evaluation.report_sections import (
    long_context_section,
    mean_retrieval,
    phases_section,
    results_section,
    retrieval_section,
    training_section,
)
from codellama_jax.evaluation.report_summary import scale, summary

FILES = "report_files"


@gin.configurable
def report(run_dir: str = gin.REQUIRED, corpus: str = gin.REQUIRED) -> dict[str, str]:
    """Writes report.html, report.md with figures in report_files/, and report.json.

    A run of which only some phases are trained or evaluated has a report too, which says what is
    missing.

    Args:
      run_dir: of `train`, evaluated by `evaluate`.
      corpus: directory of the prepared corpus it was trained on.

    Returns:
      {"html", "markdown", "json": path of each file}.

    Raises:
      UserError: no run, evaluation or corpus there, or jinja2 or matplotlib not installed.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the report needs {error.name}: pip install 'codellama-jax[eval]'"
        ) from error
    run = gather(run_dir, corpus)
    grown = branches(run)
    sentences = summary(run, grown)
    missing = run.missing()
    sections = [
        phases_section(run),
        results_section(run),
        training_section(run),
        long_context_section(run, grown),
        retrieval_section(run),
        infilling_section(run),
        samples_section(run),
        programs_section(run),
        corpus_section(run),
        settings_section(run),
    ]
    title = f"Run {run.name}"
    template = (Path(__file__).parent / "report_template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests["kind"] = lambda block, name: type(block).__name__ == name
    environment.filters["commands"] = _commands
    page = environment.from_string(template).render(
        title=title, scale=scale(run), summary=sentences, missing=missing, sections=sections
    )
    notes = [Section("What is missing", "missing", [Text(text, "missing") for text in missing])]
    text = markdown(title, scale(run), sentences, [*(notes if missing else []), *sections], FILES)

    folder = Path(run_dir)
    (folder / FILES).mkdir(exist_ok=True)
    for figure in figures([block for section in sections for block in section.blocks]):
        (folder / FILES / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
    paths = {"html": folder / "report.html", "markdown": folder / "report.md"}
    paths["json"] = folder / "report.json"
    paths["html"].write_text(page, encoding="utf-8", errors="replace")
    paths["markdown"].write_text(text, encoding="utf-8", errors="replace")
    values = machine_readable(run, grown, sentences, missing)
    paths["json"].write_text(json.dumps(values, indent=1, allow_nan=False) + "\n")
    for kind, path in paths.items():
        print(f"{kind:<9} {path}")
    return {kind: str(path) for kind, path in paths.items()}


def machine_readable(
    run: RunData, grown: Sequence[Branch], sentences: Sequence[str], missing: Sequence[str]
) -> dict[str, Any]:
    """Everything the report shows, as JSON values; null stands for what is not finite."""
    phases = {}
    for phase in run.phases.values():
        phases[phase.name] = {
            "settings": phase.settings,
            "lineage": [entry["phase"] for entry in phase.lineage],
            "control": phase.control,
            "seed": phase.lineage[-1]["seed"],
            "code_version": phase.lineage[-1]["code_version"],
            "step": phase.step,
            "complete": phase.complete,
            "tokens": phase.tokens,
            "trained_length": phase.trained_length,
            "parameters": phase.parameters,
            "model": phase.record["model"],
            "mixture_rates": phase.rates,
            "tokens_per_second": phase.median("tokens_per_second"),
            "model_flops_per_second": phase.median("model_flops_per_second"),
            "data_wait": phase.median("data_wait"),
            "key_retrieval_mean": mean_retrieval(phase),
            "training": curves(phase),
            "evaluation": phase.evaluation,
        }
    return _finite(
        {
            "run": run.name,
            "run_dir": run.directory,
            "summary": list(sentences),
            "missing": list(missing),
            "phases": phases,
            "untrained": run.untrained,
            "compression": run.compression,
            "long_context": [_branch_values(branch) for branch in grown],
            "corpus": {"directory": run.corpus, **run.manifest},
        }
    )


def _branch_values(branch: Branch) -> dict[str, Any]:
    def regions(estimates: dict) -> dict[str, Any]:
        return {region: dataclasses.asdict(value) for region, value in estimates.items()}

    return {
        "parent": branch.parent.name,
        "trained_length": branch.length,
        "paired": branch.paired,
        "sentences": branch.sentences,
        "readings": [
            {
                "phase": reading.phase.name,
                "rope_base": reading.rope_base,
                "own_base": reading.own_base,
                **regions(branch.estimates(reading)),
            }
            for reading in branch.readings
        ],
        "contrasts": [
            {
                "what": contrast.what,
                "before": [contrast.before.phase.name, contrast.before.rope_base],
                "after": [contrast.after.phase.name, contrast.after.rope_base],
                **regions(contrast.differences),
            }
            for contrast in branch.contrasts
        ],
    }


def _commands(text: str) -> str:
    """Escaped text, what stands between `backticks` as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
