"""The report's sections on what the checkpoints wrote: infills, samples, programs."""

from collections import Counter
from typing import Any

from codellama_jax.evaluation.report.blocks import (
    Block,
    Cell,
    Fold,
    Gallery,
    Listing,
    Section,
    Table,
    Text,
    printable,
)
from codellama_jax.evaluation.report.data import PhaseData, RunData
from codellama_jax.evaluation.report.sections import phase_cell
from codellama_jax.evaluation.report.summary import interval_or_count
from codellama_jax.writing import percent, plural

CONTEXT_LINES = (7, 4)  # shown of a hole's prefix and suffix
LINES = 24  # shown of what a model wrote


def infilling_section(run: RunData) -> Section:
    """Hits and misses of each phase, those of the best opened."""
    scored = [phase for phase in run.evaluated if phase.evaluation.get("infilling")]
    section = Section("Infilling", "infilling")
    if not scored:
        section.blocks.append(Text("Infilling was not measured.", "missing"))
        return section
    section.blocks.append(
        Text(
            "Single lines taken out of held-out documents. Grey: what the model was given, around"
            " the hole; green: an exact match; red: another line, with the expected one beneath."
        )
    )

    def matched(phase: PhaseData) -> float:
        return sum(r["exact_match"] for r in phase.evaluation["infilling"].values())

    best = max(scored, key=matched)
    for phase in scored:
        blocks: list[Block] = []
        for name, result in phase.evaluation["infilling"].items():
            listings = [_infill_listing(name, example) for example in _distinct(result)]
            blocks.append(Gallery(listings))
        shares = ", ".join(
            f"{name.upper()} {percent(result['exact_match'])}"
            for name, result in phase.evaluation["infilling"].items()
        )
        section.blocks.append(Fold(f"{phase.name}: {shares}", blocks, opened=phase is best))
    return section


def samples_section(run: RunData) -> Section:
    """The same prompts, continued by each phase."""
    section = Section("Samples", "samples")
    by_prompt: dict[tuple[str, ...], list[Listing]] = {}
    for phase in run.evaluated:
        written = phase.evaluation.get("samples", {})
        for item in written.get("completions", []):
            parts = [("context", printable(item["prompt"])), *_new(item["text"])]
            _add(by_prompt, ("Completion of", item["prompt"]), phase, parts)
        for item in written.get("infills", []):
            parts = [
                ("context", printable(item["prefix"])),
                *_new(item["text"]),
                ("context", printable(item["suffix"])),
            ]
            _add(by_prompt, ("Infill of", item["prefix"], item["suffix"]), phase, parts)
        for item in written.get("answers", []):
            _add(by_prompt, ("Answer to", item["question"]), phase, _new(item["text"]))
    if not by_prompt:
        section.blocks.append(Text("No samples were drawn.", "missing"))
        return section
    section.blocks.append(
        Text("Greedy, the same prompt for every phase. Grey: given; black: written by the model.")
    )
    for key, listings in by_prompt.items():
        title = f"{key[0]}: {_first_line(key[1])}"
        section.blocks.append(Fold(title, [Gallery(listings)], opened=True))
    return section


def programs_section(run: RunData) -> Section:
    """How the generated programs ended, and why they were not run where they were not."""
    section = Section("Programs", "programs")
    results = {
        phase: phase.evaluation["programs"]
        for phase in run.evaluated
        if phase.evaluation.get("programs")
    }
    if not results:
        section.blocks.append(Text("Programs were not measured.", "missing"))
    reasons: dict[str, list[str]] = {}
    for phase, result in results.items():
        if "not_run" in result:
            reasons.setdefault(result["not_run"], []).append(phase.name)
    for reason, names in reasons.items():
        section.blocks.append(Text(f"Not run for {', '.join(names)}: {reason}.", "missing"))
    ran = {phase: result for phase, result in results.items() if "statuses" in result}
    if not ran:
        return section
    statuses = sorted({status for result in ran.values() for status in result["statuses"]})
    columns = [("phase", ""), ("pass@1", ""), ("95 % interval", ""), ("programs", "")]
    columns += [(status, "programs") for status in statuses]
    columns += [("most common failure", "")]
    rows = []
    for phase, result in ran.items():
        rows.append(
            [
                phase_cell(phase),
                Cell(percent(result.get("pass@1"))),
                Cell(_interval(result)),
                Cell(f"{result.get('samples', 0):,}"),
                *[Cell(f"{result['statuses'].get(status, 0):,}") for status in statuses],
                Cell(_common_failure(result)),
            ]
        )
    problems = max(len(result.get("problems", [])) for result in ran.values())
    caption = (
        f"How the programs of {plural(problems, 'problem')} ended: prompt, completion cut at the"
        " end of its function, and tests, run in the sandbox."
    )
    section.blocks.append(Table(caption, columns, rows))
    solved = [
        f"{phase.name}: {', '.join(names)}"
        for phase, result in ran.items()
        if (names := [p["task_id"] for p in result.get("problems", []) if p["passed"]])
    ]
    text = "Problems solved. " + "; ".join(solved) if solved else "No problem was solved"
    section.blocks.append(Text(f"{printable(text)}.", "small"))
    return section


def _add(
    by_prompt: dict[tuple[str, ...], list[Listing]],
    key: tuple[str, ...],
    phase: PhaseData,
    parts: list[tuple[str, str]],
) -> None:
    by_prompt.setdefault(key, []).append(Listing(phase.name, parts, phase.color))


def _new(text: str, style: str = "new") -> list[tuple[str, str]]:
    """What a model wrote; blank ends, which a page does not show, are counted instead."""
    kept = text.rstrip()
    parts = []
    lines = kept.split("\n")
    if len(lines) > LINES:
        kept = "\n".join(lines[:LINES]) + "\n"
        parts.append(("note", f"[{plural(len(lines) - LINES, 'line')} more]"))
    elif not kept:
        parts.append(("note", f"[{plural(len(text), 'blank character')}]" if text else "[nothing]"))
    elif len(text) - len(kept) > 1:
        parts.append(("note", f" [then {plural(len(text) - len(kept), 'blank character')}]"))
    return [(style, printable(kept)), *parts] if kept else parts


def _distinct(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Examples without repetition; a small measurement names some as hit and as miss."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for example in result.get("examples", []):
        seen.setdefault((example["path"], example["prefix"] + example["line"]), example)
    return list(seen.values())


def _infill_listing(name: str, example: dict[str, Any]) -> Listing:
    before, after = CONTEXT_LINES
    prefix = "\n".join(example["prefix"].split("\n")[-before:]).lstrip("\n")
    suffix = "\n".join(example["suffix"].split("\n")[: after + 1]).rstrip()
    style = "hit" if example["exact"] else "miss"
    parts = [("context", printable(prefix)), *_new(example["middle"], style)]
    parts.append(("context", printable(suffix)))
    if not example["exact"]:
        parts.append(("expected", printable(example["line"], 300)))
    title = f"{name.upper()}, {'exact' if example['exact'] else 'missed'}"
    return Listing(title, parts, note=printable(example["path"], 200))


def _interval(result: dict[str, Any]) -> str:
    if "pass@1" not in result:
        return "–"
    total = len(result.get("problems", []))
    return interval_or_count(result["pass@1_interval"], result["pass@1"], total)


def _common_failure(result: dict[str, Any]) -> str:
    details = Counter(
        verdict["detail"].split(":")[0].split(" [")[0].strip() or verdict["status"]
        for problem in result.get("problems", [])
        for verdict in problem["verdicts"]
        if verdict["status"] != "passed"
    )
    if not details:
        return "–"
    detail, times = details.most_common(1)[0]
    return f"{printable(detail, 60)} ({times:,})"


def _first_line(text: str) -> str:
    line = printable(text.strip().split("\n")[0], 90)
    return line if line == text.strip() else f"{line} …"
