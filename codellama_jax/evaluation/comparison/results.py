"""The results of evaluated checkpoints, gathered from their files, beside the paper's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.evaluation.benchmarks import BENCHMARKS
from codellama_jax.evaluation.benchmarks.multipl_e import TITLES
from codellama_jax.evaluation.passk import bootstrap_interval
from codellama_jax.evaluation.report.data import COLORS

LANGUAGES = "multipl_e"


@dataclass(frozen=True)
class Evaluated:
    """A checkpoint's results: {"humaneval-t0": {"metrics", …}}, in the registry's order."""

    name: str
    color: str
    path: str
    results: Mapping[str, dict[str, Any]]

    def draws(self, benchmark: str) -> dict[float, dict[str, Any]]:
        """A benchmark's results by temperature."""
        parts = [(name.rpartition("-t"), result) for name, result in self.results.items()]
        return {
            float(temperature): result
            for (name, _, temperature), result in parts
            if name == benchmark and "metrics" in result
        }


def gather_results(output: str | Path) -> list[Evaluated]:
    """Every checkpoint evaluated into the folder; raises UserError when there is none."""
    files = sorted(Path(output).glob("*/checkpoint.json"))
    if not files:
        raise UserError(f"no evaluated checkpoint in {output}")
    found = []
    for number, file in enumerate(files):
        paths = (file.parent / "results").glob("*.json")
        results = {path.stem: json.loads(path.read_text()) for path in paths}
        ordered = sorted(results, key=lambda name: (_place(name), name))
        color = COLORS[number % len(COLORS)]
        path = json.loads(file.read_text())["path"]
        whole = {name: results[name] for name in ordered}
        found.append(Evaluated(file.parent.name, color, path, {**whole, **_mean_language(whole)}))
    return found


def _place(name: str) -> int:
    """Of a result, "humaneval-t0.8" or "perplexity", in the registry's order."""
    order = [*BENCHMARKS]
    benchmark = name if name in order else name.rpartition("-t")[0]
    return order.index(benchmark) if benchmark in order else len(order)


def published_rows(names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """The paper's figures of models by name, in per cent; raises UserError for an unknown one."""
    known = json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))
    for name in names:
        if name not in known:
            raise UserError(f"the paper has no row {name!r}: take one of {', '.join(known)}")
    return {name: known[name] for name in names}


def _mean_language(results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """MultiPL-E's mean over its languages, where all of them were run greedily."""
    own = [results.get(f"{LANGUAGES}_{language}-t0", {}) for language in TITLES]
    values = [result.get("metrics", {}).get("pass@1", {}).get("value") for result in own]
    if None in values:
        return {}
    metric = {"value": sum(values) / len(values), "interval": list(bootstrap_interval(values))}
    return {f"{LANGUAGES}-t0": {"metrics": {"pass@1": {**metric, "items": len(values)}}}}
