"""The report of evaluated checkpoints: their figures beside the paper's, and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codellama_jax.evaluation.comparison.plots import by_length, by_temperature, perplexities
from codellama_jax.evaluation.comparison.results import Evaluated, gather_results, published_rows
from codellama_jax.evaluation.report.blocks import Block, Cell, Figure, Section, Table, Text
from codellama_jax.evaluation.report.files import need_libraries, write_report
from codellama_jax.evaluation.report.plots import retrieval_maps
from codellama_jax.writing import aligned, number, percent, plural

PARTS_OF_ONE = (
    "pass@",
    "exact match",
    "edit similarity",
    "refused",
    "toxic",
    "truthful",
    "insecure",
)


def benchmarks_report(output: str | Path, published: Sequence[str] = ()) -> dict[str, Any]:
    """Writes report.html, report.md and report.json about every checkpoint evaluated into a folder.

    Args:
      output: the folder.
      published: rows of `published.json` to show beside them.

    Returns:
      {checkpoint: {benchmark and temperature: result}}.
    """
    need_libraries()
    models = gather_results(output)
    paper = published_rows(published)
    sections = [
        Section("Results", "results", [_table(models, paper)]),
        Section("pass@k by temperature", "temperature", _temperatures(models)),
        Section("Infilling by length", "infilling", _lengths(models)),
        Section("Perplexity by length", "perplexity", _perplexities(models)),
        Section("Key retrieval", "retrieval", _retrieval(models)),
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for model in models:
        for name, result in model.results.items():
            if "not_run" in result:
                reasons.setdefault((name, result["not_run"]), []).append(model.name)
    missing = [
        f"{name} was not run of {', '.join(where)}: {reason}"
        for (name, reason), where in reasons.items()
    ]
    measured = sum("metrics" in result for model in models for result in model.results.values())
    summary = [f"{plural(measured, 'result')} of {plural(len(models), 'checkpoint')}."]
    results = {model.name: dict(model.results) for model in models}
    scale = ", ".join(f"{model.name}: {model.path}" for model in models)
    kept = [section for section in sections if section.blocks]
    values = {"checkpoints": results, "published": paper}
    write_report(Path(output), "The paper's benchmarks", scale, summary, missing, kept, values)
    return results


def results_text(result: Mapping[str, Any]) -> str:
    """A result's metrics as lines for a terminal."""
    rows = [
        (name, _shown(name, m["value"]), _interval(name, m), f"{m['items']:,} items")
        for name, m in result["metrics"].items()
    ]
    lines = [f"  {line}" for line in aligned(rows)]
    if statuses := result.get("statuses"):
        counted = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
        lines.append(f"  programs: {counted}")
    return "\n".join(lines)


def _table(models: Sequence[Evaluated], paper: Mapping[str, Any]) -> Table:
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    items: dict[tuple[str, str], dict[str, None]] = {}  # ordered
    for model in models:
        for name, result in model.results.items():
            benchmark, _, temperature = name.rpartition("-t")
            for metric, m in result.get("metrics", {}).items():
                own = rows.setdefault((benchmark or name, metric), {})
                if not benchmark or float(temperature) == _temperature(model, benchmark, metric):
                    at = f" at T {temperature}" if benchmark else ""
                    cell = Cell(_shown(metric, m["value"]), _interval(metric, m) + at)
                    own[model.name] = cell
                    items.setdefault((benchmark or name, metric), {})[f"{m['items']:,}"] = None
    for row in paper.values():
        for benchmark, metrics in row.items():
            if any(key[0] == benchmark for key in rows):
                for metric in metrics:
                    rows.setdefault((benchmark, metric), {})
    empty = Cell("–")
    return Table(
        "Mean over a benchmark's items, below it the 95 % interval by bootstrap over them and"
        " the temperature (of several the lowest, and the highest for pass@k above 1); the paper's"
        " figures, from arXiv 2308.12950, have none.",
        [("benchmark", ""), ("metric", ""), ("items", ""), *((m.name, "") for m in models),
         *((name, "paper") for name in paper)],
        [
            [
                Cell(benchmark),
                Cell(metric),
                Cell(" or ".join(items.get((benchmark, metric), "–"))),
                *(own.get(model.name, empty) for model in models),
                *(_paper_cell(row, benchmark, metric) for row in paper.values()),
            ]
            for (benchmark, metric), own in sorted(rows.items(), key=lambda item: item[0][0])
        ],
        labels=2,
    )  # fmt: skip


def _temperature(model: Evaluated, benchmark: str, metric: str) -> float:
    """Of several: as in the paper the lowest for one try, the highest for several."""
    drawn = [t for t, result in model.draws(benchmark).items() if metric in result["metrics"]]
    return max(drawn) if metric.startswith("pass@") and metric != "pass@1" else min(drawn)


def _paper_cell(row: Mapping[str, Any], benchmark: str, metric: str) -> Cell:
    value = row.get(benchmark, {}).get(metric)
    if value is None:
        return Cell("–")
    return Cell(percent(value / 100) if _is_share(metric) else number(value, 1))


def _is_share(metric: str) -> bool:
    return any(part in metric for part in PARTS_OF_ONE) or " at " in metric


def _shown(metric: str, value: float) -> str:
    return percent(value) if _is_share(metric) else number(value, 2)


def _interval(metric: str, m: Mapping[str, Any]) -> str:
    low, high = (_shown(metric, bound).removesuffix(" %") for bound in m["interval"])
    return f"{low} to {high}"


def _temperatures(models: Sequence[Evaluated]) -> list[Block]:
    names = dict.fromkeys(n.rpartition("-t")[0] for m in models for n in m.results)
    several = [n for n in names if n and any(len(m.draws(n)) > 1 for m in models)]
    blocks: list[Block] = []
    for benchmark in several:
        caption = f"{benchmark}: pass@k at each temperature that was drawn at; 0 is greedy."
        svg = by_temperature(models, benchmark, f"temperature-{benchmark}", caption)
        blocks.append(Figure(f"temperature-{benchmark}", caption, svg))
    return blocks


def _lengths(models: Sequence[Evaluated]) -> list[Block]:
    names = dict.fromkeys(
        name for m in models for name, r in m.results.items() if r.get("by_length")
    )
    if not names:
        return []
    caption = "Share of holes filled right, by the length of what is missing, in characters."
    return [Figure("lengths", caption, by_length(models, list(names), "lengths", caption))]


def _perplexities(models: Sequence[Evaluated]) -> list[Block]:
    drawn = [m for m in models if m.results.get("perplexity", {}).get("spans")]
    if not drawn:
        return []
    caption = "Perplexity of the tokens of each span of positions, everything before them in sight."
    rows = [
        [Cell(m.name, color=m.color), Cell(f"{s['from']:,} to {s['to']:,}"),
         Cell(f"{s['documents']:,}"), Cell(number(s["perplexity"])),
         Cell(number(s["bits_per_byte"]))]
        for m in drawn for s in m.results["perplexity"]["spans"]
    ]  # fmt: skip
    heads = [("checkpoint", ""), ("positions", "tokens"), ("documents", ""), ("perplexity", ""),
             ("bits per byte", "up to there")]  # fmt: skip
    return [
        Figure("perplexity", caption, perplexities(drawn, "perplexity", caption)),
        Table("The same as figures.", heads, rows, labels=2),
    ]


def _retrieval(models: Sequence[Evaluated]) -> list[Block]:
    maps = [
        (m.name, m.color, cells)
        for m in models
        if (cells := m.results.get("key_retrieval", {}).get("cells"))
    ]
    if not maps:
        return []
    caption = "Share of two-digit keys found, by length of the prompt and depth of the key in it."
    figure = Figure("retrieval", caption, retrieval_maps(maps, "retrieval", caption))
    return [figure, Text("Guessing finds 1 %.", "small")]
