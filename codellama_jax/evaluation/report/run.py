"""The report of a run: one HTML file that opens offline, the same as Markdown, and as JSON."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin

from codellama_jax.evaluation.report.corpus import corpus_section, settings_section
from codellama_jax.evaluation.report.data import RunData, gather
from codellama_jax.evaluation.report.examples import (
    infilling_section,
    programs_section,
    samples_section,
)
from codellama_jax.evaluation.report.files import finite_values, need_libraries, write_report
from codellama_jax.evaluation.report.instruct import instruct_section
from codellama_jax.evaluation.report.plots import curves
from codellama_jax.evaluation.report.positions import Branch, branches
from codellama_jax.evaluation.report.sections import (
    long_context_section,
    mean_retrieval,
    phases_section,
    results_section,
    retrieval_section,
    training_section,
)
from codellama_jax.evaluation.report.summary import scale, summary


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
    need_libraries()
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
        instruct_section(run),
        infilling_section(run),
        samples_section(run),
        programs_section(run),
        corpus_section(run),
        settings_section(run),
    ]
    values = machine_readable(run, grown, sentences, missing)
    return write_report(
        Path(run_dir), f"Run {run.name}", scale(run), sentences, missing, sections, values
    )


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
    return finite_values(
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
